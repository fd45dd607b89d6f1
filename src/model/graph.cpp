#include "model/graph.hpp"

#include <algorithm>
#include <variant>

#include "base/check.hpp"

namespace lossatlas {

bool is_dense_chain(const Network& network) {
  return network.is_chain() && std::ranges::all_of(network.nodes(), [](const Node& node) {
           return std::holds_alternative<Dense>(node.layer);
         });
}

Activation activation(const Layer& layer) {
  return std::visit([](const auto& one) { return one.activation; }, layer);
}

std::vector<std::int64_t> output_terms(const Network& network) {
  std::vector<char> only_output(static_cast<std::size_t>(network.depth()));
  const std::vector<std::vector<std::int64_t>> above = consumers(network);
  std::vector<std::int64_t> terms;
  for (std::size_t l = only_output.size(); l-- > 0;) {
    const Layer& layer = network.nodes()[l].layer;
    only_output[l] =
        activation(layer) == Activation::identity && std::ranges::all_of(above[l], [&](std::int64_t next) {
          return only_output[static_cast<std::size_t>(next)] && std::holds_alternative<Add>(network.layer(next));
        });
    if (only_output[l] && std::holds_alternative<Dense>(layer)) terms.push_back(static_cast<std::int64_t>(l));
  }
  std::ranges::reverse(terms);
  return terms;
}

}  // namespace lossatlas
