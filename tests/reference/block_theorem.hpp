// The block theorem of docs/theory.md, section 4, in matrices, VᵀH_wideV = H_narrow ⊕ [[α(1−α)B, D], [Dᵀ, 0]], and the
// random problems that it is tested on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/embedding.hpp>
#include <lossatlas/forecast.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/spectrum.hpp>

#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas::reference {

inline constexpr double kAlphas[] = {-0.5, 0, 0.25, 0.5, 1, 1.5};

/// Number of units of a layer; layers count from 0.
inline std::int64_t width(const Network& network, std::int64_t layer) { return network.width(layer); }

/// The largest magnitude; infinite if a value is NaN.
inline double largest(const std::vector<double>& values) {
  return max_difference(values, std::vector<double>(values.size()));
}

/// n of a matrix (n, n).
inline std::int64_t side(const std::vector<double>& matrix) {
  return std::lround(std::sqrt(static_cast<double>(matrix.size())));
}

/// V (M_wide, M_narrow + d_l + m_{l+1}): the derivative of (W_l, W_{l+1}, ...) in the theorem's coordinates,
/// w_s = w̄ + αδ, w_new = w̄ − (1 − α)δ, a_s = (1 − α)ā + c, a_new = αā − c.
inline std::vector<double> coordinates(const Network& narrow, const Network& wide, const Split& split) {
  const auto rows = static_cast<std::size_t>(wide.parameter_count());
  const auto narrow_size = static_cast<std::size_t>(narrow.parameter_count());
  const Dense& layer = std::get<Dense>(narrow.layer(split.layer - 1));
  const auto inputs = static_cast<std::size_t>(layer.in + layer.bias);
  const std::size_t cols = narrow_size + inputs + static_cast<std::size_t>(width(narrow, split.layer));
  std::vector<double> result(rows * cols);
  // A θ that holds its own indices numbers the parameters.
  std::vector<double> narrow_index(narrow_size), wide_index(rows);
  for (std::size_t m = 0; m < narrow_size; ++m) narrow_index[m] = static_cast<double>(m);
  for (std::size_t m = 0; m < rows; ++m) wide_index[m] = static_cast<double>(m);
  const auto set = [&](double row, double col, double value) {
    result[static_cast<std::size_t>(row) * cols + static_cast<std::size_t>(col)] = value;
  };
  for (std::int64_t l = 0; l < narrow.depth(); ++l) {
    const auto from = narrow.view(std::span<const double>(narrow_index), l);
    const auto to = wide.view(std::span<const double>(wide_index), l);
    const bool split_rows = l + 1 == split.layer, split_cols = l == split.layer;
    for (std::int64_t i = 0; i < to.weight.out; ++i) {
      const bool new_row = i == from.weight.out;
      const double delta = new_row ? split.alpha - 1 : split.alpha;
      const std::int64_t source = new_row ? split.neuron : i;
      const bool moves = split_rows && source == split.neuron;
      for (std::int64_t j = 0; j < to.weight.in; ++j) {
        const bool new_col = j == from.weight.in;
        const std::int64_t col = new_col ? split.neuron : j;
        const double share = !split_cols || col != split.neuron ? 1 : new_col ? split.alpha : 1 - split.alpha;
        set(to.weight(i, j), from.weight(source, col), share);
        if (moves) set(to.weight(i, j), static_cast<double>(narrow_size + static_cast<std::size_t>(j)), delta);
        if (split_cols && col == split.neuron) {
          set(to.weight(i, j), static_cast<double>(narrow_size + inputs + static_cast<std::size_t>(i)),
              new_col ? -1 : 1);
        }
      }
      if (to.bias.empty()) continue;
      const double row = to.bias[static_cast<std::size_t>(i)];
      set(row, from.bias[static_cast<std::size_t>(source)], 1);
      if (moves) set(row, static_cast<double>(narrow_size + inputs - 1), delta);
    }
  }
  return result;
}

/// Vᵀ H V.
inline std::vector<double> congruent(const std::vector<double>& v, const std::vector<double>& h, std::size_t rows) {
  const std::size_t cols = v.size() / rows;
  std::vector<double> hv(rows * cols), result(cols * cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < rows; ++k) {
      for (std::size_t j = 0; j < cols; ++j) hv[i * cols + j] += h[i * rows + k] * v[k * cols + j];
    }
  }
  for (std::size_t k = 0; k < rows; ++k) {
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) result[i * cols + j] += v[k * cols + i] * hv[k * cols + j];
    }
  }
  return result;
}

/// H_narrow ⊕ [[α(1−α)B, D], [Dᵀ, 0]].
inline std::vector<double> direct_sum(const std::vector<double>& narrow, const SplitForecast& forecast, double alpha) {
  const auto first = static_cast<std::size_t>(side(narrow));
  const auto inputs = static_cast<std::size_t>(forecast.inputs), outputs = static_cast<std::size_t>(forecast.outputs);
  const std::size_t size = first + inputs + outputs;
  std::vector<double> result(size * size);
  for (std::size_t i = 0; i < first; ++i) std::copy_n(&narrow[i * first], first, &result[i * size]);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      result[(first + i) * size + first + j] = alpha * (1 - alpha) * forecast.b[i * inputs + j];
    }
    for (std::size_t k = 0; k < outputs; ++k) {
      const double d = forecast.d[i * outputs + k];
      result[(first + i) * size + first + inputs + k] = d;
      result[(first + inputs + k) * size + first + i] = d;
    }
  }
  return result;
}

/// Every combination of depth, loss and use of biases.
inline std::vector<RandomProblemOptions> kinds() {
  std::vector<RandomProblemOptions> result;
  for (const std::int64_t depth : {2, 3, 4}) {
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
      for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
        result.push_back({.depth = depth, .loss = loss, .bias = bias});
      }
    }
  }
  return result;
}

/// Counts the inertias compared; leaves out those whose gaps are too narrow to trust the counts.
struct Tally {
  int compared = 0;
  int left_out = 0;

  void compare(const Inertia& forecast, double gap, const Spectrum& wide, const std::string& which) {
    if (!(std::min(gap, wide.zero.gap) >= 1000)) {
      ++left_out;
      return;
    }
    ++compared;
    EXPECT_EQ(forecast, wide.inertia) << which << ": forecast " << forecast.positive << " " << forecast.zero << " "
                                      << forecast.negative << ", spectrum " << wide.inertia.positive << " "
                                      << wide.inertia.zero << " " << wide.inertia.negative;
  }
  void report(const char* what) const {
    const double share = static_cast<double>(left_out) / (compared + left_out);
    std::printf("%s: %d compared, %d left out for a narrow gap (%.1f %%)\n", what, compared, left_out, 100 * share);
    EXPECT_LT(share, 0.05);
  }
};

}  // namespace lossatlas::reference
