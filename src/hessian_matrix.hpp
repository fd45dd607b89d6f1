// Hessians in host memory for those that take them apart.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/hessian.hpp>

namespace lossatlas {

/// For whom a Hessian is made, as its errors say.
struct HessianCaller {
  std::string_view function;
  std::int64_t point = -1;  ///< which of several; -1: the only one

  std::string parameters() const { return point < 0 ? "parameters" : "parameters of point " + std::to_string(point); }
};

/// ∇²R(θ) (M, M). Throws as hessian() does, and NonFiniteHessian.
std::vector<double> finite_hessian(const Landscape& landscape, std::span<const double> theta,
                                   const HessianOptions& options, const HessianCaller& caller);

/// hessian_spectrum(), or nothing where the Hessian has a non-finite entry. Reports no progress.
std::optional<Spectrum> spectrum_where_finite(const Landscape& landscape, std::span<const double> theta,
                                              const SpectrumOptions& spectrum, const Control& control);

}  // namespace lossatlas
