#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/model_file.hpp>

#include "file/atomic_file.hpp"
#include "file/bounded_json.hpp"
#include "file/bytes.hpp"
#include "format/safetensors_header.hpp"
#include "format/tensor_names.hpp"
#include "layers/structure.hpp"

namespace lossatlas {
namespace {

using Json = JsonValue;

std::string architecture_text(const Network& network) {
  std::vector<std::string> layers;
  for (const Node& node : network.nodes()) {
    std::string inputs;
    if (!network.is_chain()) {
      std::vector<std::string> numbers;
      for (const std::int32_t input : node.inputs) numbers.push_back(std::to_string(input));
      inputs = R"(,"inputs":)" + json_list(numbers);
    }
    layers.push_back(
        text_of('{', std::visit([](const auto& layer) { return file_entry(layer); }, node.layer), inputs, '}'));
  }
  return text_of(R"({"layers":)", json_list(layers), R"(,"heads":)", network.heads(), '}');
}

Layer parse_layer(const Json& object, const FileContext& context) {
  const Json& type = object["type"];
  const std::string kind = type.is_string() ? type.get<std::string>() : "";
  Layer layer = Dense{};
  if (kind == "add") layer = Add{};
  context.require(kind == "dense" || kind == "add", "whose metadata lossatlas.network has a malformed layer, ",
                  "expected type \"dense\" or \"add\"");
  std::visit([&](auto& one) { read_entry(object, context, one); }, layer);
  return layer;
}

/// The values that layer number `index` takes: that of the one before it, unless the entry tells.
std::vector<std::int32_t> parse_inputs(const Json& object, std::size_t index, const FileContext& context) {
  if (!object.contains("inputs")) return {static_cast<std::int32_t>(index) - 1};
  context.require(object["inputs"].is_array(), "whose metadata lossatlas.network has malformed inputs of layer ", index,
                  ", expected a list of numbers");
  std::vector<std::int32_t> inputs;
  for (const Json& entry : object["inputs"].entries()) {
    const double number = entry.is_number() ? entry.number() : 0.5;
    context.require(number >= -1 && number < static_cast<double>(index) && number == std::floor(number),
                    "whose metadata lossatlas.network has a malformed input of layer ", index,
                    ", expected the number of an earlier layer, or -1");
    inputs.push_back(static_cast<std::int32_t>(number));
  }
  return inputs;
}

Network parse_architecture(const std::string& text, std::int64_t data_bytes, const FileContext& context) {
  const Json json = parse_bounded_json(text, "metadata lossatlas.network", context);
  const bool whole = json["layers"].is_array() && json["layers"].size() > 0;
  context.require(whole, "whose metadata lossatlas.network has no layers, expected at least one");
  try {
    std::vector<Node> nodes;
    std::int64_t bytes_left = data_bytes;
    for (const Json& object : json["layers"].entries()) {
      const Layer layer = parse_layer(object, context);
      const ParameterSizes sizes = std::visit([](const auto& one) { return parameter_sizes(one); }, layer);
      // No element takes less than two bytes, so that no sum of sizes below can overflow.
      bytes_left -= std::min(bytes_left + 1, 2 * std::min(sizes.in * sizes.out, data_bytes + 1));
      context.require(bytes_left >= 0, "whose metadata lossatlas.network describes more parameters than its ",
                      data_bytes, " bytes of data can hold");
      nodes.push_back({layer, parse_inputs(object, nodes.size(), context)});
    }
    return Network(std::move(nodes), positive_member(json, "heads", context));
  } catch (const InvalidArgument& error) {
    context.fail("whose metadata lossatlas.network describes no network: ", error.what());
  }
}

struct LayerTensors {
  const TensorEntry* weight = nullptr;
  const TensorEntry* bias = nullptr;
};

/// Collects the weight and bias of each layer, in the natural order of their names.
std::vector<LayerTensors> group_layers(const SafetensorsHeader& header, const FileContext& context) {
  for (const TensorEntry& entry : header.tensors) refuse_other_layers(entry.name, entry.shape, context);
  std::map<std::string, LayerTensors, NaturalLess> layers;
  for (const TensorEntry& entry : header.tensors) {
    const std::optional<TensorName> parsed = parse_tensor_name(entry.name);
    context.require(parsed.has_value(), "with tensor ", printable(entry.name),
                    ", expected the linear layers' tensors alone, whose names end in \"weight\" or \"bias\"");
    LayerTensors& layer = layers[parsed->layer];
    const TensorEntry*& place = parsed->weight ? layer.weight : layer.bias;
    context.require(place == nullptr, "with tensors ", printable(place != nullptr ? place->name : ""), " and ",
                    printable(entry.name), " of one layer, expected one of them");
    place = &entry;
  }
  std::vector<LayerTensors> ordered;
  for (const auto& [name, layer] : layers) {
    context.require(layer.weight != nullptr, "with tensor ", printable(layer.bias != nullptr ? layer.bias->name : ""),
                    " but no weight of that layer, expected both");
    ordered.push_back(layer);
  }
  return ordered;
}

std::string shape_text(const std::vector<std::int64_t>& sizes) {
  std::string out;
  for (const std::int64_t size : sizes) out += (out.empty() ? "" : ", ") + std::to_string(size);
  return '(' + out + ')';
}

/// Layers whose names are the same up to the first number, which tells their order.
using LayerGroup = std::span<const LayerTensors>;

std::vector<LayerGroup> groups_of(const std::vector<LayerTensors>& tensors) {
  const auto stem = [](const LayerTensors& layer) {
    const std::string name = parse_tensor_name(layer.weight->name)->layer;
    return name.substr(0, name.find_first_of("0123456789"));
  };
  std::vector<LayerGroup> groups;
  for (auto first = tensors.begin(); first != tensors.end();) {
    const auto last = std::find_if(first, tensors.end(), [&](const auto& one) { return stem(one) != stem(*first); });
    groups.emplace_back(first, last);
    first = last;
  }
  return groups;
}

/// Finds the orders of groups in which each takes the outputs of the one before, until it has found two.
class GroupOrders {
 public:
  explicit GroupOrders(std::vector<LayerGroup> groups) : groups_(std::move(groups)), used_(groups_.size()) { extend(); }

  const std::vector<std::vector<LayerGroup>>& found() const { return found_; }

 private:
  void extend() {
    constexpr int kMostSteps = 100'000;  // of a search that the shapes do not narrow down
    if (order_.size() == groups_.size()) found_.push_back(order_);
    for (std::size_t i = 0; i < groups_.size() && found_.size() < 2 && steps_ < kMostSteps; ++i) {
      const bool fits = order_.empty() || inputs(groups_[i]) == outputs(order_.back());
      if (used_[i] || !fits) continue;
      ++steps_;
      used_[i] = true;
      order_.push_back(groups_[i]);
      extend();
      order_.pop_back();
      used_[i] = false;
    }
  }
  static std::int64_t inputs(LayerGroup group) { return group.front().weight->shape[1]; }
  static std::int64_t outputs(LayerGroup group) { return group.back().weight->shape[0]; }

  std::vector<LayerGroup> groups_, order_;
  std::vector<char> used_;
  std::vector<std::vector<LayerGroup>> found_;
  int steps_ = 0;
};

/// The layers in the order of their use. Numbers in names tell it, other parts of names do not: there the shapes must
/// leave one order only.
std::vector<LayerTensors> in_order_of_use(const std::vector<LayerTensors>& tensors, const FileContext& context) {
  context.require(!tensors.empty(), "without tensors, expected the weights of linear layers");
  for (const LayerTensors& layer : tensors) {
    context.require(layer.weight->shape.size() == 2, "with tensor ", printable(layer.weight->name), " of shape ",
                    shape_text(layer.weight->shape), ", expected (outputs, inputs)");
  }
  const GroupOrders orders(groups_of(tensors));
  const auto names = [](const std::vector<LayerGroup>& order) {
    std::string text;
    for (const LayerGroup group : order) {
      text += (text.empty() ? "" : ", then ") + printable(group.front().weight->name) + ' ' +
              shape_text(group.front().weight->shape);
    }
    return text;
  };
  context.require(orders.found().size() < 2, "whose layers can follow each other as ",
                  orders.found().empty() ? "" : names(orders.found().front()), ", or as ",
                  orders.found().size() < 2 ? "" : names(orders.found().back()),
                  ", expected shapes or numbers in the names to leave one order; rename them with numbers");
  context.require(!orders.found().empty(), "with layers that do not follow each other in any order of their names, ",
                  "in the natural one ", names(groups_of(tensors)),
                  "; expected each to take the outputs of the one before");
  std::vector<LayerTensors> ordered;
  for (const LayerGroup group : orders.found().front()) ordered.insert(ordered.end(), group.begin(), group.end());
  return ordered;
}

/// The chain of dense layers that the tensors' shapes make, in their order.
Network chain_of(const std::vector<LayerTensors>& tensors, const StateDictOptions& options,
                 const FileContext& context) {
  const std::size_t hidden = tensors.size() - 1, given = options.activations.size();
  context.require(given == hidden || given == 1, "without metadata lossatlas.network, but with ", tensors.size(),
                  " linear layers and ", given, " given activations, expected ",
                  hidden == 1 ? "that of its hidden layer" : "one for all hidden layers, or one for each of them",
                  ", which such a file does not tell (StateDictOptions::activations, --activation)");
  std::vector<Layer> layers;
  for (std::size_t l = 0; l < tensors.size(); ++l) {
    const TensorEntry& weight = *tensors[l].weight;
    if (l > 0) {
      const TensorEntry& before = *tensors[l - 1].weight;
      context.require(weight.shape[1] == before.shape[0], "with layers that do not follow each other in the order of ",
                      "the numbers in their names: ", printable(before.name), ' ', shape_text(before.shape), ", then ",
                      printable(weight.name), ' ', shape_text(weight.shape),
                      "; expected each to take the outputs of the one before; rename them in the order of use");
    }
    const Activation phi = l == hidden ? Activation::identity : options.activations[given == 1 ? 0 : l];
    layers.push_back(Dense{weight.shape[1], weight.shape[0], tensors[l].bias != nullptr, phi});
  }
  try {
    return Network(std::move(layers), options.heads.value_or(1));
  } catch (const InvalidArgument& error) {
    context.fail("which makes no network: ", error.what());
  }
}

/// Throws FileError if a network that a file tells is not what the options say.
void check_told(const Network& network, const StateDictOptions& told, const FileContext& context) {
  std::vector<Activation> hidden;  // of a graph, those of what is not linear
  for (const Node& node : network.nodes().first(network.nodes().size() - 1)) {
    const Activation phi = activation(node.layer);
    if (network.is_chain() || phi != Activation::identity) hidden.push_back(phi);
  }
  bool same = told.heads.value_or(network.heads()) == network.heads();
  if (told.activations.size() == 1) {
    for (const Activation phi : hidden) same = same && phi == told.activations.front();
  } else if (!told.activations.empty()) {
    same = same && told.activations == hidden;
  }
  context.require(same, "which holds the network ", network.describe(), ", expected the given activations and heads");
}

void require_shape(const TensorEntry& entry, const std::vector<std::int64_t>& shape, const FileContext& context) {
  context.require(entry.shape == shape, "with tensor ", printable(entry.name), " of shape ", shape_text(entry.shape),
                  ", expected ", shape_text(shape), " of the architecture");
}

/// The tensors of θ in order, checked against the network.
std::vector<const TensorEntry*> match_layers(const std::vector<LayerTensors>& tensors, const Network& network,
                                             const FileContext& context) {
  std::vector<ParameterSizes> expected;  // of the layers with parameters
  for (const Node& node : network.nodes()) {
    const ParameterSizes sizes = std::visit([](const auto& layer) { return parameter_sizes(layer); }, node.layer);
    if (sizes.out > 0) expected.push_back(sizes);
  }
  context.require(tensors.size() == expected.size(), "with ", tensors.size(), " layers of tensors, expected the ",
                  expected.size(), " of the architecture ", network.describe());
  std::vector<const TensorEntry*> ordered;
  for (std::size_t index = 0; index < tensors.size(); ++index) {
    const ParameterSizes& sizes = expected[index];
    const auto [weight, bias] = tensors[index];
    require_shape(*weight, {sizes.out, sizes.in}, context);
    ordered.push_back(weight);
    context.require((bias != nullptr) == sizes.bias, "with ", bias != nullptr ? "a" : "no", " bias beside ",
                    printable(weight->name), ", expected ", sizes.bias ? "one" : "none", " by the architecture");
    if (bias == nullptr) continue;
    require_shape(*bias, {sizes.out}, context);
    ordered.push_back(bias);
  }
  return ordered;
}

double element(const TensorEntry& entry, const std::byte* bytes) {
  constexpr std::endian kOrder = std::endian::little;
  if (entry.dtype == "F64") return load<double>(bytes, kOrder);
  if (entry.dtype == "F32") return load<float>(bytes, kOrder);
  const auto bits = load<std::uint16_t>(bytes, kOrder);
  return entry.dtype == "F16" ? half_to_double(bits) : bfloat_to_double(bits);
}

void append_values(InputFile& input, const SafetensorsHeader& header, const TensorEntry& entry,
                   std::vector<double>& theta) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(entry.end - entry.begin));
  input.seek(header.data_start + entry.begin);
  input.read(bytes);
  for (std::int64_t i = 0; i < entry.count(); ++i) {
    const double value = element(entry, bytes.data() + i * entry.element_bytes());
    input.context().require(std::isfinite(value), "with tensor ", printable(entry.name), " whose entry ", i, " is ",
                            value, ", expected finite parameters");
    theta.push_back(value);
  }
}

/// The parameters of a network from the tensors of its layers.
Model read_tensors(InputFile& input, const SafetensorsHeader& header, const std::vector<LayerTensors>& layers,
                   Network network) {
  const std::vector<const TensorEntry*> tensors = match_layers(layers, network, input.context());
  std::int64_t largest = 0;
  for (const TensorEntry* entry : tensors) largest = std::max(largest, entry->end - entry->begin);
  input.context().require_memory(static_cast<double>(network.parameter_count()) * sizeof(double) +
                                 static_cast<double>(largest));
  std::vector<double> theta;
  theta.reserve(static_cast<std::size_t>(network.parameter_count()));
  for (const TensorEntry* entry : tensors) append_values(input, header, *entry, theta);
  return {std::move(network), std::move(theta)};
}

std::string entry_text(const ParameterBlock& block) {
  const bool weight = block.kind == ParameterBlock::Kind::weight;
  constexpr std::int64_t kBytes = sizeof(double);
  return text_of("\"layers.", block.layer, weight ? ".weight" : ".bias", R"(":{"dtype":"F64","shape":[)", block.out,
                 weight ? text_of(',', block.in) : "", R"(],"data_offsets":[)", block.offset * kBytes, ',',
                 (block.offset + block.size()) * kBytes, "]}");
}

std::string header_text(const Network& network) {
  std::vector<std::string> members{
      text_of(R"("__metadata__":{"format":"pt","lossatlas.network":)", json_text(architecture_text(network)), '}')};
  for (const ParameterBlock& block : network.blocks()) members.push_back(entry_text(block));
  std::string text = json_list(members, "{}");
  constexpr std::size_t kAlign = 8;
  text.append((kAlign - text.size() % kAlign) % kAlign, ' ');
  return text;
}

}  // namespace

void write_model(const std::filesystem::path& file, const Network& network, std::span<const double> theta) {
  constexpr std::string_view kFunction = "write_model";
  require(network.depth() > 0 && std::ssize(theta) == network.parameter_count(), kFunction, "received ", theta.size(),
          " parameters, expected the ", network.parameter_count(), " of the network");
  require_finite(theta, kFunction, "theta");
  AtomicFile output(file, kFunction);
  const std::string header = header_text(network);
  output.require_space(static_cast<std::int64_t>(header.size() + theta.size_bytes()));
  output.write_u64(header.size());
  output.write(header);
  output.write(theta);
  output.commit();
}

Model read_model(const std::filesystem::path& file, const std::optional<Network>& architecture) {
  InputFile input(file, "read_model");
  const FileContext& context = input.context();
  const SafetensorsHeader header = read_safetensors_header(input);
  std::optional<Network> network = architecture;
  if (!header.architecture.empty()) {
    network = parse_architecture(header.architecture, input.size() - header.data_start, context);
    context.require(!architecture || *architecture == *network, "which holds the network ", network->describe(),
                    ", expected the given ", architecture ? architecture->describe() : std::string());
  }
  context.require(network.has_value(), "without metadata lossatlas.network, expected a file of write_model; ",
                  "read_state_dict reads others");
  return read_tensors(input, header, group_layers(header, context), std::move(*network));
}

Model read_state_dict(const std::filesystem::path& file, const StateDictOptions& options) {
  InputFile input(file, "read_state_dict");
  const FileContext& context = input.context();
  const SafetensorsHeader header = read_safetensors_header(input);
  std::vector<LayerTensors> layers = group_layers(header, context);
  if (header.architecture.empty()) {
    layers = in_order_of_use(layers, context);
    return read_tensors(input, header, layers, chain_of(layers, options, context));
  }
  Network network = parse_architecture(header.architecture, input.size() - header.data_start, context);
  check_told(network, options, context);
  return read_tensors(input, header, layers, std::move(network));
}

}  // namespace lossatlas
