// Sections by Chebyshev interpolation: the estimate against the true error, what is spent, and when it gives up.
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
using reference::max_difference;

/// The true maximal error on the whole grid stays within 3 times the stated estimate; how often it is used at all is
/// counted, so that giving up is no way to pass.
TEST(Chebyshev, TheEstimateHoldsInEveryRandomCase) {
  constexpr std::uint64_t kSeed = 61;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  const std::vector<std::vector<std::int64_t>> shapes = {{2000}, {100, 90}, {34, 34, 34}};
  int interpolated = 0;
  std::array<int, 3> ranks{};
  double worst = 0;
  for (int i = 0; i < 280; ++i) {
    Profile shape{.layers = 2 + i / 4 % 3, .rank = 1 + random.below(3), .heads = 1 + random.below(2)};
    shape.activation = kSmooth[static_cast<std::size_t>(i % 4)];
    shape.loss = random.below(2) ? Loss::cross_entropy : Loss::mean_squared_error;
    shape.length = random.uniform(0.2, shape.rank == 3 ? 0.5 : 1);
    const double tolerance = std::pow(10.0, -random.uniform(4, 10));
    const Case c = random_case(shape, random);
    const Grid grid = Grid::box(-1, 1, shapes[static_cast<std::size_t>(shape.rank - 1)]);
    const Surface surface =
        c.landscape.evaluate(c.section, grid, {.method = Method::chebyshev, .tolerance = tolerance});
    ASSERT_TRUE(surface.chebyshev);
    const ChebyshevReport& report = *surface.chebyshev;
    if (report.method == Method::pointwise) continue;
    ++interpolated, ++ranks[static_cast<std::size_t>(shape.rank - 1)];
    ASSERT_TRUE(report.met && report.estimate <= tolerance) << i << ' ' << report.reason;
    const double error = relative_error(surface, c.landscape.evaluate(c.section, grid), report.scale);
    worst = std::max(worst, error / report.estimate);
    ASSERT_LE(error, 3 * report.estimate)
        << "case " << i << ", " << name(shape.activation) << ", tolerance " << tolerance << ", K = " << report.nodes[0];
    ASSERT_GE(report.estimate, report.held_out_error);
    ASSERT_EQ(report.saved, grid.size() - report.evaluations);
  }
  EXPECT_GE(interpolated, 220);
  EXPECT_GE(*std::min_element(ranks.begin(), ranks.end()), 50);
  std::printf("seed %llu: %d of 280 interpolated (z = 1, 2, 3: %d, %d, %d), largest error / estimate %.2f\n",
              static_cast<unsigned long long>(kSeed), interpolated, ranks[0], ranks[1], ranks[2], worst);
}

/// Interpolated in single precision or not, the stated error holds against evaluation in it, down to its rounding.
TEST(Chebyshev, TheEstimateHoldsInSinglePrecision) {
  constexpr std::uint64_t kSeed = 62;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  int met = 0, rounding = 0;
  double worst = 0;
  for (int i = 0; i < 80; ++i) {
    Profile shape{
        .layers = 2 + i % 3, .rank = 1 + random.below(2), .activation = kSmooth[static_cast<std::size_t>(i % 4)]};
    shape.loss = random.below(2) ? Loss::cross_entropy : Loss::mean_squared_error;
    shape.length = random.uniform(0.2, 1);
    const double tolerance = std::pow(10.0, -random.uniform(5, 8));
    const Case c = random_case(shape, random);
    const Grid grid = shape.rank == 1 ? Grid::box(-1, 1, {4000}) : Grid::box(-1, 1, {110, 100});
    EvaluateOptions options{
        .precision = i % 2 ? Precision::f32 : Precision::fast, .method = Method::chebyshev, .tolerance = tolerance};
    const Surface surface = c.landscape.evaluate(c.section, grid, options);
    const ChebyshevReport& report = *surface.chebyshev;
    ASSERT_EQ(report.met, report.method == Method::chebyshev && report.estimate <= tolerance) << i;
    if (report.method == Method::pointwise) continue;
    met += report.met, rounding += !report.met;
    options.method = Method::pointwise;
    const double error = relative_error(surface, c.landscape.evaluate(c.section, grid, options), report.scale);
    worst = std::max(worst, error / report.estimate);
    EXPECT_LE(error, 3 * report.estimate) << "case " << i << ", tolerance " << tolerance << ", K = " << report.nodes[0];
    EXPECT_TRUE(!report.met || error <= tolerance) << "case " << i << ", tolerance " << tolerance << ": " << error;
  }
  EXPECT_GE(met, 20);
  EXPECT_GE(rounding, 15);
  std::printf("seed %llu: %d of 80 met, %d ended at rounding, largest error / estimate %.2f\n",
              static_cast<unsigned long long>(kSeed), met, rounding, worst);
}

/// Sharp lines take thousands of nodes, and the rounding of so long a sum shows.
TEST(Chebyshev, TheEstimateHoldsOnSharpLines) {
  constexpr std::uint64_t kSeed = 63;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  int interpolated = 0;
  std::int64_t most = 0;
  double worst = 0;
  for (int i = 0; i < 24; ++i) {
    Profile shape{.layers = 2 + i % 2, .rank = 1, .activation = kSmooth[static_cast<std::size_t>(i % 2)]};
    shape.length = std::pow(10, random.uniform(1, 2.3));
    const double tolerance = std::pow(10.0, -random.uniform(6, 14));
    const Case c = random_case(shape, random);
    const Grid grid = Grid::box(-1, 1, {6000});
    const Surface surface =
        c.landscape.evaluate(c.section, grid, {.method = Method::chebyshev, .tolerance = tolerance});
    const ChebyshevReport& report = *surface.chebyshev;
    if (report.method == Method::pointwise) continue;
    ++interpolated, most = std::max(most, report.nodes[0]);
    const double error = relative_error(surface, c.landscape.evaluate(c.section, grid), report.scale);
    worst = std::max(worst, error / report.estimate);
    EXPECT_LE(error, 3 * report.estimate) << "case " << i << ", tolerance " << tolerance << ", K = " << report.nodes[0];
  }
  EXPECT_GE(interpolated, 15);
  EXPECT_GE(most, 2049);
  std::printf("seed %llu: %d of 24 interpolated, up to %lld nodes, largest error / estimate %.2f\n",
              static_cast<unsigned long long>(kSeed), interpolated, static_cast<long long>(most), worst);
}

TEST(Chebyshev, WhatIsNotFiniteIsNoSmallError) {
  Random random(29);
  const Case c = random_case({.layers = 2, .rank = 1}, random);
  PreparedSection section(c.landscape, c.section, {});
  ChebyshevNodes nodes(section, {{-1, 1, 0}}, 1000, {});
  nodes.grow(std::vector<std::int64_t>{9});
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    std::vector<double> coefficients(9, 1e-3);
    coefficients[5] = bad;
    const ChebyshevInterpolant p({{-1, 1, 9}}, 1, coefficients);
    EXPECT_EQ(nodes.held_out_error(p), std::numeric_limits<double>::infinity());
    const std::vector<double> profile = degree_profile(p, 0, std::vector<double>{1.0});
    EXPECT_EQ(profile[5], std::numeric_limits<double>::infinity());
    EXPECT_EQ(decay_of(profile, 1e-2).tail, std::numeric_limits<double>::infinity());
    EXPECT_FALSE(decay_of(profile, 1e-2).rounding);
  }
}

TEST(Chebyshev, TheTransformRunsOnThreadsAndStops) {
  Random random(31);
  const std::vector<ChebyshevAxis> axes = {{-1, 1, 65}, {0, 1, 33}};
  std::vector<double> values(2 * 65 * 33);
  for (double& value : values) value = random.normal();
  const ChebyshevInterpolant once = ChebyshevInterpolant::through(axes, 2, values);
  for (const int threads : {2, 5}) {
    const ChebyshevInterpolant p = ChebyshevInterpolant::through(axes, 2, values, threads);
    EXPECT_TRUE(std::ranges::equal(p.coefficients(), once.coefficients())) << threads;
  }
  // A stop that comes while the transform runs, here from its own progress, ends the fit.
  const Case c = random_case({.layers = 2, .length = 0.3}, random);
  std::stop_source stop;
  EvaluateOptions options;
  options.control.stop = stop.get_token();
  options.control.progress = [&](const ProgressEvent& event) {
    if (event.stage == "transform") stop.request_stop();
  };
  EXPECT_THROW(fit_chebyshev(c.landscape, c.section, Grid::box(-1, 1, {500, 500}), options), Interrupted);
}

/// Growing by nested nodes evaluates each once and ends with the bits of the last nodes evaluated at once.
TEST(Chebyshev, NestedNodesAreEvaluatedOnce) {
  Random random(7);
  const Case c = random_case({.layers = 3, .rank = 2, .heads = 2}, random);
  const Grid grid({{-1, 1, 300}, {-0.05, 0.1, 300}});
  std::int64_t calls = 0;
  EvaluateOptions options{.tolerance = 1e-10};
  options.control.progress = [&](const ProgressEvent& event) { calls += event.stage == "section" && event.done == 1; };
  const ChebyshevFit fit = fit_chebyshev(c.landscape, c.section, grid, options);
  ASSERT_TRUE(fit.interpolant);
  const ChebyshevReport& report = fit.report;
  EXPECT_GT(calls, 1);                          // it did grow,
  EXPECT_GT(report.nodes[0], report.nodes[1]);  // along the axis that needs it
  EXPECT_EQ(report.held_out_points, std::max<std::int64_t>(300, product(report.nodes) / 16));
  EXPECT_EQ(report.evaluations, product(report.nodes) + report.held_out_points);

  PreparedSection section(c.landscape, c.section, {});
  ChebyshevNodes at_once(section, {fit.interpolant->axes().begin(), fit.interpolant->axes().end()}, grid.size(), {});
  at_once.grow(report.nodes);
  EXPECT_EQ(at_once.evaluations(), report.evaluations);
  EXPECT_TRUE(std::ranges::equal(at_once.interpolant().coefficients(), fit.interpolant->coefficients()));
}

TEST(Chebyshev, AQuadraticFormTakesThreeNodes) {
  Random random(9);
  const Network network = mlp({5, 8, 6}, Activation::relu, {.heads = 2});
  const Dataset data = reference::random_data(random, 20, 5, 3, Loss::mean_squared_error);
  std::vector<double> directions = random_parameters(network, {.seed = 1});
  std::fill(directions.begin(), directions.begin() + network.blocks()[2].offset, 0.0);
  const Section last = make_section(network, random_parameters(network, {.seed = 2}), directions);
  const Landscape landscape(network, data, Loss::mean_squared_error, Device::cpu());
  const Grid grid = Grid::box(-2, 5, {400});
  const Surface surface = landscape.evaluate(last, grid, {.method = Method::chebyshev, .tolerance = 1e-10});
  ASSERT_TRUE(surface.chebyshev);
  EXPECT_EQ(surface.chebyshev->nodes, std::vector<std::int64_t>{3}) << surface.chebyshev->reason;
  EXPECT_EQ(surface.chebyshev->evaluations, 3 + 108);
  EXPECT_LE(relative_error(surface, landscape.evaluate(last, grid), surface.chebyshev->scale), 1e-14);
}

/// The surface is the pointwise one to the bit, and the report says why and what was spent.
void expect_given_up(const Landscape& landscape, const Section& section, const Grid& grid, const char* reason,
                     bool at_once) {
  const Surface surface = landscape.evaluate(section, grid, {.method = Method::chebyshev});
  ASSERT_TRUE(surface.chebyshev);
  const ChebyshevReport& report = *surface.chebyshev;
  EXPECT_EQ(report.method, Method::pointwise);
  EXPECT_FALSE(report.met);
  EXPECT_THAT(report.reason, ::testing::HasSubstr(reason));
  EXPECT_THAT(surface.plan, ::testing::HasSubstr("pointwise; chebyshev was given up: " + report.reason));
  EXPECT_EQ(report.saved, grid.size() - report.evaluations);
  EXPECT_EQ(report.saved == 0, at_once) << report.saved;
  EXPECT_LE(-report.saved, grid.size());
  const Surface pointwise = landscape.evaluate(section, grid);
  EXPECT_EQ(max_difference(surface.losses, pointwise.losses), 0);
  EXPECT_EQ(surface.nonfinite, pointwise.nonfinite);
  EXPECT_FALSE(pointwise.chebyshev);
}

TEST(Chebyshev, GivesUpWhereItDoesNotPay) {
  Random random(13);
  for (const Activation kinked : {Activation::relu, Activation::leaky_relu}) {
    const Case c = random_case({.layers = 3, .activation = kinked}, random);
    expect_given_up(c.landscape, c.section, Grid::box(-1, 1, {40, 40}), "relu has a kink", true);
  }
  const Case sharp = random_case({.layers = 3, .rank = 1, .length = 200}, random);
  expect_given_up(sharp.landscape, sharp.section, Grid::box(-1, 1, {200}), "evaluations", false);
  expect_given_up(sharp.landscape, sharp.section, Grid::box(-1, 1, {40}), "41 evaluations", true);
  const Case smooth = random_case({.layers = 2, .rank = 1}, random);
  const double huge = std::numeric_limits<double>::max() / 4;
  expect_given_up(smooth.landscape, smooth.section, Grid({{-huge, huge, 300}}), "not finite", false);
}

/// L rises from 0 to the largest doubles: the losses are finite, what an interpolant adds up to beyond the edge is not.
TEST(Chebyshev, AnInterpolantThatOverflowsIsGivenUp) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression({1}, 1, {0}, 1), Loss::mean_squared_error, Device::cpu());
  const double half = 0.5 * std::sqrt(1.7e308);
  const Section section = make_section(network, {0, 0, 0, 40, half, half}, {0, 0, 100, 0, 0, 0});
  expect_given_up(landscape, section, Grid::box(-1, 1, {2000}), "the interpolant is not finite", false);
}

TEST(Chebyshev, SinglePrecisionEndsAtItsRounding) {
  Random random(17);
  const Case c = random_case({.layers = 3, .length = 0.5}, random);
  const Grid grid = Grid::box(-1, 1, {400, 300});
  for (const Precision precision : {Precision::f32, Precision::fast}) {
    const Surface surface = c.landscape.evaluate(
        c.section, grid, {.precision = precision, .method = Method::chebyshev, .tolerance = 1e-10});
    const ChebyshevReport& report = *surface.chebyshev;
    EXPECT_EQ(report.method, Method::chebyshev);
    EXPECT_FALSE(report.met);
    EXPECT_THAT(report.reason, ::testing::HasSubstr("rounding"));
    EXPECT_GT(report.estimate, 1e-9);
    EXPECT_LT(report.estimate, 1e-5);
    EXPECT_LE(report.evaluations, 65 * 65 + 346);  // √(400·300)
    const Surface direct = c.landscape.evaluate(c.section, grid, {.precision = precision});
    EXPECT_EQ(surface.precision, direct.precision);
    EXPECT_LE(relative_error(surface, direct, report.scale), 3 * report.estimate);
  }
}

/// L(α) = (A tanh(2α + 1.5) − A tanh(2α − 1.5))², A ≫ 1: its terms cancel, and the rounding of single precision is A
/// times as large. Where that keeps an interpolant from the tolerance, every point is evaluated.
TEST(Chebyshev, GivesUpWhereRoundingIsLargerThanUsual) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression({1}, 1, {0}, 1), Loss::mean_squared_error, Device::cpu());
  const Grid grid = Grid::box(-1, 1, {20000});
  int given_up = 0;
  for (double a = 1.5; a < 12; a *= 1.2) {
    const Section section = make_section(network, {0, 0, 0.15, -0.15, a, -a}, {0, 0, 2, 2, 0, 0});
    EvaluateOptions options{.precision = Precision::f32, .method = Method::chebyshev, .tolerance = 6e-7};
    const Surface surface = landscape.evaluate(section, grid, options);
    const ChebyshevReport& report = *surface.chebyshev;
    options.method = Method::pointwise;
    const Surface direct = landscape.evaluate(section, grid, options);
    if (report.method == Method::chebyshev) {
      EXPECT_LE(relative_error(surface, direct, report.scale), 3 * report.estimate);
      continue;
    }
    ++given_up;
    EXPECT_EQ(surface.losses, direct.losses);
    EXPECT_THAT(report.reason, ::testing::HasSubstr("by the rounding of f32; evaluation at every point is better"));
    EXPECT_LE(report.evaluations, grid.size() + 2000);
  }
  EXPECT_GE(given_up, 1);
}

TEST(Chebyshev, DegenerateAxesListsAndReversedRanges) {
  Random random(19);
  const Case c = random_case({.layers = 2, .rank = 3, .heads = 2, .length = 0.3}, random);
  const EvaluateOptions options{.method = Method::chebyshev, .tolerance = 1e-8};
  for (const Grid& grid :
       {Grid({{0.5, 0.5, 3}, {-1, 1, 40}, {1, -1, 30}}), Grid({{0.5, 9, 1}, {-1, 1, 400}, {0, 0, 1}}),
        Grid({{0, 0, 2}, {1, 1, 1}, {0.25, 0.25, 2}})}) {
    SCOPED_TRACE(grid.describe());
    const Surface direct = c.landscape.evaluate(c.section, grid);
    for (const bool as_list : {false, true}) {
      const Surface surface = as_list ? c.landscape.evaluate(c.section, points_of(grid), options)
                                      : c.landscape.evaluate(c.section, grid, options);
      const ChebyshevReport& report = *surface.chebyshev;
      ASSERT_EQ(report.method, Method::chebyshev) << report.reason;
      EXPECT_EQ(surface.size(), grid.size());
      EXPECT_LE(relative_error(surface, direct, report.scale), 3 * report.estimate);
      for (std::size_t i = 0; i < 3; ++i) {
        const Axis& axis = grid.axes()[i];
        EXPECT_EQ(report.nodes[i] == 1, axis.points == 1 || axis.lo == axis.hi);
      }
    }
  }
}

TEST(Chebyshev, EndsKeepTheLossOfTheirExactParameters) {
  Random random(21);
  const Case c = random_case({.layers = 2, .rank = 2, .heads = 2, .length = 0.3}, random);
  std::vector<double> b = c.section.origin, d = c.section.origin;
  for (double& entry : b) entry += 0.3 * random.normal();
  for (double& entry : d) entry += 0.3 * random.normal();
  const Section plane = plane_section(c.network, c.section.origin, b, d);
  const Grid grid = Grid::unit({60, 60});
  const Surface surface =
      c.landscape.evaluate(plane, grid, {.precision = Precision::f32, .method = Method::chebyshev, .tolerance = 1e-4});
  const ChebyshevReport& report = *surface.chebyshev;
  ASSERT_EQ(report.method, Method::chebyshev) << report.reason;
  for (std::int64_t h = 0; h < 2; ++h) {
    EXPECT_EQ(surface.at(59 * 60, h), c.landscape.evaluate(b).losses[static_cast<std::size_t>(h)]);
    EXPECT_EQ(surface.at(59, h), c.landscape.evaluate(d).losses[static_cast<std::size_t>(h)]);
  }
  EXPECT_EQ(report.evaluations, product(report.nodes) + report.held_out_points + 2);
  EXPECT_EQ(report.saved, grid.size() - report.evaluations);
}

TEST(Chebyshev, BitsDoNotDependOnThreads) {
  std::vector<Surface> surfaces;
  for (const int threads : {1, 2, 5}) {
    Random random(23);
    const Case c = random_case({.layers = 3, .heads = 2}, random, Device::cpu({.threads = threads}));
    surfaces.push_back(c.landscape.evaluate(c.section, Grid::box(-1, 1, {120, 150}), {.method = Method::chebyshev}));
    EXPECT_EQ(surfaces.back().chebyshev->method, Method::chebyshev);
    EXPECT_EQ(surfaces.back().losses, surfaces.front().losses) << threads;
  }
}

TEST(Chebyshev, ThePlanSaysWhatItTakes) {
  Random random(25);
  const Case c = random_case({.layers = 2, .length = 0.3}, random);
  const EvaluateOptions options{.method = Method::chebyshev, .tolerance = 1e-6};
  const std::string forecast = c.landscape.explain(c.section, 128 * 128, options);
  for (const char* part : {"method: chebyshev", "at K = 9: 209 evaluations", "at K = 65: 4489 evaluations", "FLOP"}) {
    EXPECT_THAT(forecast, ::testing::HasSubstr(part));
  }
  EXPECT_THAT(forecast, ::testing::Not(::testing::HasSubstr("K = 129")));
  const Surface surface = c.landscape.evaluate(c.section, Grid::box(-1, 1, {128, 128}), options);
  for (const char* part : {"nodes and 128 held-out points", "transform: ", "interpolation: "}) {
    EXPECT_THAT(surface.plan, ::testing::HasSubstr(part));
  }
  EXPECT_THAT(c.landscape.explain(c.section, 128 * 128), ::testing::Not(::testing::HasSubstr("chebyshev")));
}

TEST(Chebyshev, BadArgumentsAndStops) {
  Random random(27);
  const Case c = random_case({}, random);
  const Grid grid = Grid::box(-1, 1, {50, 50});
  for (const double tolerance : {0.0, -1e-6, 1.0, std::nan("")}) {
    EXPECT_ERROR(c.landscape.evaluate(c.section, grid, {.method = Method::chebyshev, .tolerance = tolerance}),
                 InvalidArgument, "tolerance");
  }
  EXPECT_ERROR(fit_chebyshev(c.landscape, c.section, Grid::unit({50})), InvalidArgument, "1 axes for 2 directions");
  std::stop_source stop;
  stop.request_stop();
  EvaluateOptions options{.method = Method::chebyshev};
  options.control.stop = stop.get_token();
  EXPECT_THROW(c.landscape.evaluate(c.section, grid, options), Interrupted);
}

}  // namespace
}  // namespace lossatlas
