// Losses of a section in each precision against the formulas.
#pragma once

#include <algorithm>
#include <cmath>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/device.hpp>

#include "reference/oracle.hpp"
#include "section_instance.hpp"

namespace lossatlas {

inline constexpr Precision kPrecisions[] = {Precision::f64, Precision::f32, Precision::fast};
inline constexpr double kTolerances[] = {1e-11, 1e-6, 2e-3};  // of |loss| + mean max |p|

/// What every backend has to give: losses (G, H), with |loss| + mean max |p| for each.
struct Expected {
  std::vector<double> losses;
  std::vector<double> scales;
};

inline Expected naive(const Instance& instance) {
  Expected expected;
  const auto rank = static_cast<std::size_t>(instance.section.rank());
  for (std::size_t first = 0; first < instance.points.size(); first += rank) {
    const auto theta = reference::section_point(instance.section, std::span(instance.points).subspan(first, rank));
    const double top = reference::mean_max_output(instance.network, theta, instance.data);
    for (const double loss : reference::losses(instance.network, theta, instance.data, instance.loss)) {
      expected.losses.push_back(loss);
      expected.scales.push_back(std::abs(loss) + top);
    }
  }
  return expected;
}

/// The largest error in units of the scale; infinite where exactly one side is NaN. `received` may be the first few.
inline double worst_error(const std::vector<double>& received, const Expected& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < received.size(); ++i) {
    const double error = reference::max_difference(std::span(&received[i], 1), std::span(&expected.losses[i], 1));
    worst = std::max(worst, error / expected.scales[i]);
  }
  return worst;
}

/// The largest error of each precision so far.
struct Worst {
  double error[3] = {0, 0, 0};
  int points = 0;

  /// Losses in kPrecisions[i].
  void check(int i, const std::vector<double>& losses, const Expected& expected) {
    const double worst = worst_error(losses, expected);
    EXPECT_LE(worst, kTolerances[i]) << name(kPrecisions[i]) << ": " << ::testing::PrintToString(losses)
                                     << ", expected " << ::testing::PrintToString(expected.losses);
    error[i] = std::max(error[i], worst);
  }
};

inline void report(const char* what, const Worst& worst) {
  std::cout << what << ": " << worst.points << " points, largest error f64 " << worst.error[0] << ", f32 "
            << worst.error[1] << ", fast " << worst.error[2] << " of the scale\n";
}

inline std::string describe(const Problem& problem) {
  return "seed " + std::to_string(problem.seed) + ", N " + std::to_string(problem.samples) + ", G " +
         std::to_string(problem.points) + ", z " + std::to_string(problem.rank) + ", widths " +
         ::testing::PrintToString(problem.widths) + ", activation " + std::string(name(problem.activation)) +
         ", support " + std::to_string(static_cast<int>(problem.support));
}

}  // namespace lossatlas
