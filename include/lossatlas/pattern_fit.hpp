#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/device.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/pattern.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>

namespace lossatlas {

/// How the network above the first layer is found (docs/theory.md, section 1, "Ways to fit q").
///
/// features: draws and places the hidden layers once, then fits the last layer by regularised least squares.
/// adam: trains all of θ' by Adam from random parameters. refine: features, then Levenberg–Marquardt on all of θ'.
enum class FitMethod : std::uint8_t { features, adam, refine };
/// "features", "adam" or "refine".
LOSSATLAS_API std::string_view name(FitMethod method);
/// The inverse of name(). Throws InvalidArgument.
LOSSATLAS_API FitMethod parse_fit_method(std::string_view text);

/// Options of fit_pattern().
struct FitOptions {
  std::vector<std::int64_t> hidden = {64, 2048};  ///< widths of the hidden layers; the first carries h in its biases
  Activation activation = Activation::tanh;
  Loss loss = Loss::cross_entropy;
  FitMethod method = FitMethod::features;
  /// δ > 0: the least loss lies δ above the infimum of σ, away from the square-root singularity of its inverse.
  double margin = 1.0;
  /// Width of the narrowest hidden activations, in a box of width 1; absent: taken from the pattern.
  std::optional<double> feature_width = std::nullopt;
  /// Share of the hidden units placed where the pattern has detail, 0..1; the others are spread evenly. Absent: 0 for a
  /// pattern that evenly spread units reproduce, otherwise nearly all.
  std::optional<double> placed_share = std::nullopt;
  /// Ridge of the least squares, relative to the mean square of a hidden activation; absent: chosen automatically.
  std::optional<double> ridge = std::nullopt;
  std::uint64_t seed = 1;
  /// Steps of adam (minibatches of 1024 pixels) or refine (damped Gauss–Newton); 0: 4000 or 12. refine also ends once
  /// it gains nothing more. A count, not a time, so a fit gives the same bits on a slower machine.
  std::int64_t iterations = 0;
  Device device = Device::best();
  Control control = {};
};

/// Seconds spent in the stages of a fit.
struct FitSeconds {
  double features = 0;
  double solve = 0;
  double refine = 0;
  double total = 0;
};

/// One progress record of an iterative fit.
struct FitStep {
  double seconds = 0;
  double psnr_db = 0;
};

/// A network with a pattern in its loss surface: L(h) = R(θ₀ + Σ hᵢ θᵢ) ≈ T(h) + offset (Theorem 1 of [C19]).
struct PatternFit {
  Network network;             ///< d → hidden → H·C, first weights zero
  Section section;             ///< origin θ₀, directions θᵢ in the biases of the first layer; h = α
  std::vector<double> offset;  ///< (H) the offset aimed at, σ_min − min T + δ
  double sigma_minimum = 0;    ///< infimum of the implicit activation
  PatternError error;          ///< on the pattern's own pixels, f64, after the best constant
  FitSeconds seconds;
  std::vector<FitStep> steps;  ///< of refine or adam: seconds and PSNR, never falling
};

/// Finds a network whose loss surface on `train` shows `pattern`. Any finite inputs give the same surface.
/// Throws InvalidArgument on options out of their domain, Interrupted, OutOfMemory.
/// @snippet api/patterns.cpp fit
/// @snippet api/patterns.cpp refine
LOSSATLAS_API PatternFit fit_pattern(const Pattern& pattern, const Dataset& train, const FitOptions& options = {});

}  // namespace lossatlas
