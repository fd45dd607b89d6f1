// Whether cross entropy still falls on samples that a network is sure of: how points at infinity show that no neuron
// gives away (theory section 6).
#pragma once

#include <span>

#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Whether the cross entropy at θ (M) falls for ever in a direction that changes, to first order, only probabilities
/// below 1e-8: then no finite critical point is near, however small the gradient is. Always false for other losses.
///
/// A pair of a sample and an output that is not its label (of the positive targets, the largest) adds e^m to the loss,
/// m the difference of the two logits. Pairs with a probability of at least 1e-8, or a positive target, fix the span
/// of their ∂m/∂θ; the others are free as far as their ∂m/∂θ is outside it. A critical point needs Σ e^m ∂m/∂θ of the
/// free pairs to vanish outside the span, here to 1e-6 of the sum of its terms: first among the pairs within 1e-8 of
/// the largest e^m, then, once these are fixed as well, among those within 1e-8 of the next one. Only ratios of
/// e^m are formed, so that it does not matter that they underflow. Parameters are measured by how far they move the
/// outputs.
///
/// A forward pass over the data if no probability is below 1e-8. Otherwise as many backward passes over a chunk of
/// samples as the span has dimensions, O(M) for each pair of them by Gram–Schmidt, and 8·M² bytes at the most. Looks
/// for a stop request between passes.
bool falls_for_ever(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

}  // namespace lossatlas
