// Whether cross entropy still falls on samples that a network is sure of, which exposes points at infinity that no
// neuron gives away (docs/theory.md, section 6).
#pragma once

#include <span>

#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Whether the cross entropy at θ (M) falls for ever in a direction that changes, to first order, only probabilities
/// below 1e-8: then no finite critical point is near, however small the gradient is. Always false for other losses.
///
/// A pair of a sample and an output that is not its label (the largest of its positive targets) adds e^m to the loss,
/// where m is the difference of the two logits. Pairs with a probability of at least 1e-8, or a positive target, fix
/// the span of their ∂m/∂θ; the others are free as far as their ∂m/∂θ is outside it. A critical point needs Σ e^m ∂m/∂θ
/// of the free pairs to vanish outside the span, here to 1e-6 of the sum of its terms: first among the pairs within
/// 1e-8 of the largest e^m, then, once these are fixed too, among those within 1e-8 of the next one. Only ratios of e^m
/// are computed, so their underflow does not matter. Parameters are measured by how far they move the outputs.
///
/// Costs one forward pass over the data if no probability is below 1e-8; otherwise as many backward passes over a chunk
/// of samples as the span has dimensions, O(M) for each pair of dimensions by Gram–Schmidt, and at most 8·M² bytes.
/// Checks for a stop request between passes.
bool falls_for_ever(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

}  // namespace lossatlas
