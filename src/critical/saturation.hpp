// Whether the neurons of a network still respond to the data: how points at infinity show (theory section 6).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Names the first hidden neuron with non-zero output weights that marks θ (M) as a point at infinity; empty if none
/// does. Such a neuron's φ saturates and max |φ'| < 1e-6 over the data, or the samples with |φ'| ≥ 1e-6 span too little
/// to fix its weights: a step that grows ever steeper around one sample. Or it is nearly constant on the data: to 1e-9
/// of its size, and to 1e-2 where the whole output is constant: the gradient vanishes to high order on the way to such
/// points, so that a small one does not tell the neuron's weights from 0. Neurons that are constant but for rounding
/// (1e-14) are finite: they have no in-weights, or are dead ReLU neurons. Looks for a stop request between chunks of
/// samples.
std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

/// θ (M) with the same outputs on the data, in which hidden neurons that are constant there but for rounding have no
/// output weights: the next layer's bias takes them. Without such a bias only neurons that are 0 on the data change;
/// nothing does if there is only one sample.
std::vector<double> fold_constant_neurons(const Landscape& landscape, std::span<const double> theta,
                                          const Control& control = {});

/// What the network's output is on the data, to 1e-5 of the largest |y| (1 for labels). Under cross entropy, which does
/// not see them, shifts common to all classes of a head do not count, and zero outputs where all classes are equally
/// frequent are the constant that a critical point has, not `zero`.
enum class OutputKind : std::uint8_t { varying, constant, zero };
OutputKind output_kind(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

}  // namespace lossatlas
