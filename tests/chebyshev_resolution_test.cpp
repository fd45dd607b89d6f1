// Narrow details of a section: seen by the nodes and held-out points, or narrower than the stated resolution.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/chebyshev.hpp>
#include <lossatlas/landscape.hpp>

#include "base/random.hpp"
#include "chebyshev_cases.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "surface/chebyshev_decay.hpp"
#include "surface/chebyshev_nodes.hpp"
#include "surface/chebyshev_surface.hpp"
#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {
namespace {

using namespace testing;

/// Below the first layer that moves, a ReLU is a constant of each sample, or of all of them where the unit has no
/// inputs: the loss is smooth in α.
TEST(Chebyshev, AKinkThatDoesNotMoveIsNone) {
  Random random(15);
  Case c = random_case({.layers = 2, .rank = 1, .activation = Activation::relu}, random);
  const auto first = static_cast<std::ptrdiff_t>(c.network.blocks()[2].offset);
  std::fill(c.section.directions.begin(), c.section.directions.begin() + first, 0.0);
  for (int unit = 0; unit < 2; ++unit) {
    const Surface surface = c.landscape.evaluate(c.section, Grid::box(-1, 1, {500}), {.method = Method::chebyshev});
    EXPECT_EQ(surface.chebyshev->method, Method::chebyshev) << surface.chebyshev->reason;
    std::ranges::fill(c.network.view(std::span<double>(c.section.origin), 0).weight.row(unit), 0.0);
  }
}

/// L(α) = (tanh(s(α − 0.1)) − tanh(s(α − 0.3)))² is 0 to rounding at all of the first nodes: only the held-out points
/// see it.
TEST(Chebyshev, ABumpBetweenTheFirstNodesIsSeen) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Dataset data = Dataset::regression({1}, 1, {0}, 1);
  const Landscape landscape(network, data, Loss::mean_squared_error, Device::cpu());
  const Grid grid = Grid::box(-1, 1, {20000});
  for (const double s : {60.0, 200.0}) {
    const Section section = make_section(network, {0, 0, -0.1 * s, -0.3 * s, 1, -1}, {0, 0, s, s, 0, 0});
    const Surface surface = landscape.evaluate(section, grid, {.method = Method::chebyshev});
    const ChebyshevReport& report = *surface.chebyshev;
    EXPECT_NEAR(report.scale[0], 4, 1e-3);
    EXPECT_EQ(report.method, Method::chebyshev) << report.reason;
    EXPECT_TRUE(report.met);
    EXPECT_GT(report.nodes[0], 100);
    EXPECT_LE(relative_error(surface, landscape.evaluate(section, grid), report.scale), 3 * report.estimate);
  }
}

/// L(α) = (3 − tanh(0.7α + 0.3) − 10⁻⁴ tanh(100(α − 0.37)))²: a front of 4·10⁻⁵ of the scale, far above the rounding of
/// single precision, whose coefficients look flat at first.
TEST(Chebyshev, AFaintFrontIsNotTakenForRounding) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression({1}, 1, {3}, 1), Loss::mean_squared_error, Device::cpu());
  const Section section = make_section(network, {0, 0, 0.3, -37, 1, 1e-4}, {0, 0, 0.7, 100, 0, 0});
  const Grid grid = Grid::box(-1, 1, {20000});
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    SCOPED_TRACE(name(precision));
    EvaluateOptions options{.precision = precision, .method = Method::chebyshev, .tolerance = 1e-6};
    const Surface surface = landscape.evaluate(section, grid, options);
    const ChebyshevReport& report = *surface.chebyshev;
    ASSERT_EQ(report.method, Method::chebyshev) << report.reason;
    EXPECT_TRUE(report.met) << report.reason;
    EXPECT_GE(report.nodes[0], 257);
    options.method = Method::pointwise;
    EXPECT_LE(relative_error(surface, landscape.evaluate(section, grid, options), report.scale), 3 * report.estimate);
  }
}

/// tanh(s(α − c + r)) − tanh(s(α − c − r)), a spike of width 2r = 1/500 of the range at c.
Section spike_section(const Network& network, double centre) {
  constexpr double kRadius = 2e-3, kSteepness = 2000;
  return make_section(network, {0, 0, kSteepness * (kRadius - centre), kSteepness * (-kRadius - centre), 1, -1},
                      {0, 0, kSteepness, kSteepness, 0, 0});
}

/// Held-out points grow with the grid: on a long axis a narrow spike meets one, and on a shorter one the report says
/// that it may have been missed.
TEST(Chebyshev, ASpikeIsSeenOrNarrowerThanTheResolution) {
  constexpr std::uint64_t kSeed = 71;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression({1}, 1, {-1}, 1), Loss::mean_squared_error, Device::cpu());
  for (const std::int64_t points : {1000, 50000}) {
    int missed = 0;
    const Grid grid = Grid::box(-1, 1, {points});
    for (int i = 0; i < 6; ++i) {
      const Section section = spike_section(network, random.uniform(-0.9, 0.9));
      const Surface surface = landscape.evaluate(section, grid, {.method = Method::chebyshev});
      const ChebyshevReport& report = *surface.chebyshev;
      if (report.method == Method::pointwise) continue;
      const double error = relative_error(surface, landscape.evaluate(section, grid), report.scale);
      if (error <= 3 * report.estimate) continue;
      ++missed;
      EXPECT_GT(report.resolution[0], 4e-3) << points;
    }
    EXPECT_EQ(missed > 0, points == 1000) << points;
  }
}

/// The resolution shrinks with the grid, and is the longest gap between nodes and held-out points.
TEST(Chebyshev, TheResolutionIsTheLongestGap) {
  Random random(72);
  const Case c = random_case({.layers = 2, .rank = 2, .length = 0.3}, random);
  double before = 1;
  for (const std::int64_t points : {60, 240, 960}) {
    const Grid grid({{-1, 2, points}, {0.5, 0.5, 1}});
    PreparedSection section(c.landscape, c.section, {});
    ChebyshevNodes nodes(section, box_of(grid), grid.size(), {});
    nodes.grow(std::vector<std::int64_t>{9, 1});
    const std::vector<double> gaps = nodes.resolution();
    EXPECT_EQ(gaps[1], 0);
    EXPECT_LT(gaps[0], before);
    std::vector<double> places;
    for (int j = 0; j < 9; ++j) places.push_back(0.5 - 1.5 * std::cos(std::acos(-1) * j / 8));
    for (std::size_t at = 0; at < nodes.held_out().size(); at += 2) places.push_back(nodes.held_out()[at]);
    std::sort(places.begin(), places.end());
    double longest = 0;
    for (std::size_t k = 1; k < places.size(); ++k) longest = std::max(longest, places[k] - places[k - 1]);
    EXPECT_NEAR(gaps[0], longest, 1e-14);
    before = gaps[0];
    const ChebyshevFit fit = fit_chebyshev(c.landscape, c.section, grid, {.tolerance = 0.9});
    EXPECT_TRUE(points == 60 || fit.report.resolution == gaps) << fit.report.reason;
  }
}

/// A cube bump somewhere in a box of three axes: tanh(s(Σ_i bump_i(α_i) − 2.5)).
TEST(Chebyshev, ASmallCubeIsNotMissed) {
  constexpr std::uint64_t kSeed = 65;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  const Network network = mlp({1, 6, 1, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression({1}, 1, {-3}, 1), Loss::mean_squared_error, Device::cpu());
  const Grid grid = Grid::box(-1, 1, {64, 64, 64});
  for (int i = 0; i < 24; ++i) {
    const double radius = 0.1, s = 20;
    std::vector<double> origin(20, 0.0), directions(60, 0.0);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const double centre = random.uniform(-0.8, 0.8);
      for (std::size_t side = 0; side < 2; ++side) {  // (tanh(s(α − c + r)) − tanh(s(α − c − r))) / 2
        const std::size_t unit = 2 * axis + side;
        origin[6 + unit] = s * (side == 0 ? radius - centre : -radius - centre);
        directions[axis * 20 + 6 + unit] = s;
        origin[12 + unit] = side == 0 ? 4 : -4;
      }
    }
    origin[18] = -20, origin[19] = 1;
    const Section section = make_section(network, origin, directions);
    const Surface surface = landscape.evaluate(section, grid, {.method = Method::chebyshev, .tolerance = 1e-4});
    const ChebyshevReport& report = *surface.chebyshev;
    const double error = relative_error(surface, landscape.evaluate(section, grid), report.scale);
    EXPECT_TRUE(report.method == Method::pointwise || error <= 3 * report.estimate) << i << ", error " << error;
  }
}

}  // namespace
}  // namespace lossatlas
