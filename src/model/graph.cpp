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

std::vector<Dense> dense_chain(const Network& network, std::string_view function) {
  require(is_dense_chain(network), function, "received a network of ", network.describe(),
          ", expected a chain of dense layers; it works on such networks alone");
  std::vector<Dense> layers;
  for (const Node& node : network.nodes()) layers.push_back(std::get<Dense>(node.layer));
  return layers;
}

Activation activation(const Layer& layer) {
  return std::visit([](const auto& one) { return one.activation; }, layer);
}

std::vector<std::vector<std::int64_t>> consumers(const Network& network) {
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(network.depth()));
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    for (const std::int32_t input : network.nodes()[static_cast<std::size_t>(l)].inputs) {
      if (input >= 0) result[static_cast<std::size_t>(input)].push_back(l);
    }
  }
  return result;
}

std::vector<std::vector<BackwardEdge>> backward_edges(const Network& network) {
  std::vector<std::vector<BackwardEdge>> result(static_cast<std::size_t>(network.depth()));
  std::vector<bool> reached(result.size());
  for (std::size_t l = result.size(); l-- > 0;) {
    for (const std::int32_t input : network.nodes()[l].inputs) {
      if (input < 0) continue;
      const auto below = static_cast<std::size_t>(input);
      result[l].push_back({input, reached[below] ? 1.0 : 0.0});
      reached[below] = true;
    }
  }
  return result;
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
