// Whether the neurons of a network still respond to the data: how points at infinity show (theory section 6).
#pragma once

#include <span>
#include <string>

#include <lossatlas/landscape.hpp>

namespace lossatlas {

/// Names the first hidden neuron with non-zero output weights that marks θ (M) as a point at infinity; empty if none
/// does. Such a neuron has max |φ'| < 1e-6 over the data; or is constant on the data; or φ saturates and the samples
/// with |φ'| ≥ 1e-6 span too little to fix its weights: a step that grows ever steeper around one sample.
std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta);

/// |f_θ| ≤ share·max |y| on all of the data.
bool output_vanishes(const Landscape& landscape, std::span<const double> theta, double share);

}  // namespace lossatlas
