#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/pattern.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

Surface surface_of(const Pattern& pattern, double (*change)(double value, std::int64_t g, std::int64_t head)) {
  Surface surface;
  surface.grid = pattern.grid();
  surface.heads = pattern.channels();
  for (std::int64_t g = 0; g < pattern.size(); ++g) {
    for (std::int64_t k = 0; k < pattern.channels(); ++k) surface.losses.push_back(change(pattern.at(g, k), g, k));
  }
  return surface;
}

const Pattern kPattern = Pattern::sample(
    [](std::span<const double> alpha, std::span<double> value) {
      value[0] = alpha[0];
      value[1] = alpha[1] * alpha[0];
    },
    {3, 5}, 2);

TEST(Pattern, SampleIsOnTheUnitGrid) {
  EXPECT_EQ(kPattern.size(), 15);
  EXPECT_EQ(kPattern.at(5, 0), 0.5);    // row 1
  EXPECT_EQ(kPattern.at(6, 1), 0.125);  // row 1, column 1
  EXPECT_EQ(kPattern.at(14, 1), 1);
}

TEST(Pattern, ErrorIsMeasuredAfterTheBestConstantOfEachHead) {
  const Surface shifted = surface_of(kPattern, [](double v, std::int64_t, std::int64_t k) { return v + (k ? 5 : -2); });
  const PatternError exact = pattern_error(shifted, kPattern);
  EXPECT_NEAR(exact.offset[0], -2, 1e-14);
  EXPECT_NEAR(exact.offset[1], 5, 1e-14);
  EXPECT_LT(exact.rms, 1e-14);
  // ± 0.1 on alternate points of head 0: rms 0.1/√2 over both heads, up to the mean of 15 signs.
  const Surface rough = surface_of(kPattern, [](double v, std::int64_t g, std::int64_t k) {
    return v + (k ? 0 : g % 2 ? 0.1 : -0.1);
  });
  const PatternError error = pattern_error(rough, kPattern);
  EXPECT_NEAR(error.rms, std::sqrt((0.01 - std::pow(0.1 / 15, 2)) / 2), 1e-14);
  EXPECT_NEAR(error.max, 0.1 + 0.1 / 15, 1e-14);
  EXPECT_NEAR(error.psnr_db, -20 * std::log10(error.rms), 1e-12);
}

TEST(Pattern, NonFiniteLossMakesTheErrorNan) {
  const Surface broken = surface_of(kPattern, [](double v, std::int64_t g, std::int64_t) {
    return g == 3 ? std::numeric_limits<double>::quiet_NaN() : v;
  });
  const PatternError error = pattern_error(broken, kPattern);
  EXPECT_TRUE(std::isnan(error.rms));
  EXPECT_TRUE(std::isnan(error.max));
  EXPECT_TRUE(std::isnan(error.psnr_db));
}

TEST(Pattern, EdgeFraction) {
  const Pattern step = Pattern::sample([](std::span<const double> a) { return a[0] < 0.5 ? 0.0 : 1.0; }, {10, 4});
  EXPECT_DOUBLE_EQ(step.edge_fraction(), 0.2);  // both sides of one border
  const Pattern ramp = Pattern::sample([](std::span<const double> a) { return a[0]; }, {12});
  EXPECT_EQ(ramp.edge_fraction(), 0);
  EXPECT_EQ(ramp.edge_fraction(0.05), 1);
}

TEST(Pattern, BadArguments) {
  EXPECT_ERROR(Pattern({}, 1, {}), InvalidArgument, "0 dimensions");
  EXPECT_ERROR(Pattern({2, 2, 2, 2}, 1, std::vector<double>(16)), InvalidArgument, "4 dimensions");
  EXPECT_ERROR(Pattern({2, 2}, 0, {}), InvalidArgument, "0 channels");
  EXPECT_ERROR(Pattern({2, 2}, 1, {1, 2, 3}), InvalidArgument, "3 values");
  EXPECT_ERROR(Pattern({2}, 1, {1, std::nan("")}), InvalidArgument, "entry 1");
  Surface other = surface_of(kPattern, [](double v, std::int64_t, std::int64_t) { return v; });
  other.grid = Grid::unit({5, 3});
  EXPECT_ERROR(pattern_error(other, kPattern), InvalidArgument, "5 × 3");
}

}  // namespace
}  // namespace lossatlas
