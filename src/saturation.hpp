// Whether the neurons of a network still respond to the data: how points at infinity show (theory section 6).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Names the first hidden neuron with non-zero output weights that marks θ (M) as a point at infinity; empty if none
/// does. Such a neuron has max |φ'| < 1e-6 over the data; or is constant on the data; or φ saturates and the samples
/// with |φ'| ≥ 1e-6 span too little to fix its weights: a step that grows ever steeper around one sample.
/// Constant is a range of 1e-9 of its size, and of 1e-2 where the whole output is constant: the gradient vanishes to
/// high order on the way to such points, so that a small one does not tell the neuron's weights from 0. Looks for a
/// stop request between chunks of samples.
std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

/// What the network's output is on the data, to 1e-5 of the largest |y| (1 for labels).
enum class OutputKind : std::uint8_t { varying, constant, zero };
OutputKind output_kind(const Landscape& landscape, std::span<const double> theta, const Control& control = {});

}  // namespace lossatlas
