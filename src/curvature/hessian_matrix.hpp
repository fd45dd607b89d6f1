// Hessians in host memory, for code that decomposes them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <lossatlas/hessian.hpp>

#include "linalg/hessian_caller.hpp"

namespace lossatlas {

/// ∇²R(θ) (M, M). Throws as hessian() does, and NonFiniteHessian.
std::vector<double> finite_hessian(const Landscape& landscape, std::span<const double> theta,
                                   const HessianOptions& options, const HessianCaller& caller);

/// hessian_spectrum(), or nullopt if the Hessian has a non-finite entry. Reports no progress.
std::optional<Spectrum> spectrum_where_finite(const Landscape& landscape, std::span<const double> theta,
                                              const SpectrumOptions& spectrum, const Control& control);

}  // namespace lossatlas
