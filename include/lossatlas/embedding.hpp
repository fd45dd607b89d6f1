#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/network.hpp>

namespace lossatlas {

/// Splits hidden neuron `neuron` (from 0) of layer `layer` (1 is the first hidden layer): T^α_{l,s} of [Z21],
/// Definition 1. The new last neuron copies its input weights and bias; its output weights become (1 − α) and α times
/// the old ones.
struct Split {
  std::int64_t layer = 1;
  std::int64_t neuron = 0;
  double alpha = 0.5;
};

/// Splits a neuron into weights.size() copies that take these shares of its output weights; the shares sum to 1 within
/// 1e-12. The first copy replaces the neuron, the others are appended. The Split of α is {1 − α, α}.
struct WeightedSplit {
  std::int64_t layer = 1;
  std::int64_t neuron = 0;
  std::vector<double> weights;
};

/// A wide network that computes the same function as a narrow one.
struct Embedding {
  Network network;
  std::vector<double> theta;  ///< (M_wide)
  /// source[l][j]: the neuron of narrow layer l + 1 that wide neuron j copies, −1 for a neuron without inputs and
  /// outputs. One list for each hidden layer.
  std::vector<std::vector<std::int64_t>> source;
  /// share[l][j]: the factor on the copied output weights; the shares of the copies of one neuron sum to 1.
  std::vector<std::vector<double>> share;
};

/// Makes one split, for any real α, hidden layer, depth and activation. Throws InvalidArgument for a layer or neuron
/// out of range, a non-finite α or a θ of the wrong size.
/// @snippet api/critical_points.cpp split
LOSSATLAS_API Embedding split_neuron(const Network& network, std::span<const double> theta, const Split& split);
/// Makes one WeightedSplit.
/// @snippet api/critical_points.cpp embed
LOSSATLAS_API Embedding split_neuron(const Network& network, std::span<const double> theta, std::int64_t layer,
                                     std::int64_t neuron, std::span<const double> weights);
/// Makes the splits one after another; neuron numbers refer to the network of that moment ([Z21], multi-step
/// embedding).
/// @snippet api/critical_points.cpp embed
LOSSATLAS_API Embedding embed(const Network& network, std::span<const double> theta, std::span<const Split> splits);
/// The same for splits with weights.
/// @snippet api/critical_points.cpp embed
LOSSATLAS_API Embedding embed(const Network& network, std::span<const double> theta,
                              std::span<const WeightedSplit> splits);
/// Widens to the given hidden widths: neurons are copied round-robin, and the copies of one neuron get equal shares.
/// Throws InvalidArgument if a width is smaller than the network's.
/// @snippet api/critical_points.cpp embed
LOSSATLAS_API Embedding embed(const Network& network, std::span<const double> theta,
                              std::span<const std::int64_t> hidden_widths);
/// Widens hidden layer l + 1 to shares[l].size() neurons with given shares: wide neuron j copies neuron j mod m of the
/// m narrow ones and takes shares[l][j] of its output weights. Throws InvalidArgument if a layer gets fewer neurons
/// than it has, or if the shares of one neuron's copies do not sum to 1 within 1e-12.
/// @snippet api/critical_points.cpp embed
LOSSATLAS_API Embedding embed(const Network& network, std::span<const double> theta,
                              std::span<const std::vector<double>> shares);
/// Adds `count` neurons without input and output weights to a hidden layer, with this bias ([Z21], null embedding).
/// Where the next layer has no bias, a critical point stays critical only if φ(bias) = 0.
/// @snippet api/critical_points.cpp null embedding
LOSSATLAS_API Embedding null_embedding(const Network& network, std::span<const double> theta, std::int64_t layer,
                                       std::int64_t count = 1, double bias = 0);

/// The affine family of embeddings ([Z21], Theorem 2): base + span of the directions. The network is the same function
/// on all of it, and all of it is critical if the narrow point is.
struct EmbeddingFamily {
  Embedding base;                  ///< every split at α = 0
  std::vector<double> directions;  ///< (K, M_wide): derivative with respect to each α at 0
  std::int64_t rank = 0;           ///< of the directions
};
/// The family of splitting original neurons (layer, neuron); ignores the α of the splits.
/// @snippet api/critical_points.cpp family
LOSSATLAS_API EmbeddingFamily embedding_family(const Network& network, std::span<const double> theta,
                                               std::span<const Split> splits);

/// How exactly an embedding keeps function, loss and gradient on a data set.
struct EmbeddingCertificate {
  double output_change = 0;  ///< max over samples and outputs of |f_wide − f_narrow|
  double loss_change = 0;    ///< |R_wide − R_narrow|
  /// max |∇R_wide − its prediction from ∇R_narrow| (docs/theory.md, section 4: share·∂R/∂w for the inputs of a copy,
  /// ∂R/∂a for its outputs)
  double gradient_residual = 0;
  double narrow_gradient_l1 = 0;  ///< ‖∇R‖₁ before
  double wide_gradient_l1 = 0;    ///< ‖∇R‖₁ after
};
/// Compares both networks on the data of `narrow`, the landscape that `theta` and `embedding` belong to. Throws
/// Interrupted.
/// @snippet api/critical_points.cpp split
LOSSATLAS_API EmbeddingCertificate certify(const Landscape& narrow, std::span<const double> theta,
                                           const Embedding& embedding, const Control& control = {});

}  // namespace lossatlas
