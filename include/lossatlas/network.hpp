#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/add.hpp>
#include <lossatlas/dense.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/shape.hpp>

namespace lossatlas {

/// One layer of a network.
using Layer = std::variant<Dense, Add>;

/// A layer and the values that it takes: indices of earlier nodes, or −1 for the network's input x.
/// @snippet api/networks.cpp graph
struct Node {
  Layer layer;
  std::vector<std::int32_t> inputs;

  friend bool operator==(const Node&, const Node&) = default;
};

/// A contiguous piece of θ.
/// @snippet api/networks.cpp chain
struct ParameterBlock {
  /// What the piece holds.
  enum class Kind : std::uint8_t { weight, bias };

  std::int64_t layer = 0;  ///< index into Network::nodes()
  Kind kind = Kind::weight;
  std::int64_t offset = 0;  ///< first entry in θ
  std::int64_t out = 0;     ///< outputs of the layer
  std::int64_t in = 1;      ///< inputs that each of them has weights for; 1 for a bias
  std::int64_t taps = 1;    ///< weights from an input to an output; 1 for a dense layer

  std::int64_t size() const { return out * in * taps; }
};

/// A feed-forward network: a graph of nodes, each a layer that takes values of earlier nodes, and a number of heads on
/// the value of the last one.
///
/// Its parameters are one flat vector θ of M doubles: the blocks of each node in turn, (W₁, b₁, ..., W_L, b_L) for a
/// chain of dense layers, each W row-major. With H heads the output has H·C entries and head k has the entries
/// kC..(k+1)C−1; each head has its own loss on the same labels. The last layer is linear. A value type: copies are
/// cheap, and == compares architectures.
class LOSSATLAS_API Network {
 public:
  Network() = default;
  /// A chain: each layer takes the value of the one before it. Throws InvalidArgument as the next constructor does.
  explicit Network(std::vector<Layer> layers, std::int64_t heads = 1);
  /// Throws InvalidArgument, naming the node, when the list is empty, an input is not an earlier node, a width is not
  /// positive or does not fit the input, no node takes the value of one but the last, no dense layer takes x, the last
  /// layer is not linear, or heads does not divide the output width.
  /// @snippet api/networks.cpp graph
  explicit Network(std::vector<Node> nodes, std::int64_t heads = 1);

  std::span<const Node> nodes() const { return nodes_; }
  const Layer& layer(std::int64_t node) const { return nodes_[static_cast<std::size_t>(node)].layer; }
  /// Shape of a node's value; of x for −1.
  const Shape& shape(std::int64_t node) const { return shapes_[static_cast<std::size_t>(node + 1)]; }
  std::int64_t width(std::int64_t node) const { return shape(node).size(); }  ///< m_l, entries of shape(node)
  /// Whether each node takes the value of the one before it, and nothing else.
  bool is_chain() const;
  std::int64_t depth() const { return static_cast<std::int64_t>(nodes_.size()); }  ///< number of nodes
  std::int64_t inputs() const;                                                     ///< d
  std::int64_t outputs() const;                                                    ///< H·C
  std::int64_t heads() const { return heads_; }                                    ///< H
  std::int64_t outputs_per_head() const { return outputs() / heads_; }             ///< C
  std::int64_t parameter_count() const { return parameters_; }                     ///< M
  /// The pieces of θ in order, one for each weight and each bias that exists.
  std::span<const ParameterBlock> blocks() const { return blocks_; }

  /// Views of node `layer` in θ (M), empty where it has no parameters; throws InvalidArgument on a wrong size or index.
  /// @snippet api/networks.cpp chain
  LayerView<double> view(std::span<double> theta, std::int64_t layer) const;
  LayerView<const double> view(std::span<const double> theta, std::int64_t layer) const;

  /// "784-64-64-10 tanh, 1 head, 55050 parameters"; "2 inputs, 4 dense nodes, 1 Add node, 3 outputs, tanh, ..." of what
  /// is no chain.
  std::string describe() const;

  friend bool operator==(const Network& a, const Network& b) { return a.nodes_ == b.nodes_ && a.heads_ == b.heads_; }

 private:
  std::span<const ParameterBlock> blocks_of(std::int64_t layer) const;

  std::vector<Node> nodes_;
  std::vector<Shape> shapes_;  ///< of x, then of each node
  std::vector<ParameterBlock> blocks_;
  std::vector<std::size_t> first_block_;  ///< of each node
  std::int64_t heads_ = 1;
  std::int64_t parameters_ = 0;
};

/// Which layers have a bias.
enum class Bias : std::uint8_t { all, hidden, none };

/// Options of mlp().
struct MlpOptions {
  Bias bias = Bias::all;
  std::int64_t heads = 1;
};

/// A multi-layer perceptron of the given widths (d, m₁, ..., H·C); hidden layers have `activation`.
/// Throws InvalidArgument as Network does, or when fewer than two widths are given.
/// @snippet api/networks.cpp chain
LOSSATLAS_API Network mlp(std::vector<std::int64_t> widths, Activation activation, MlpOptions options = {});

/// φ of a layer.
LOSSATLAS_API Activation activation(const Layer& layer);

/// Whether a network is a chain of dense layers, the only kind that can be split, embedded or fitted to a pattern.
LOSSATLAS_API bool is_dense_chain(const Network& network);

/// The activation of all hidden layers of a chain of dense layers; throws InvalidArgument if there is none or they
/// differ.
LOSSATLAS_API Activation hidden_activation(const Network& network);

/// How parameters are drawn: N(0, s²), with s given for each layer, with s² = 1/m^power, or with s = 1/√in.
struct InitOptions {
  std::uint64_t seed = 0;
  /// Standard deviations s of weights and biases: of each node, or one for all.
  std::vector<double> scale = {};
  /// Without scale: the variance of all parameters is 1/m^power, m the widest hidden layer. This is the N(0, 1/m^p) of
  /// [Z21], which takes the powers 3 and 6.
  std::optional<double> power = std::nullopt;
};

/// θ (M) of independent normal entries N(0, s_l²). A seed gives the same θ on every machine whose log, sin and cos
/// agree. Throws InvalidArgument for scales that are negative, not finite, or neither one nor one per layer, and for a
/// power that is not finite.
/// @snippet api/networks.cpp initial
LOSSATLAS_API std::vector<double> random_parameters(const Network& network, InitOptions options = {});

}  // namespace lossatlas
