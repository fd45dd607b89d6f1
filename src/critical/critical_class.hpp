// When two critical points are the same (docs/theory.md, section 6): both are reduced to the neurons that matter, which
// are then matched up to permutation and, for odd activations, sign.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// A dense layer of a reduced network: weight (out, in) row-major, bias (out) or empty.
struct ReducedLayer {
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::vector<double> weight;
  std::vector<double> bias;
  Activation activation = Activation::identity;
};
using ReducedNetwork = std::vector<ReducedLayer>;

/// θ without the hidden neurons whose output weights vanish (relative to the layer's largest), and with equal neurons
/// merged; `same` is the relative distance up to which values count as equal. Rewrites sigmoid layers below a bias with
/// tanh, scales relu and leaky relu neurons to in-weights (with the bias) of norm 1, and centres the outputs under
/// cross entropy.
ReducedNetwork reduce_neurons(const Network& network, std::span<const double> theta, double same, Loss loss);

/// Whether a and b agree up to the order and, for odd activations, the signs of hidden neurons.
bool same_neurons(const ReducedNetwork& a, const ReducedNetwork& b, double same);

/// What all points of a class share: the reduced neurons of a chain of dense layers with its constant ones folded, or
/// the outputs on the data (N, H·C) of any other network.
struct CanonicalForm {
  ReducedNetwork neurons;
  std::vector<double> outputs;
};
/// Checks for a stop request between chunks of samples.
CanonicalForm canonical_form(const Landscape& landscape, std::span<const double> theta, double same,
                             const Control& control);
/// Whether two points of one landscape with these forms are in one class.
bool same_form(const CanonicalForm& a, const CanonicalForm& b, double same);

/// Shifts the outputs of each head by one number for all classes, so that they sum to 0: changes the weights and biases
/// in θ (M) of the last layer, or of those whose values an Add makes the output of. Cross entropy does not see the
/// shift.
void centre_outputs(const Network& network, std::span<double> theta);

/// Whether φ(−x) = −φ(x).
bool is_odd(Activation activation);

}  // namespace lossatlas
