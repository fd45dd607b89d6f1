// Activations and their derivatives over arrays, against long double, and their bits for every count.
#include "cpu/elementwise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "../kernels/scalar.cuh"
#include "base/random.hpp"

namespace lossatlas::cpu {
namespace {

using Real = long double;

Real slope(Activation activation, Real x) { return scalar::activate_derivative<Real>(activation, x); }
Real bend(Activation activation, Real x) { return scalar::activate_second_derivative<Real>(activation, x); }

/// Every magnitude, what activations see, both signs, ties of the piecewise ones and the limits.
std::vector<double> arguments(std::uint64_t seed) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> values = {0,     -0.0,  1, -1, infinity, -infinity, std::numeric_limits<double>::quiet_NaN(),
                                1e300, -1e300};
  Random random(seed);
  for (int e = -300; e < 10; ++e) {
    for (int i = 0; i < 4; ++i) values.push_back(random.normal() * std::ldexp(1.0, e));
  }
  for (int i = 0; i < 4000; ++i) values.push_back(20 * random.normal());
  for (int i = 0; i < 4000; ++i) values.push_back(random.normal());
  return values;
}

/// In units of the last place of the reference, those below 1e-300 counted as zero.
double error_in_ulps(double got, Real reference) {
  if (std::isnan(got) || std::isnan(reference)) {
    return std::isnan(got) && std::isnan(reference) ? 0 : std::numeric_limits<double>::infinity();
  }
  if (std::abs(got) < 1e-300 && std::abs(reference) < 1e-300L) return 0;
  return static_cast<double>(std::abs(got - reference) / std::ldexp(Real(1), std::ilogb(reference) - 52));
}

std::vector<double> slopes(Activation activation, const std::vector<double>& x) {
  std::vector<double> values(x.size(), 1.0);
  multiply_slope(activation, static_cast<std::int64_t>(x.size()), x.data(), values.data());
  return values;
}

std::vector<double> applied(Activation activation, const std::vector<double>& x) {
  std::vector<double> values(x.size());
  apply(activation, static_cast<std::int64_t>(x.size()), x.data(), values.data());
  return values;
}

std::vector<double> bends(Activation activation, const std::vector<double>& x) {
  std::vector<double> values(x.size(), 1.0);
  multiply_bend(activation, static_cast<std::int64_t>(x.size()), x.data(), applied(activation, x).data(),
                slopes(activation, x).data(), values.data());
  return values;
}

class Elementwise : public testing::TestWithParam<Activation> {
 protected:
  const Activation activation = GetParam();

  /// Near their zeros the derivatives of gelu and sine keep an absolute error of 1e-14.
  bool near_zero(double x) const {
    if (activation == Activation::sine) return std::abs(x) < 1e4;
    if (activation != Activation::gelu) return false;
    const double zeros[] = {-0.75179156, -std::sqrt(2.0), std::sqrt(2.0)};  // of the slope, of the bend
    return std::any_of(std::begin(zeros), std::end(zeros), [&](double zero) { return std::abs(x - zero) < 0.1; });
  }
  /// The vectorised derivatives keep 5 ulp (3 of them from exp's argument and the division, doubled once). In gelu's
  /// tail exp(-x²/2) multiplies the rounding of its argument by x²/2; the difference Φ(x) + xφ(x) loses a digit.
  double bound(double x) const { return activation == Activation::gelu ? 30 + x * x : 5; }

  void check(const char* what, const std::vector<double>& got, const std::vector<double>& x,
             Real (*reference)(Activation, Real)) {
    double worst = 0, where = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real expected = reference(activation, x[i]);
      if (near_zero(x[i])) {
        EXPECT_NEAR(got[i], static_cast<double>(expected), 1e-14) << what << " at " << x[i];
        continue;
      }
      const double error = error_in_ulps(got[i], expected) / bound(std::isfinite(x[i]) ? x[i] : 0);
      if (!(error <= worst)) worst = error, where = x[i];
    }
    std::printf("%s of %s: worst %.2f of the bound, %.1f ulp, at %.17g\n", what, std::string(name(activation)).c_str(),
                worst, bound(where), where);
    EXPECT_LE(worst, 1) << what << " at " << where;
  }
};

TEST_P(Elementwise, DerivativesKeepTheirRelativeAccuracyWhereTheyVanish) {
  const std::vector<double> x = arguments(7);
  check("slope", slopes(activation, x), x, slope);
  check("bend", bends(activation, x), x, bend);
}

TEST_P(Elementwise, BitsDependNeitherOnTheCountNorOnThePlace) {
  const std::vector<double> x = arguments(8);
  const std::vector<double> whole[] = {applied(activation, x), slopes(activation, x), bends(activation, x)};
  for (std::size_t count = 1; count < 40; ++count) {
    for (std::size_t first : {std::size_t{0}, std::size_t{3}, std::size_t{1301}}) {
      const auto begin = x.begin() + static_cast<std::ptrdiff_t>(first);
      const std::vector<double> part(begin, begin + static_cast<std::ptrdiff_t>(count));
      const std::vector<double> parts[] = {applied(activation, part), slopes(activation, part),
                                           bends(activation, part)};
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t kind = 0; kind < 3; ++kind) {
          const double a = parts[kind][i], b = whole[kind][first + i];
          if (std::isnan(a) && std::isnan(b)) continue;
          ASSERT_EQ(std::bit_cast<std::uint64_t>(a), std::bit_cast<std::uint64_t>(b))
              << "kind " << kind << ", " << part[i] << ", entry " << i << " of " << count;
        }
      }
    }
  }
}

TEST_P(Elementwise, ApplyMayOverwriteItsArgument) {
  const std::vector<double> x = arguments(9), expected = applied(activation, x);
  std::vector<double> values = x;
  apply(activation, static_cast<std::int64_t>(values.size()), values.data(), values.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(values[i])) continue;
    EXPECT_EQ(values[i], expected[i]) << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, Elementwise, testing::ValuesIn(all_activations()),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST(ElementwiseSums, LeaveTheNextEntryAlone) {
  for (std::int64_t count = 0; count < 40; ++count) {
    std::vector<double> x, values(static_cast<std::size_t>(count) + 1, 0.25), scaled = values;
    for (std::int64_t i = 0; i <= count; ++i) x.push_back(static_cast<double>(i) - 3);
    scale(count, 1.5, x.data(), scaled.data());
    add_scaled(count, 1.5, x.data(), values.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      ASSERT_EQ(scaled[i], 1.5 * x[i]) << i << " of " << count;
      ASSERT_EQ(values[i], 0.25 + 1.5 * x[i]) << i << " of " << count;
    }
    ASSERT_EQ(scaled.back(), 0.25) << count;
    ASSERT_EQ(values.back(), 0.25) << count;
  }
}

TEST(ElementwiseMultiply, IsEntrywise) {
  const std::vector<double> factor = arguments(10);
  std::vector<double> values(factor.size(), 3.0);
  multiply(static_cast<std::int64_t>(values.size()) - 1, factor.data(), values.data());
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    if (std::isnan(factor[i])) continue;
    EXPECT_EQ(values[i], 3 * factor[i]);
  }
  EXPECT_EQ(values.back(), 3.0);
}

}  // namespace
}  // namespace lossatlas::cpu
