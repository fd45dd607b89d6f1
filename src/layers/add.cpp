#include <lossatlas/add.hpp>

#include "base/check.hpp"
#include "layers/structure.hpp"

namespace lossatlas {

Shape shape_after(const Add&, std::span<const Shape> inputs, std::int64_t node) {
  require(inputs.size() >= 2, "Network", "received Add layer ", node, " with ", inputs.size(),
          inputs.size() == 1 ? " value" : " values", " as inputs, expected at least two");
  for (const Shape& shape : inputs) {
    require(shape == inputs.front(), "Network", "received Add layer ", node, " of values with ", inputs.front().size(),
            " and ", shape.size(), " entries, expected equal shapes");
  }
  return inputs.front();
}

ParameterSizes parameter_sizes(const Add&) { return {}; }

double layer_flop(const Add&, std::span<const Shape> inputs) {
  return static_cast<double>(inputs.front().size()) * static_cast<double>(inputs.size() - 1);
}

std::string file_entry(const Add& layer) {
  return text_of(R"("type":"add","activation":)", json_text(name(layer.activation)));
}

void read_entry(const JsonValue& entry, const FileContext& context, Add& layer) {
  const JsonValue& activation = entry["activation"];
  context.require(activation.is_string(), "whose metadata lossatlas.network has a malformed layer, ",
                  "expected type \"add\" and activation");
  layer.activation = parse_activation(activation.get<std::string>());
}

}  // namespace lossatlas
