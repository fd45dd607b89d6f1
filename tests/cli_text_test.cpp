// Text of files, paths and options that would steer a terminal.
#include <cstdint>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
using testing::write_text;
namespace fs = std::filesystem;
using Json = nlohmann::json;

// ESC, BEL, DEL, U+009B, a right-to-left override, a line end, and a byte that is no UTF-8.
const std::string kHostile = "x\x1b[31m\a\x7f\u009b\u202e\n\xff";

/// No byte but line ends that a terminal obeys, and valid UTF-8.
void expect_tame(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    EXPECT_TRUE((byte >= 0x20 && byte != 0x7f) || byte == '\n') << static_cast<int>(byte) << " in " << text;
    EXPECT_FALSE(byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) << text;
  }
  EXPECT_EQ(text.find("\u202e"), std::string::npos) << text;
  EXPECT_EQ(text.find('\xff'), std::string::npos) << text;
  EXPECT_LT(text.size(), 10000u);
}

class CliText : public testing::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    const Network network = mlp({1, 2, 1}, Activation::tanh);
    write_model(path("model.safetensors"), network, random_parameters(network, {.seed = 5}));
    write_text(path(kHostile + ".csv"), "0.5,1\n-1,0.25\n2,-0.5\n");
    write_text(path("data.csv"), "0.5,1\n-1,0.25\n2,-0.5\n");
  }

  /// A refusal of one tame line.
  void expect_refused(const testing::Words& arguments, const std::string& mention) {
    const auto before = files();
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
    EXPECT_NE(outcome.err.find(mention), std::string::npos) << outcome.err;
    expect_tame(outcome.err);
    EXPECT_EQ(files(), before);
  }
};

TEST_F(CliText, OfAnOptionIsTame) {
  expect_refused({"section", "--model", "m", "--data", "d", "--loss", kHostile, "--directions", "random", "--out", "s"},
                 "--loss");
  expect_refused({"evaluate", "--model", kHostile, "--data", "tanh3", "--loss", "mse"}, "--model");
  expect_refused({"evaluate", "--model", "model.safetensors", "--data", kHostile, "--loss", "mse"}, "--data");
  expect_refused({"evaluate", "--model", "model.safetensors", "--data", "csv:" + kHostile, "--loss", "mse"}, "--data");
  expect_refused({"find", "--layers", "1,1", "--bias", kHostile, "--data", "tanh3", "--loss", "mse", "--out", "o"},
                 "--bias");
  expect_refused({"find", "--layers", kHostile, "--data", "tanh3", "--loss", "mse", "--out", "o"}, "--layers");
  expect_refused({"find", "--layers", "1,1", "--starts", kHostile, "--data", "tanh3", "--loss", "mse", "--out", "o"},
                 "--starts");
  expect_refused({"info", kHostile}, "info");
  expect_refused({kHostile}, "lossatlas");
  expect_refused({"info", "--" + kHostile}, "info");
  expect_refused({"merge", "--out", kHostile + "/s", "data.csv"}, "--out");
  expect_refused({"merge", "--out", "s.npy", kHostile + ".csv"}, "shard");
  expect_refused({"reproduce", kHostile, "--out", "out"}, "NAME");
  expect_refused({"evaluate", "--model", "model.safetensors", "--data",
                  "csv:data.csv,target=" + std::string(100000, 'a'), "--loss", "mse"},
                 "--data");
}

TEST_F(CliText, OfAModelIsTame) {
  const std::string bytes = read_text(path("model.safetensors"));
  for (const std::string& name : {std::string("\\u001b[2J\\u009b\\u202e"), std::string(5'000'000, 'x')}) {
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    std::string changed = bytes.substr(8, size);
    const std::size_t at = changed.find("tanh");
    ASSERT_NE(at, std::string::npos);
    // The architecture is JSON inside a JSON text, where a backslash takes two.
    std::string escaped;
    for (const char c : name) escaped += c == '\\' ? "\\\\" : std::string(1, c);
    changed.replace(at, 4, escaped);
    const std::uint64_t length = changed.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    write_text(path("hostile.safetensors"), file + changed + bytes.substr(8 + size));
    expect_refused({"evaluate", "--model", "hostile.safetensors", "--data", "csv:data.csv", "--loss", "mse"},
                   "[parse_activation]");
  }
}

TEST_F(CliText, OfADataSetIsTameInEveryReport) {
  const std::string data = "csv:" + kHostile + ".csv";
  const testing::Words evaluate = {"evaluate", "--model", "model.safetensors", "--data", data, "--loss", "mse"};
  const testing::Words section = {"section",
                                  "--model",
                                  "model.safetensors",
                                  "--data",
                                  data,
                                  "--loss",
                                  "mse",
                                  "--directions",
                                  "filter",
                                  "--grid",
                                  "3",
                                  "--out",
                                  "s.npy",
                                  "--png",
                                  "s.png"};
  const testing::Words spectrum = {"spectrum", "--model", "model.safetensors", "--data", data, "--loss", "mse",
                                   "--png",    "h.png"};
  for (testing::Words words : {evaluate, section, spectrum}) {
    const Outcome text = run(words);
    EXPECT_EQ(text.status, 0) << text.err;
    expect_tame(text.out);
    expect_tame(text.err);
    words.push_back("--json");
    const Outcome json = run(words);
    EXPECT_EQ(json.status, 0) << json.err;
    expect_tame(json.out);
    EXPECT_TRUE(Json::accept(json.out)) << json.out;
    EXPECT_EQ(json.out.find('\x7f'), std::string::npos);
  }
}

// The longest name that a file may have made pictures of `fit` fail after the model was written.
TEST_F(CliText, OfALongNameFitsTheNamesOfPictures) {
  const std::int64_t shape[] = {3, 2};
  write_npy(path("picture.npy"), shape, std::vector<double>{0.1, 0.9, 0.4, 0.3, 0.7, 0.2});
  const std::string name = std::string(251, 'n') + ".csv";
  write_text(path(name), "0.5,1\n-1,0.25\n2,-0.5\n");
  const Outcome outcome = run({"fit", "--target", "picture.npy", "--train", "csv:data.csv", "--loss", "mse", "--hidden",
                               "2,4", "--transfer", "csv:" + name, "--out", "out", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_TRUE(fs::exists(path("out/" + report["transfer"][0]["picture"].get<std::string>()))) << report;
}

TEST_F(CliText, InPathsStaysReadable) {
  const Outcome outcome = run("evaluate --model Übung/größe-データ --data tanh3 --loss mse");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("\"Übung/größe-データ\""), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace lossatlas
