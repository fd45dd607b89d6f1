// What the tests of residual networks share: random problems, and comparison with the oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "reference/random_problem.hpp"
#include "test_device.hpp"

namespace lossatlas::testing {

using reference::random_residual;
using reference::RandomProblem;

/// One to three residual blocks, both losses, with and without biases; fewer on a CUDA device, which may be emulated.
inline std::vector<RandomProblem> problems(std::int64_t samples = 24) {
  std::vector<RandomProblem> list;
  const std::uint64_t count = test_device().kind() == Device::Kind::cpu ? 24 : 8;
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    const auto choice = static_cast<std::int64_t>(seed);
    list.push_back(random_residual(seed, {.depth = 1 + choice % 3,
                                          .loss = choice % 2 ? Loss::mean_squared_error : Loss::cross_entropy,
                                          .bias = choice % 5 == 0   ? Bias::none
                                                  : choice % 3 == 0 ? Bias::hidden
                                                                    : Bias::all,
                                          .widest = 4,
                                          .samples = samples}));
  }
  return list;
}

inline std::vector<double> normals(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = random.normal();
  return values;
}

inline double largest(std::span<const double> values) {
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  return top;
}

inline void expect_near(std::span<const double> values, std::span<const double> expected, double relative,
                        const RandomProblem& problem) {
  ASSERT_EQ(values.size(), expected.size());
  const double tolerance = relative * (1 + largest(expected));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], tolerance) << "entry " << i << ", " << problem.describe();
  }
}

}  // namespace lossatlas::testing
