#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string>

#include <lossatlas/model_file.hpp>

#include "file/atomic_file.hpp"
#include "file/bounded_json.hpp"
#include "file/bytes.hpp"
#include "format/safetensors_header.hpp"
#include "format/tensor_names.hpp"

namespace lossatlas {
namespace {

using Json = JsonValue;

std::string architecture_text(const Network& network) {
  std::vector<std::string> layers;
  for (const Layer& layer : network.layers()) {
    const Dense& dense = std::get<Dense>(layer);
    layers.push_back(text_of(R"({"type":"dense","in":)", dense.in, R"(,"out":)", dense.out, R"(,"bias":)",
                             dense.bias ? "true" : "false", R"(,"activation":)", json_text(name(dense.activation)),
                             '}'));
  }
  return text_of(R"({"layers":)", json_list(layers), R"(,"heads":)", network.heads(), '}');
}

std::int64_t positive(const Json& object, const char* key, const FileContext& context) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 31;
  const Json& number = object[key];
  const bool fits =
      number.is_number_unsigned() && number.get<std::uint64_t>() >= 1 && number.get<std::uint64_t>() <= kMost;
  context.require(fits, "whose metadata lossatlas.network has no whole number ", key, ", expected 1..2^31");
  return static_cast<std::int64_t>(number.get<std::uint64_t>());
}

Dense parse_dense(const Json& object, const FileContext& context) {
  const Json &type = object["type"], &bias = object["bias"], &activation = object["activation"];
  const bool whole =
      type.is_string() && type.get<std::string>() == "dense" && bias.is_boolean() && activation.is_string();
  context.require(whole, "whose metadata lossatlas.network has a malformed layer, ",
                  "expected type \"dense\", in, out, bias and activation");
  return {.in = positive(object, "in", context),
          .out = positive(object, "out", context),
          .bias = bias.get<bool>(),
          .activation = parse_activation(activation.get<std::string>())};
}

Network parse_architecture(const std::string& text, std::int64_t data_bytes, const FileContext& context) {
  const Json json = parse_bounded_json(text, "metadata lossatlas.network", context);
  const bool whole = json["layers"].is_array() && json["layers"].size() > 0;
  context.require(whole, "whose metadata lossatlas.network has no layers, expected at least one");
  try {
    std::vector<Layer> layers;
    std::int64_t bytes_left = data_bytes;
    for (const Json& object : json["layers"].entries()) {
      const Dense dense = parse_dense(object, context);
      // No element takes less than two bytes, so that no sum of sizes below can overflow.
      bytes_left -= std::min(bytes_left + 1, 2 * std::min(dense.in * dense.out, data_bytes + 1));
      context.require(bytes_left >= 0, "whose metadata lossatlas.network describes more parameters than its ",
                      data_bytes, " bytes of data can hold");
      layers.emplace_back(dense);
    }
    return Network(std::move(layers), positive(json, "heads", context));
  } catch (const InvalidArgument& error) {
    context.fail("whose metadata lossatlas.network describes no network: ", error.what());
  }
}

struct LayerTensors {
  const TensorEntry* weight = nullptr;
  const TensorEntry* bias = nullptr;
};

/// Collects the weight and bias of each layer, in the order of the numbers in their names.
std::vector<LayerTensors> group_layers(const SafetensorsHeader& header, const FileContext& context) {
  for (const TensorEntry& entry : header.tensors) refuse_other_layers(entry.name, entry.shape, context);
  std::map<std::uint32_t, LayerTensors> layers;
  std::optional<std::string> prefix;
  for (const TensorEntry& entry : header.tensors) {
    const std::optional<TensorName> parsed = parse_tensor_name(entry.name);
    context.require(parsed.has_value() && parsed->prefix == prefix.value_or(parsed->prefix), "with tensor ",
                    printable(entry.name), ", expected names such as \"0.weight\" and \"0.bias\" with one prefix, ",
                    "numbered in the order of the layers; ", kSaveSequential);
    prefix = parsed->prefix;
    LayerTensors& layer = layers[parsed->number];
    (parsed->weight ? layer.weight : layer.bias) = &entry;
  }
  std::vector<LayerTensors> ordered;
  for (const auto& [number, layer] : layers) {
    context.require(layer.weight != nullptr, "with a bias but no weight of number ", number, ", expected both");
    ordered.push_back(layer);
  }
  return ordered;
}

void require_shape(const TensorEntry& entry, const std::vector<std::int64_t>& shape, const FileContext& context) {
  const auto text = [](const std::vector<std::int64_t>& sizes) {
    std::string out;
    for (const std::int64_t size : sizes) out += (out.empty() ? "" : ", ") + std::to_string(size);
    return '(' + out + ')';
  };
  context.require(entry.shape == shape, "with tensor ", printable(entry.name), " of shape ", text(entry.shape),
                  ", expected ", text(shape), " of the architecture");
}

/// The tensors of θ in order, checked against the network.
std::vector<const TensorEntry*> match_layers(const std::vector<LayerTensors>& tensors, const Network& network,
                                             const FileContext& context) {
  context.require(std::ssize(tensors) == network.depth(), "with ", tensors.size(), " layers of tensors, expected the ",
                  network.depth(), " of the architecture ", network.describe());
  std::vector<const TensorEntry*> ordered;
  for (std::size_t index = 0; index < tensors.size(); ++index) {
    const Dense& dense = std::get<Dense>(network.layers()[index]);
    const auto [weight, bias] = tensors[index];
    require_shape(*weight, {dense.out, dense.in}, context);
    ordered.push_back(weight);
    context.require((bias != nullptr) == dense.bias, "with ", bias != nullptr ? "a" : "no", " bias beside ",
                    printable(weight->name), ", expected ", dense.bias ? "one" : "none", " by the architecture");
    if (bias == nullptr) continue;
    require_shape(*bias, {dense.out}, context);
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

std::string entry_text(const ParameterBlock& block) {
  const bool weight = block.kind == ParameterBlock::Kind::weight;
  constexpr std::int64_t kBytes = sizeof(double);
  return text_of("\"layers.", block.layer, weight ? ".weight" : ".bias", R"(":{"dtype":"F64","shape":[)", block.rows,
                 weight ? text_of(',', block.cols) : "", R"(],"data_offsets":[)", block.offset * kBytes, ',',
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
  context.require(network.has_value(), "without metadata lossatlas.network, expected a file of write_model; give ",
                  "the widths of its linear layers and the activation between (--layers, embed: --model-layers, and ",
                  "--activation)");
  const std::vector<LayerTensors> layers = group_layers(header, context);
  const std::vector<const TensorEntry*> tensors = match_layers(layers, *network, context);
  std::int64_t largest = 0;
  for (const TensorEntry* entry : tensors) largest = std::max(largest, entry->end - entry->begin);
  context.require_memory(static_cast<double>(network->parameter_count()) * sizeof(double) +
                         static_cast<double>(largest));
  std::vector<double> theta;
  theta.reserve(static_cast<std::size_t>(network->parameter_count()));
  for (const TensorEntry* entry : tensors) append_values(input, header, *entry, theta);
  return {std::move(*network), std::move(theta)};
}

}  // namespace lossatlas
