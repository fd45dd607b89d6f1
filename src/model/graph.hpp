// A network's graph: who takes whose value, and the guard of what works on chains of dense layers alone. The CUDA
// module uses these functions too and sees no other symbols of the library than the public ones, so they are inline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include <lossatlas/network.hpp>

#include "base/check.hpp"

namespace lossatlas {

/// The layers of a chain of dense layers. Throws InvalidArgument on any other network: `function` works on such chains
/// alone.
inline std::vector<Dense> dense_chain(const Network& network, std::string_view function) {
  require(is_dense_chain(network), function, "received a network of ", network.describe(),
          ", expected a chain of dense layers; it works on such networks alone");
  std::vector<Dense> layers;
  for (const Node& node : network.nodes()) layers.push_back(std::get<Dense>(node.layer));
  return layers;
}

/// The nodes that take the value of each node, in order.
inline std::vector<std::vector<std::int64_t>> consumers(const Network& network) {
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(network.depth()));
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    for (const std::int32_t input : network.nodes()[static_cast<std::size_t>(l)].inputs) {
      if (input >= 0) result[static_cast<std::size_t>(input)].push_back(l);
    }
  }
  return result;
}

/// Where a node's cotangent goes: input `node`, to whose cotangent it is added with weight 1 after multiplying what is
/// there by `beta`, which is 0 for the first contribution of a backward pass.
struct BackwardEdge {
  std::int64_t node;
  double beta;
};
/// The edges of each node to the nodes that it takes values of, for a pass from the last node to the first.
inline std::vector<std::vector<BackwardEdge>> backward_edges(const Network& network) {
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

/// Dense nodes whose values the output is the sum of: the last node, or those that reach it through Add layers without
/// an activation.
std::vector<std::int64_t> output_terms(const Network& network);

}  // namespace lossatlas
