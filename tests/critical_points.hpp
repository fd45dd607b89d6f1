// What the tests of critical points share: an independent gradient, checks of a search, comparison of points.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/critical_point.hpp>

#include "critical/critical_class.hpp"
#include "critical/saturation.hpp"
#include "reference/oracle.hpp"

namespace lossatlas::testing {

constexpr double kSame = 1e-6;

/// ‖∇R‖₁ in long double, by the oracle.
inline double exact_gradient_l1(const Landscape& landscape, const std::vector<double>& theta) {
  const std::vector<long double> lifted(theta.begin(), theta.end());
  double sum = 0;
  for (const long double g : reference::gradient(landscape.network(), lifted, landscape.data(), landscape.loss())) {
    sum += static_cast<double>(std::abs(g));
  }
  return sum;
}

/// Every class is critical and finite, also by the oracle's gradient; every start is counted once, and those with
/// classes in each of them; the constant is one class at most.
inline void expect_sound(const Landscape& landscape, const CriticalSearch& search, std::int64_t starts,
                         double tolerance) {
  const std::int64_t without = search.not_converged + search.at_infinity + search.vanishing_output;
  EXPECT_EQ(search.found + without, starts);
  std::int64_t sum = 0, constants = 0;
  double last = -1;
  for (const CriticalClass& one : search.classes) {
    const CriticalPoint& point = one.representative;
    EXPECT_TRUE(point.critical && point.finite) << point.remark;
    EXPECT_TRUE(point.remark.empty());
    EXPECT_LE(point.gradient_l1, tolerance);
    EXPECT_LE(point.gradient_max, point.gradient_l1);
    // the long double gradient at the same θ lacks the rounding that the double one has
    EXPECT_LE(exact_gradient_l1(landscape, point.theta), tolerance);
    EXPECT_EQ(point.inertia.size(), landscape.network().parameter_count());
    EXPECT_FALSE(point.device.empty());
    EXPECT_FALSE(one.inertias.empty());
    EXPECT_GE(point.loss, last);
    last = point.loss;
    sum += one.count;
    EXPECT_GE(one.count, 1);
    EXPECT_LE(one.count, search.found);
    EXPECT_EQ(one.constant, output_kind(landscape, point.theta) == OutputKind::constant);
    constants += one.constant;
  }
  EXPECT_GE(sum, search.found);
  EXPECT_LE(constants, 1);
}

inline const CriticalClass* class_with_loss(const CriticalSearch& search, double loss, double tolerance = 1e-9) {
  for (const CriticalClass& one : search.classes) {
    if (std::abs(one.representative.loss - loss) <= tolerance) return &one;
  }
  return nullptr;
}

inline bool same_point(const Network& network, const std::vector<double>& a, const std::vector<double>& b,
                       Loss loss = Loss::mean_squared_error) {
  return same_neurons(reduce_neurons(network, a, kSame, loss), reduce_neurons(network, b, kSame, loss), kSame);
}

/// The gradient norm below which these searches accept a point.
inline constexpr double kBar = 1e-13;

inline CriticalSearchOptions short_search(std::int64_t starts) {
  CriticalSearchOptions options;
  options.starts = starts;
  options.each.tolerance = kBar;
  options.each.descent_iterations = 2000;
  return options;
}

}  // namespace lossatlas::testing
