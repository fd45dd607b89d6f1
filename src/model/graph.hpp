// A network's graph: who takes whose value, and the guard of what works on chains of dense layers alone.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <lossatlas/network.hpp>

namespace lossatlas {

/// The layers of a chain of dense layers. Throws InvalidArgument on any other network: `function` works on such chains
/// alone.
std::vector<Dense> dense_chain(const Network& network, std::string_view function);

/// The nodes that take the value of each node, in order.
std::vector<std::vector<std::int64_t>> consumers(const Network& network);

/// Where a node's cotangent goes: input `node`, to whose cotangent it is added with weight 1 after multiplying what is
/// there by `beta`, which is 0 for the first contribution of a backward pass.
struct BackwardEdge {
  std::int64_t node;
  double beta;
};
/// The edges of each node to the nodes that it takes values of, for a pass from the last node to the first.
std::vector<std::vector<BackwardEdge>> backward_edges(const Network& network);

/// Dense nodes whose values the output is the sum of: the last node, or those that reach it through Add layers without
/// an activation.
std::vector<std::int64_t> output_terms(const Network& network);

}  // namespace lossatlas
