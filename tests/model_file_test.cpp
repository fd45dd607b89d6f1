#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <lossatlas/model_file.hpp>

#include "expect_error.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

using Theta = std::vector<double>;

/// One tensor of a header: "name":{"dtype":...}.
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, int begin, int end) {
  return '"' + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + ',' + std::to_string(end) + "]}";
}

std::string metadata(const std::string& json) {
  std::string escaped;
  for (const char c : json) escaped += c == '"' ? "\\\"" : std::string(1, c);
  return "\"__metadata__\":{\"lossatlas.network\":\"" + escaped + "\"}";
}

class ModelFile : public ::testing::Test {
 protected:
  Model read(const std::string& header, const std::string& data, const std::optional<Network>& network = std::nullopt) {
    return read_model(folder_.file("m.safetensors", safetensors(header, data)), network);
  }
  /// A dense layer 2 → 1 with bias.
  Model read_small(const std::string& header) {
    return read(header, std::string(24, '\0'), mlp({2, 1}, Activation::tanh));
  }

  TemporaryFolder folder_;
  const std::string weight_ = tensor("0.weight", "F64", "[1,2]", 0, 16);
  const std::string bias_ = tensor("0.bias", "F64", "[1]", 16, 24);
};

TEST_F(ModelFile, RoundTripKeepsEveryBit) {
  const std::vector<Network> networks = {
      mlp({3, 4, 5, 6}, Activation::gelu, {.heads = 3}), mlp({2, 3, 1}, Activation::leaky_relu, {.bias = Bias::none}),
      mlp({2, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, Activation::sine, {.bias = Bias::hidden})};
  for (const Network& network : networks) {
    Theta theta = random_parameters(network, {.seed = 5});
    theta[0] = -0.0;
    theta[1] = 5e-324;
    write_model(folder_ / "m", network, theta);
    for (const Model& model : {read_model(folder_ / "m"), read_model(folder_ / "m", network)}) {
      EXPECT_EQ(model.network, network);
      ASSERT_EQ(model.theta.size(), theta.size());
      for (std::size_t i = 0; i < theta.size(); ++i) {
        EXPECT_EQ(std::bit_cast<std::uint64_t>(model.theta[i]), std::bit_cast<std::uint64_t>(theta[i])) << i;
      }
    }
  }
}

TEST_F(ModelFile, WritesTheDocumentedFormat) {
  write_model(folder_ / "m", mlp({2, 1}, Activation::tanh), Theta{1, 2, 3});
  std::string header =
      "{\"__metadata__\":{\"format\":\"pt\",\"lossatlas.network\":\"{\\\"layers\\\":[{\\\"type\\\":\\\"dense\\\","
      "\\\"in\\\":2,\\\"out\\\":1,\\\"bias\\\":true,\\\"activation\\\":\\\"identity\\\"}],\\\"heads\\\":1}\"},"
      "\"layers.0.weight\":{\"dtype\":\"F64\",\"shape\":[1,2],\"data_offsets\":[0,16]},"
      "\"layers.0.bias\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]}}";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(bytes_of(folder_ / "m"), safetensors(header, little_list<double>({1, 2, 3})));
}

TEST_F(ModelFile, ReadsSequentialFilesByNumber) {
  // Layers 0, 2 and 10 stored in another order, in several types; 10 sorts after 2.
  const std::string data = little(0.5f) + little(-1.5f) + little_list<std::uint16_t>({0x3c00, 0xc000}) +
                           little_list<std::uint16_t>({0x3f80, 0xc040}) + little_list<double>({7, 8});
  const Network network = mlp({1, 2, 1, 2}, Activation::relu, {.bias = Bias::none});
  for (const std::string prefix : {"", "net.", "model.3."}) {
    const std::string header = "{" + tensor(prefix + "10.weight", "F32", "[2,1]", 0, 8) + "," +
                               tensor(prefix + "2.weight", "F16", "[1,2]", 8, 12) + "," +
                               tensor(prefix + "0.weight", "BF16", "[2,1]", 12, 16) + "}";
    const Model model = read(header, data.substr(0, 16), network);
    EXPECT_EQ(model.theta, (Theta{1, -3, 1, -2, 0.5, -1.5}));
    EXPECT_EQ(model.network, network);
  }
}

TEST_F(ModelFile, ReadsBiases) {
  const std::string data = little_list<double>({1, 2, 3});
  const Network network = mlp({2, 1}, Activation::tanh);
  EXPECT_EQ(read("{" + weight_ + "," + bias_ + "}", data, network).theta, (Theta{1, 2, 3}));
  EXPECT_EQ(read("{" + tensor("0.bias", "F64", "[1]", 0, 8) + "," + tensor("0.weight", "F64", "[1,2]", 8, 24) + "}   ",
                 data, network)
                .theta,
            (Theta{2, 3, 1}));
}

TEST_F(ModelFile, AsksForTheArchitecture) {
  EXPECT_ERROR(read("{" + weight_ + "," + bias_ + "}", std::string(24, '\0')), FileError, "read_state_dict");
}

TEST_F(ModelFile, RefusesTensorsThatDoNotFit) {
  const std::string data(24, '\0');
  const std::string header = "{" + weight_ + "," + bias_ + "}";
  const auto with = [&](const Network& network) { return read(header, data, network); };
  EXPECT_ERROR(with(mlp({1, 2}, Activation::tanh)), FileError, "\"0.weight\" of shape (1, 2), expected (2, 1)");
  EXPECT_ERROR(with(mlp({2, 1, 1}, Activation::tanh)), FileError, "with 1 layers of tensors, expected the 2");
  EXPECT_ERROR(with(mlp({2, 1}, Activation::tanh, {.bias = Bias::none})), FileError, "with a bias beside \"0.weight\"");
  EXPECT_ERROR(read("{" + weight_ + "}", data.substr(0, 16), mlp({2, 1}, Activation::tanh)), FileError, "with no bias");
  EXPECT_ERROR(read("{" + tensor("0.bias", "F64", "[1]", 0, 8) + "}", data.substr(0, 8), mlp({2, 1}, Activation::tanh)),
               FileError, "\"0.bias\" but no weight");
  EXPECT_ERROR(read("{}", "", mlp({2, 1}, Activation::tanh)), FileError, "with 0 layers");
}

TEST_F(ModelFile, RefusesOtherNames) {
  for (const std::string name : {"0.gamma", "0.weights", "0.weight.", "scale"}) {
    EXPECT_ERROR(read_small("{" + weight_ + "," + tensor(name, "F64", "[1]", 16, 24) + "}"), FileError,
                 "names end in \"weight\" or \"bias\"")
        << name;
  }
  EXPECT_ERROR(read_small("{" + weight_ + "," + tensor("module.0.weight", "F64", "[1,1]", 16, 24) + "}"), FileError,
               "with tensors \"0.weight\" and \"module.0.weight\" of one layer");
  EXPECT_ERROR(read_small("{" + weight_ + "," + tensor("other.0.bias", "F64", "[1]", 16, 24) + "}"), FileError,
               "\"other.0.bias\" but no weight");
}

/// A file of weights (out, in) without biases, each full of its number from 1, their data in reverse order.
std::string state_dict(const std::vector<std::string>& names, const std::vector<std::int64_t>& widths) {
  std::string header, data;
  for (std::size_t l = names.size(); l-- > 0;) {
    const int at = static_cast<int>(data.size());
    const std::int64_t out = widths[l + 1], in = widths[l];
    for (std::int64_t i = 0; i < out * in; ++i) data += little(static_cast<double>(l + 1));
    const std::string shape = "[" + std::to_string(out) + "," + std::to_string(in) + "]";
    header += (header.empty() ? "{" : ",") + tensor(names[l] + (names[l].empty() ? "weight" : ".weight"), "F64", shape,
                                                    at, static_cast<int>(data.size()));
  }
  return safetensors(header + "}", data);
}

// Wherever their data are. Where names differ before a number, shapes tell the order.
TEST_F(ModelFile, LayersFollowInTheOrderOfTheNumbersInTheirNames) {
  const auto read_names = [&](const std::vector<std::string>& names, const std::vector<std::int64_t>& widths) {
    return read_state_dict(folder_.file("m.safetensors", state_dict(names, widths)),
                           {.activations = {Activation::tanh}});
  };
  const auto expect_order = [&](const std::vector<std::string>& names, const std::vector<std::int64_t>& widths) {
    const Model model = read_names(names, widths);
    EXPECT_EQ(model.network, mlp(widths, Activation::tanh, {.bias = Bias::none}));
    for (const ParameterBlock& block : model.network.blocks()) {
      EXPECT_EQ(model.theta[static_cast<std::size_t>(block.offset)], static_cast<double>(block.layer + 1)) << names[0];
    }
  };
  const std::vector<std::int64_t> square{2, 2, 2, 2};  // the names alone tell the order
  expect_order({"fc1", "fc2", "fc10"}, square);
  expect_order({"net.9", "net.10", "net.99999999999999999999999"}, square);
  expect_order({"a.1.b", "a.01.c", "a.2"}, square);
  expect_order({"", "0", "1"}, square);
  expect_order({"module.net.0", "net._orig_mod.2", "_orig_mod.module.net.4"}, square);
  expect_order({"a01", "a1", "a2"}, square);
  expect_order({"a1z", "a1\xc3\xa9", "a2"}, square);
  expect_order({"fc2", "fc10", "out"}, {4, 3, 3, 2});
  expect_order({"input", "hidden", "output"}, {4, 3, 5, 2});
  expect_order({"encoder.0", "encoder.2", "decoder.0"}, {4, 3, 2, 5});
  expect_order({"z", "y.0", "y.1", "x", "w"}, {1, 2, 2, 3, 4, 5});

  for (const auto& names : std::vector<std::vector<std::string>>{{"encoder", "decoder"}, {"actor", "critic"}}) {
    EXPECT_ERROR(read_names(names, {3, 2, 3}), FileError, "or as") << names[0];
  }
  EXPECT_ERROR(read_names({"fc1", "fc2", "out"}, square), FileError, "rename them with numbers");
  std::vector<std::string> letters;
  for (char c = 'a'; c <= 'z'; ++c) letters.emplace_back(1, c);
  EXPECT_ERROR(read_names(letters, std::vector<std::int64_t>(27, 1)), FileError, "can follow each other as");
}

TEST_F(ModelFile, AStateDictTellsItsNetwork) {
  // 2-1-1 with a bias in the second layer alone, and the counter of an averaged model
  const std::string header =
      "{" + tensor("fc1.weight", "F64", "[1,2]", 0, 16) + "," + tensor("n_averaged", "I64", "[]", 16, 24) + "," +
      tensor("fc2.weight", "F64", "[1,1]", 24, 32) + "," + tensor("fc2.bias", "F64", "[1]", 32, 40) + "}";
  const auto file = folder_.file("m.safetensors", safetensors(header, std::string(40, '\0')));
  const auto with = [&](const StateDictOptions& options) { return read_state_dict(file, options); };
  const Network expected({Dense{2, 1, false, Activation::sine}, Dense{1, 1, true, Activation::identity}});
  EXPECT_EQ(with({.activations = {Activation::sine}}).network, expected);
  EXPECT_EQ(with({.activations = {Activation::sine}}).theta, std::vector<double>(4, 0.0));
  EXPECT_ERROR(with({}), FileError, "0 given activations, expected that of its hidden layer");
  EXPECT_ERROR(with({.activations = {Activation::sine, Activation::tanh}}), FileError, "2 given activations");
  EXPECT_ERROR(with({.activations = {Activation::sine}, .heads = 2}), FileError, "2 heads for 1 outputs");
  EXPECT_ERROR(with({.activations = {Activation::sine}, .heads = 0}), FileError, "0 heads");

  const auto own = folder_ / "own.safetensors";
  write_model(own, expected, std::vector<double>(4, 1.0));
  EXPECT_EQ(read_state_dict(own).network, expected);
  EXPECT_EQ(read_state_dict(own, {.activations = {Activation::sine}}).theta, std::vector<double>(4, 1.0));
  EXPECT_ERROR(read_state_dict(own, {.activations = {Activation::tanh}}), FileError, "expected the given activations");
  EXPECT_ERROR(read_state_dict(own, {.heads = 2}), FileError, "heads");
  EXPECT_EQ(read_state_dict(own, {.heads = 1}).network, expected);
}

TEST_F(ModelFile, EachLayerTakesTheOutputsOfTheOneBefore) {
  const std::string wrong =
      "{" + tensor("a.weight", "F64", "[1,2]", 0, 16) + "," + tensor("b.weight", "F64", "[1,2]", 16, 32) + "}";
  EXPECT_ERROR(read_state_dict(folder_.file("w.safetensors", safetensors(wrong, std::string(32, '\0'))),
                               {.activations = {Activation::relu}}),
               FileError, "in the natural one \"a.weight\" (1, 2), then \"b.weight\" (1, 2); expected each to");
  const std::string linear = "{" + tensor("a.weight", "F64", "[1,2]", 0, 16) + "}";
  const auto single = folder_.file("l.safetensors", safetensors(linear, std::string(16, '\0')));
  EXPECT_EQ(read_state_dict(single, {.activations = {Activation::relu}}).theta.size(), 2u);
  EXPECT_ERROR(read_state_dict(single, {.activations = {Activation::relu, Activation::tanh}}), FileError,
               "1 linear layers and 2 given activations");
  const std::string empty = "{\"n_averaged\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}";
  EXPECT_ERROR(read_state_dict(folder_.file("e.safetensors", safetensors(empty, std::string(8, '\0')))), FileError,
               "without tensors");
}

TEST_F(ModelFile, NamesLayersThatItDoesNotRead) {
  const auto one = [&](const std::string& name, const std::string& type, const std::string& shape, int bytes) {
    return read("{" + tensor(name, type, shape, 0, bytes) + "}", std::string(static_cast<std::size_t>(bytes), '\0'),
                mlp({2, 1}, Activation::relu));
  };
  EXPECT_ERROR(one("1.num_batches_tracked", "I64", "[]", 8), FileError, "a batch normalisation");
  EXPECT_ERROR(one("bn.running_mean", "F32", "[2]", 8), FileError, "fuse_linear_bn_eval");
  EXPECT_ERROR(one("1.weight", "F32", "[2]", 8), FileError, "a normalisation (its weight has one axis)");
  EXPECT_ERROR(one("0.weight", "F32", "[2,1,1,1]", 8), FileError, "a convolution (its weight has 4 axes)");
  EXPECT_ERROR(one("conv1.weight", "F32", "[2,1,1]", 8), FileError, "a convolution (its weight has 3 axes)");
  EXPECT_ERROR(one("rnn.weight_ih_l0", "F32", "[2,1]", 8), FileError, "a recurrent layer");
  EXPECT_ERROR(one("attn.in_proj_weight", "F32", "[2,1]", 8), FileError, "an attention layer");
  EXPECT_ERROR(one("norm.weight", "F32", "[2]", 8), FileError, "a normalisation (its weight has one axis)");
  EXPECT_ERROR(one("0.weight", "I64", "[1]", 8), FileError, "convert it by float()");
}

TEST_F(ModelFile, RefusesWrongOffsetsAndShapes) {
  const auto second = [&](const std::string& entry) { return read_small("{" + weight_ + "," + entry + "}"); };
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[1]", 8, 16)), FileError, "overlap or leave a hole");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[1]", 0, 8)), FileError, "overlap or leave a hole");
  EXPECT_ERROR(second(tensor("0.bias", "F32", "[1]", 20, 24)), FileError, "overlap or leave a hole");
  EXPECT_ERROR(second(tensor("0.bias", "F32", "[1]", 16, 20)), FileError, "with 24 bytes of data, expected the 20");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[1]", 24, 32)), FileError, "not inside the 24 bytes");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[1]", 24, 16)), FileError, "not inside the 24 bytes");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[2]", 16, 24)), FileError, "shape and dtype");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[2305843009213693953]", 16, 24)), FileError, "shape and dtype");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[4294967296,4294967296]", 16, 24)), FileError, "shape and dtype");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[-1]", 16, 24)), FileError, "an entry outside 0..2^63-1");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[1.0]", 16, 24)), FileError, "an entry outside");
  EXPECT_ERROR(second(tensor("0.bias", "F64", "[18446744073709551615]", 16, 24)), FileError, "an entry outside");
  EXPECT_ERROR(second(tensor("0.bias", "I64", "[1]", 16, 24)), FileError, "of type \"I64\"");
  EXPECT_ERROR(second(tensor("0.weight", "F64", "[1]", 16, 24)), FileError, "the key \"0.weight\" twice");
  EXPECT_ERROR(second("\"0.bias\":{\"dtype\":\"F64\",\"shape\":[1]}"), FileError, "malformed");
  EXPECT_ERROR(second("\"0.bias\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16]}"), FileError, "not inside");
  EXPECT_ERROR(second("\"0.bias\":3"), FileError, "malformed");
}

TEST_F(ModelFile, RefusesHostileHeaders) {
  const auto raw = [&](const std::string& bytes) {
    return read_model(folder_.file("m", bytes), mlp({2, 1}, Activation::tanh));
  };
  EXPECT_ERROR(raw(""), FileError, "truncated");
  EXPECT_ERROR(raw(little(~std::uint64_t{0}) + "{}"), FileError,
               "header of 18446744073709551615 bytes, expected at most 2");
  EXPECT_ERROR(raw(little(std::uint64_t{3}) + "{}"), FileError, "header of 3 bytes");
  EXPECT_ERROR(raw(safetensors("[]", "")), FileError, "not a JSON object");
  EXPECT_ERROR(raw(safetensors("{} x", "")), FileError, "not valid JSON at byte");
  EXPECT_ERROR(raw(safetensors("", "")), FileError, "not valid JSON");
  EXPECT_ERROR(raw(safetensors("{\"\xff\":1}", "")), FileError, "not valid JSON");
  EXPECT_ERROR(raw(safetensors("{\"a\":1e999}", "")), FileError, "number out of range");
  EXPECT_ERROR(raw(safetensors("{\"a\":" + std::string(1000000, '['), "")), FileError, "nested too deeply");
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "{\"a\":";
  EXPECT_ERROR(raw(safetensors(nested, "")), FileError, "nested too deeply");
  std::string wide = "{\"a\":[0";
  for (int i = 0; i < 200000; ++i) wide += ",0";
  EXPECT_ERROR(raw(safetensors(wide + "]}", "")), FileError, "too large, expected at most 100000 values");
  EXPECT_ERROR(raw(safetensors("{\"__metadata__\":{\"lossatlas.network\":1}}", "")), FileError,
               "malformed __metadata__");
  EXPECT_ERROR(raw(safetensors("{\"__metadata__\":[]}", "")), FileError, "malformed __metadata__");
}

TEST_F(ModelFile, RefusesWrongArchitectures) {
  const std::string data(24, '\0');
  const auto with = [&](const std::string& json) {
    return read("{" + metadata(json) + "," + weight_ + "," + bias_ + "}", data);
  };
  const std::string dense = R"({"type":"dense","in":2,"out":1,"bias":true,"activation":"identity"})";
  EXPECT_EQ(with(R"({"layers":[)" + dense + R"(],"heads":1})").network, mlp({2, 1}, Activation::tanh));
  EXPECT_ERROR(with("{"), FileError, "lossatlas.network is not valid JSON");
  EXPECT_ERROR(with("[]"), FileError, "not a JSON object");
  EXPECT_ERROR(with("{}"), FileError, "no layers");
  EXPECT_ERROR(with(R"({"layers":[]})"), FileError, "no layers");
  EXPECT_ERROR(with(R"({"layers":[1],"heads":1})"), FileError, "malformed layer");
  EXPECT_ERROR(with(R"({"layers":[)" + dense + "]}"), FileError, "no whole number heads");
  EXPECT_ERROR(with(R"({"layers":[)" + dense + R"(],"heads":2})"), FileError, "describes no network");
  EXPECT_ERROR(with(R"({"layers":[{"type":"conv"}],"heads":1})"), FileError, "malformed layer");
  EXPECT_ERROR(with(R"({"layers":[{"type":"dense","in":2,"out":1,"bias":true,"activation":"swish"}],"heads":1})"),
               FileError, "swish");
  EXPECT_ERROR(with(R"({"layers":[{"type":"dense","in":0,"out":1,"bias":true,"activation":"relu"}],"heads":1})"),
               FileError, "number in");
  const std::string huge = R"({"type":"dense","in":2147483648,"out":2147483648,"bias":true,"activation":"identity"})";
  EXPECT_ERROR(with(R"({"layers":[)" + huge + "," + huge + "," + huge + R"(],"heads":1})"), FileError,
               "more parameters than");
}

TEST_F(ModelFile, RefusesWrongGraphs) {
  const std::string data(24, '\0');
  const auto with = [&](const std::string& layers) {
    return read("{" + metadata(R"({"layers":[)" + layers + R"(],"heads":1})") + "," + weight_ + "," + bias_ + "}",
                data);
  };
  const std::string dense = R"({"type":"dense","in":2,"out":1,"bias":true,"activation":"tanh","inputs":[-1]})";
  const auto add = [](const std::string& inputs) {
    return R"(,{"type":"add","activation":"identity","inputs":)" + inputs + "}";
  };
  EXPECT_EQ(with(dense + add("[0,0]")).network,
            Network({{Dense{2, 1, true, Activation::tanh}, {-1}}, {Add{}, {0, 0}}}));
  for (const char* inputs : {"[0,1]", "[0,-2]", "[0,0.5]", "[0,null]", "[0,\"0\"]", "[0,4294967296]", "[0,1e300]"}) {
    EXPECT_ERROR(with(dense + add(inputs)), FileError, "malformed input of layer 1");
  }
  EXPECT_ERROR(with(dense + add("[]")), FileError, "layer 1 without inputs");
  for (const char* inputs : {"7", "null", "\"0\"", "{}"}) {
    EXPECT_ERROR(with(dense + add(inputs)), FileError, "malformed inputs of layer 1");
  }
  EXPECT_ERROR(with(dense + add("[0]")), FileError, "expected at least two");
  EXPECT_ERROR(with(dense + add("[0,-1]")), FileError, "values with 1 and 2 entries");
  EXPECT_ERROR(with(dense + R"(,{"type":"add","inputs":[0,0]})"), FileError, "malformed layer");
  EXPECT_ERROR(with(dense + R"(,{"type":"add","activation":"identity"})"), FileError, "expected at least two");
  EXPECT_ERROR(with(dense + R"(,{"type":"add","activation":"tanh","inputs":[0,0]})"), FileError,
               "last layer with tanh");
}

// As a program sets it that writes 1.234.567 for its users.
TEST_F(ModelFile, IsTheSameInEveryLocale) {
  struct Grouping : std::numpunct<char> {
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const Network network = mlp({1, 2000, 1}, Activation::tanh);
  const Theta theta(6001, 0.5);
  write_model(folder_ / "plain", network, theta);
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  write_model(folder_ / "grouped", network, theta);
  const Model model = read_model(folder_ / "grouped");
  std::locale::global(before);
  EXPECT_EQ(model.theta, theta);
  EXPECT_EQ(bytes_of(folder_ / "grouped"), bytes_of(folder_ / "plain"));
}

TEST_F(ModelFile, MetadataAndArchitectureMustAgree) {
  write_model(folder_ / "m", mlp({2, 3, 1}, Activation::tanh), Theta(13, 0.5));
  EXPECT_ERROR(read_model(folder_ / "m", mlp({2, 3, 1}, Activation::relu)), FileError, "expected the given 2-3-1 relu");
}

TEST_F(ModelFile, RefusesParametersThatAreNotFinite) {
  const Network network = mlp({2, 1}, Activation::tanh);
  const std::string header = "{" + weight_ + "," + bias_ + "}";
  EXPECT_ERROR(read(header, little_list<double>({0, NAN, 0}), network), FileError, "\"0.weight\" whose entry 1 is nan");
  EXPECT_ERROR(read(header, little_list<double>({0, 0, -INFINITY}), network), FileError,
               "\"0.bias\" whose entry 0 is -inf");
  EXPECT_ERROR(write_model(folder_ / "w", network, Theta({0, NAN, 0})), InvalidArgument, "theta with entry 1");
  EXPECT_ERROR(write_model(folder_ / "w", network, Theta({0, 0})), InvalidArgument,
               "received 2 parameters, expected the 3");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "w"));
}

}  // namespace
}  // namespace lossatlas
