// Whether a network's neurons still respond to the data, which exposes points at infinity (docs/theory.md, section 6).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Names the first hidden neuron with non-zero output weights that marks θ (M) as a point at infinity; empty if none
/// does. Such a neuron has a φ that saturates, and either max |φ'| < 1e-6 over the data, or samples with |φ'| ≥ 1e-6
/// that span too little to fix its weights: a step that grows ever steeper around one sample. Or it is nearly constant
/// on the data: to 1e-9 of its size, or to 1e-2 if the whole output is constant, since on the way to such points the
/// gradient vanishes to high order and a small one cannot tell the neuron's weights from 0. Neurons that are constant
/// but for rounding (1e-14) count as finite: they have no in-weights, or are dead ReLU neurons. Checks for a stop
/// request between chunks of samples.
std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

/// θ (M) with the same outputs on the data, but no output weights on hidden neurons that are constant there but for
/// rounding: the next layer's bias absorbs them. Without such a bias only neurons that are 0 on the data change; those
/// whose value an Add or several layers take do not; with only one sample, nothing does.
std::vector<double> fold_constant_neurons(const Landscape& landscape, std::span<const double> theta,
                                          const Control& control = {});

/// What the network's output is on the data, to 1e-5 of the largest |y| (1 for labels). Under cross entropy, shifts
/// common to all classes of a head do not count, as the loss does not see them, and if all classes are equally
/// frequent, zero outputs are the constant of a critical point, not `zero`.
enum class OutputKind : std::uint8_t { varying, constant, zero };
OutputKind output_kind(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

}  // namespace lossatlas
