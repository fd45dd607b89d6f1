#include <lossatlas/dense.hpp>

#include "base/check.hpp"
#include "layers/structure.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kMaxWidth = std::int64_t{1} << 31;

}  // namespace

std::int64_t positive_member(const JsonValue& entry, const char* key, const FileContext& context) {
  const JsonValue& number = entry[key];
  const bool fits = number.is_number_unsigned() && number.get<std::uint64_t>() >= 1 &&
                    number.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxWidth);
  context.require(fits, "whose metadata lossatlas.network has no whole number ", key, ", expected 1..2^31");
  return static_cast<std::int64_t>(number.get<std::uint64_t>());
}

Shape shape_after(const Dense& layer, std::span<const Shape> inputs, std::int64_t node) {
  require(layer.in > 0 && layer.out > 0 && layer.in < kMaxWidth && layer.out < kMaxWidth, "Network", "received layer ",
          node, " of ", layer.in, " inputs and ", layer.out, " outputs, expected widths from 1 to 2^31 - 1");
  require(inputs.size() == 1, "Network", "received dense layer ", node, " with ", inputs.size(),
          " values as inputs, expected one; use an Add layer for several");
  require(inputs.front().size() == layer.in, "Network", "received layer ", node, " with ", layer.in, " inputs after ",
          inputs.front().size(), " outputs, expected equal widths");
  return {layer.out};
}

ParameterSizes parameter_sizes(const Dense& layer) { return {.out = layer.out, .in = layer.in, .bias = layer.bias}; }

double layer_flop(const Dense& layer, std::span<const Shape>) {
  return 2.0 * static_cast<double>(layer.in) * static_cast<double>(layer.out);
}

std::string file_entry(const Dense& layer) {
  return text_of(R"("type":"dense","in":)", layer.in, R"(,"out":)", layer.out, R"(,"bias":)",
                 layer.bias ? "true" : "false", R"(,"activation":)", json_text(name(layer.activation)));
}

void read_entry(const JsonValue& entry, const FileContext& context, Dense& layer) {
  const JsonValue &bias = entry["bias"], &activation = entry["activation"];
  context.require(bias.is_boolean() && activation.is_string(),
                  "whose metadata lossatlas.network has a malformed layer, ",
                  "expected type \"dense\", in, out, bias and activation");
  layer = {.in = positive_member(entry, "in", context),
           .out = positive_member(entry, "out", context),
           .bias = bias.get<bool>(),
           .activation = parse_activation(activation.get<std::string>())};
}

}  // namespace lossatlas
