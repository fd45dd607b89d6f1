// The inner loops of a section evaluation on the CPU, one table of functions per precision for the best SIMD target.
//
// All work is on strips: arrays (units, R) of R rows, unit-major. A row is a sample (or a grid point if nothing
// depends on the sample), and R is a constant of the target. An entry of a result depends only on its own row and is
// computed in one fixed order, so its bits depend neither on the other rows nor on the row's place in the strip.
#pragma once

#include <cstdint>

#include <lossatlas/activation.hpp>
#include <lossatlas/loss.hpp>

namespace lossatlas::cpu {

/// A dense layer with fixed weights, packed in panels of units: panel p holds (in, units of the panel), see
/// panel_units().
template <class T>
struct PackedLayer {
  std::int64_t in = 0;
  std::int64_t out = 0;
  Activation activation = Activation::identity;
  const T* weights = nullptr;  ///< packed, padded with zeros to whole panels
  const T* bias = nullptr;     ///< (out), padded with zeros to whole panels
};

/// φ(A_0 + Σ_d c_d A_d + B) on one strip.
template <class T>
struct JointStrip {
  std::int64_t units = 0;
  std::int64_t directions = 0;
  const T* base = nullptr;          ///< (1 + directions, units, R)
  const T* coefficients = nullptr;  ///< (directions)
  const T* bias = nullptr;          ///< (units)
  Activation activation = Activation::identity;
};

/// Outputs of a strip with the targets of its samples; only the first `valid` rows count.
template <class T>
struct LossStrip {
  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;  ///< C
  std::int64_t valid = 0;
  const T* outputs = nullptr;  ///< (H·C, R)
  const T* labels = nullptr;   ///< (R) class numbers, or null
  const T* targets = nullptr;  ///< (C, R), when there are no labels
};

/// Outputs of a strip of grid points whose loss follows from the label statistics.
template <class T>
struct StatisticStrip {
  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  const T* outputs = nullptr;  ///< (H·C, R)
  const T* mean = nullptr;     ///< (C)
  double variance = 0;
};

/// The functions for T = float or double on one SIMD target.
template <class T>
struct SectionKernels {
  const char* target = "";
  std::int64_t rows = 0;   ///< R
  std::int64_t panel = 0;  ///< units of a full panel
  std::int64_t step = 0;   ///< the last panel is the smallest multiple of this that holds its units

  /// output (out, R) = φ(W input + b), input (in, R).
  void (*dense)(const PackedLayer<T>& layer, const T* input, T* output);
  /// output (units, R).
  void (*joint)(const JointStrip<T>& strip, T* output);
  /// output (units, R) = φ(inputs_0 + inputs_1 + ...) of `count` strips (units, R); it must not overlap them.
  void (*add)(const T* const* inputs, std::int64_t count, std::int64_t units, Activation activation, T* output);
  /// out (size) = parts_0 + Σ_d coefficients[d] parts_{d+1}; parts (1 + directions, size).
  void (*form)(const T* parts, std::int64_t directions, std::int64_t size, const T* coefficients, T* out);
  /// output (units, R) = factors (R) times each row of input (units, R).
  void (*scale)(const T* input, const T* factors, std::int64_t units, T* output);
  /// sums (H) += the losses of the valid rows.
  void (*add_losses)(const LossStrip<T>& strip, double* sums);
  /// losses (H, R).
  void (*statistic_losses)(const StatisticStrip<T>& strip, double* losses);
};

/// The table for the best target of this machine.
template <class T>
const SectionKernels<T>& section_kernels();

}  // namespace lossatlas::cpu
