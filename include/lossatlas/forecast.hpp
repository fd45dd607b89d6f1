#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/embedding.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/spectrum.hpp>

namespace lossatlas {

/// The two small matrices that decide what splitting a neuron does to the Hessian, at any θ (docs/theory.md, section 4,
/// block theorem): In(H_wide) = In(H_narrow) + In([[α(1−α) B, D], [Dᵀ, 0]]).
struct SplitForecast {
  std::int64_t inputs = 0;   ///< d_l: inputs of the neuron, with its bias
  std::int64_t outputs = 0;  ///< units of the next layer
  std::vector<double> b;     ///< B (inputs, inputs) = Σ_n (e_n·a) φ''(z_n) x̃_n x̃_nᵀ
  std::vector<double> d;     ///< D (inputs, outputs) = Σ_n φ'(z_n) x̃_n e_nᵀ
  std::vector<double>
      b_eigenvalues;  ///< (inputs) ascending; a negative one means that splitting lowers the loss ([LWW19])
  Inertia narrow;     ///< In(H_narrow)
  Inertia inside;     ///< of [[B, D], [Dᵀ, 0]]: added for 0 < α < 1
  Inertia outside;    ///< of [[−B, D], [Dᵀ, 0]]: added for α < 0 or α > 1
  Inertia border;     ///< of [[0, D], [Dᵀ, 0]]: added for α ∈ {0, 1}
  double gap = 0;     ///< smallest ZeroRule::gap of the four: below 1000 the counts may be off by what lies near zero

  /// In(H_wide) after one split with this α. Throws InvalidArgument on a non-finite α.
  LOSSATLAS_API Inertia wide(double alpha) const;
  /// In(H_wide) after a split into copies with these shares. Throws InvalidArgument unless they sum to 1 within 1e-12.
  LOSSATLAS_API Inertia wide(std::span<const double> weights) const;
};

/// Forecast for splitting `neuron` of hidden layer `layer` (from 1) at θ; the host sums up B and D. Each matrix has its
/// own zero rule unless `options.zero_threshold` is given. Throws InvalidArgument as split_neuron does, or when B or D
/// is not finite; Interrupted.
/// @snippet api/critical_points.cpp forecast
LOSSATLAS_API SplitForecast split_forecast(const Landscape& landscape, std::span<const double> theta,
                                           std::int64_t layer, std::int64_t neuron,
                                           const SpectrumOptions& options = {}, const Control& control = {});
/// In(H_wide) of one split.
/// @snippet api/critical_points.cpp forecast
LOSSATLAS_API Inertia forecast_split(const Landscape& landscape, std::span<const double> theta, const Split& split,
                                     const Control& control = {});

/// A neuron and the smallest eigenvalue of its B. Splitting the neuron with the most negative one lowers the loss
/// fastest.
struct SplitCandidate {
  std::int64_t layer = 1;
  std::int64_t neuron = 0;
  double smallest_eigenvalue = 0;
};
/// All hidden neurons, most negative first. Throws Interrupted.
/// @snippet api/critical_points.cpp rank splits
LOSSATLAS_API std::vector<SplitCandidate> rank_splits(const Landscape& landscape, std::span<const double> theta,
                                                      const Control& control = {});

}  // namespace lossatlas
