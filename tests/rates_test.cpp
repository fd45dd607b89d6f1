// Rates of a device, and the floor that they give a section.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lossatlas/landscape.hpp>
#include <lossatlas/rates.hpp>

#include "base/rate_pace.hpp"
#include "expect_error.hpp"
#include "reference/random_problem.hpp"
#include "section/section_cost.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr DeviceRates kInTurn{.flop = 2e9, .transcendental = 1e9, .bytes = 4e9};
constexpr DeviceRates kAtOnce{.flop = 2e9, .transcendental = 1e9, .bytes = 4e9, .overlap = true};

TEST(Rates, FloorByHand) {
  const SectionCost cost{.flop = 6e9, .transcendental = 2e9, .bytes = 1e9};
  EXPECT_EQ(cost.floor_seconds(kInTurn), 3 + 2);
  EXPECT_EQ(cost.floor_seconds(kAtOnce), 3);
  const SectionCost functions{.flop = 6e9, .transcendental = 8e9, .bytes = 1e9};
  EXPECT_EQ(functions.floor_seconds(kInTurn), 3 + 8);
  EXPECT_EQ(functions.floor_seconds(kAtOnce), 8);
  const SectionCost copies{.flop = 6e9, .transcendental = 2e9, .bytes = 64e9};
  EXPECT_EQ(copies.floor_seconds(kInTurn), 16);
  EXPECT_EQ(copies.floor_seconds(kAtOnce), 16);
  EXPECT_EQ(SectionCost{}.floor_seconds(kInTurn), 0);
}

TEST(Rates, FloorInWords) {
  const SectionCost cost{.flop = 6e7, .transcendental = 2e6, .bytes = 1e6};
  EXPECT_EQ(floor_text(cost, kInTurn),
            "32 ms (products 30 ms at 2 GFLOP/s + transcendental functions 2 ms at 1 G/s, or bytes 0.25 ms at 4 GB/s)");
  EXPECT_EQ(
      floor_text(cost, kAtOnce),
      "30 ms (products 30 ms at 2 GFLOP/s, or transcendental functions 2 ms at 1 G/s, or bytes 0.25 ms at 4 GB/s)");
  EXPECT_EQ(time_text(0), "0 ms");
  EXPECT_EQ(time_text(12.3e-6), "0.0123 ms");
  EXPECT_EQ(time_text(0.9994), "999 ms");
  EXPECT_EQ(time_text(0.9996), "1 s");
  EXPECT_EQ(time_text(61.66), "61.7 s");
  EXPECT_EQ(time_text(86400), "86400 s");
}

TEST(Rates, AFloorNeedsPositiveRates) {
  const SectionCost cost{.flop = 1, .transcendental = 1, .bytes = 1};
  for (double DeviceRates::*rate : {&DeviceRates::flop, &DeviceRates::transcendental, &DeviceRates::bytes}) {
    for (const double value : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
      DeviceRates rates = kInTurn;
      rates.*rate = value;
      EXPECT_ERROR(cost.floor_seconds(rates), InvalidArgument, "expected positive ones");
    }
  }
}

TEST(Rates, RunsGrowUntilTheyAreLongAndTheFastestCounts) {
  RatePace pace;
  EXPECT_EQ(pace.rounds(), 1);
  pace.add(1e-6);
  EXPECT_EQ(pace.rounds(), 64);
  pace.add(1.5e-4);
  EXPECT_EQ(pace.rounds(), 64 * 20);
  pace.add(10e-3);
  pace.add(2e-3);  // the long run was a disturbed one
  EXPECT_EQ(pace.rounds(), 64 * 20 * 2);
  for (const double seconds : {7e-3, 5e-3, 2.5e-3, 6e-3, 4e-3}) {
    EXPECT_FALSE(pace.done());
    pace.add(seconds);
  }
  EXPECT_TRUE(pace.done());
  RatePace slow;
  slow.add(0.2);
  EXPECT_TRUE(slow.done());
  EXPECT_EQ(slow.seconds_per_round(), 0.2);
  EXPECT_EQ(pace.seconds_per_round(), 2.5e-3 / 2560);
}

TEST(Rates, MeasuredOnTheDevice) {
  const Device device = test_device();
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    const DeviceRates rates = measure_rates(device, precision);
    for (const double rate : {rates.flop, rates.transcendental, rates.bytes}) {
      EXPECT_TRUE(rate > 0 && std::isfinite(rate)) << name(precision) << ' ' << rate;
    }
    EXPECT_EQ(rates.overlap, device.kind() == Device::Kind::cuda);
  }
}

/// A landscape of 40 samples with a section that moves the last `moving` parameters.
struct Problem {
  Landscape landscape;
  Section section;
};

Problem make_problem(Loss loss, std::int64_t moving = 0) {
  Random random(7);
  const Network network = mlp({5, 6, 7, 3}, Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 1});
  std::vector<double> directions = random_directions(network, theta, {.count = 2, .seed = 2});
  const auto parameters = static_cast<std::size_t>(network.parameter_count());
  for (std::size_t m = 0; moving > 0 && m < directions.size(); ++m) {
    if (m % parameters < parameters - static_cast<std::size_t>(moving)) directions[m] = 0;
  }
  Section section = make_section(network, std::move(theta), std::move(directions));
  return {Landscape(network, reference::random_data(random, 40, 5, 3, loss), loss, test_device()), std::move(section)};
}

/// A network that is cut off from its input, moved by the biases of the first layer.
Problem make_sample_free() {
  Problem problem = make_problem(Loss::cross_entropy);
  const std::size_t parameters = problem.section.origin.size(), weights = 30, first_layer = weights + 6;
  std::fill_n(problem.section.origin.begin(), weights, 0.0);
  for (std::size_t m = 0; m < problem.section.directions.size(); ++m) {
    const std::size_t at = m % parameters;
    if (at < weights || at >= first_layer)
      problem.section.directions[m] = 0;
    else
      problem.section.directions[m] = 1 + static_cast<double>(m);
  }
  return problem;
}

/// explain() with rates is explain() without them and one line more, which says section_cost()'s floor.
void expect_floor(const Problem& problem, const EvaluateOptions& options, const char* plan) {
  const std::string without = problem.landscape.explain(problem.section, 64, options);
  EXPECT_THAT(without, HasSubstr(plan));
  EXPECT_THAT(without, Not(HasSubstr("floor")));
  const SectionCost cost = section_cost(problem.landscape, problem.section, 64, options);
  EXPECT_GT(cost.floor_seconds(kInTurn), 0);
  EXPECT_GE(cost.floor_seconds(kInTurn), cost.floor_seconds(kAtOnce));
  const std::string line = "\nfloor: " + floor_text(cost, kInTurn);
  std::string with = problem.landscape.explain(problem.section, 64, options, kInTurn);
  const std::size_t at = with.find(line);
  ASSERT_NE(at, std::string::npos) << with;
  EXPECT_EQ(with.erase(at, line.size()), without);
}

TEST(Rates, EveryPlanHasAFloor) {
  const Problem joint = make_problem(Loss::cross_entropy);
  expect_floor(joint, {}, "plan: joint");
  expect_floor(joint, {.plan = Plan::direct}, "plan: direct");
  expect_floor(make_problem(Loss::mean_squared_error, 24), {.precision = Precision::f32}, "plan: quadratic");
  expect_floor(make_sample_free(), {.precision = Precision::fast}, "plan: sample-free");
}

TEST(Rates, CostsOfEveryPlan) {
  const Problem joint = make_problem(Loss::cross_entropy);
  const SectionCost cost = section_cost(joint.landscape, joint.section, 64, {.precision = Precision::f32});
  // The affine layer's three products once; 2 directions, tanh, two layers and the loss for each point and sample,
  // whose weights are formed for each point.
  const double once = 40 * 3 * 2 * 5 * 6, pair = 2 * 2 * 6 + 6 + 2 * 6 * 7 + 2 * 7 * 3;
  const double formed = 2 * 2 * 6 * 7 + 2 * 2 * 7 * 3;  // random directions leave the biases
  EXPECT_EQ(cost.flop, once + 64 * formed + 64 * 40 * pair);
  EXPECT_EQ(cost.transcendental, 64 * 40 * (6 + 7 + 3 + 1));
  EXPECT_EQ(cost.precision, Precision::f32);
  const bool cuda = test_device().kind() == Device::Kind::cuda;
  EXPECT_EQ(section_cost(joint.landscape, joint.section, 64, {.precision = Precision::fast}).precision,
            cuda ? Precision::fast : Precision::f32);
  const SectionCost direct = section_cost(joint.landscape, joint.section, 64, {.plan = Plan::direct});
  EXPECT_GT(direct.floor_seconds(kInTurn), cost.floor_seconds(kInTurn));
  const Problem quadratic = make_problem(Loss::mean_squared_error, 24);
  EXPECT_EQ(section_cost(quadratic.landscape, quadratic.section, 64, {.precision = Precision::f32}).precision,
            Precision::f64);
  const Problem free = make_sample_free();
  EXPECT_EQ(section_cost(free.landscape, free.section, 64).transcendental, 64 * (6 + 7 + 3 + 1));
  EXPECT_ERROR(section_cost(joint.landscape, joint.section, 0), InvalidArgument, "0 points");
}

TEST(Rates, InterpolationHasAFloorForEachNumberOfNodes) {
  const Problem problem = make_problem(Loss::cross_entropy);
  const EvaluateOptions options{.method = Method::chebyshev, .tolerance = 1e-6};
  const std::string text = problem.landscape.explain(problem.section, 128 * 128, options, kInTurn);
  const SectionCost cost = section_cost(problem.landscape, problem.section, 209, options);
  EXPECT_THAT(text, HasSubstr("at K = 9: 209 evaluations (floor " + time_text(cost.floor_seconds(kInTurn)) + "), "));
  EXPECT_THAT(problem.landscape.explain(problem.section, 128 * 128, options),
              HasSubstr("at K = 9: 209 evaluations, transform"));
}

}  // namespace
}  // namespace lossatlas
