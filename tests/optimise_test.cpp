// The optimisers against closed forms, hand-made steps and known critical points.
#include <lossatlas/optimise.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/embedding.hpp>
#include <lossatlas/hessian.hpp>

#include "base/random.hpp"
#include "base/vectors.hpp"
#include "expect_error.hpp"

namespace lossatlas {
namespace {

const double kInfinity = std::numeric_limits<double>::infinity();

Landscape on_cpu(Network network, Dataset data, int threads = 1) {
  return Landscape(std::move(network), std::move(data), Loss::mean_squared_error, Device::cpu({.threads = threads}));
}

/// y = slope·x at three points, for networks without bias: R depends on x through mean x² = 2 only.
Dataset line(double slope) { return Dataset::regression({1, 1, 2}, 1, {slope, slope, 2 * slope}, 1); }
constexpr double kMeanSquare = 2;

Landscape scalar_bowl() { return on_cpu(mlp({1, 1}, Activation::identity, {.bias = Bias::none}), line(3)); }

/// R = mean x²·(a w − slope)².
Landscape product(double slope) {
  return on_cpu(mlp({1, 1, 1}, Activation::identity, {.bias = Bias::none}), line(slope));
}

Landscape tanh_regression(std::int64_t samples, int threads) {
  Random random(11);
  std::vector<double> x, y;
  for (std::int64_t n = 0; n < samples; ++n) {
    x.push_back(random.uniform(-3, 3));
    y.push_back(std::tanh(1.3 * x.back() + 0.4) - 0.7 * std::tanh(0.5 * x.back() - 1) + 0.1 * random.normal());
  }
  return on_cpu(mlp({1, 3, 1}, Activation::tanh), Dataset::regression(x, 1, y, 1), threads);
}

StoppingRule iterations(std::int64_t count, std::int64_t record_every = 0) {
  StoppingRule rule;
  rule.iterations = count;
  rule.record_every = record_every;
  return rule;
}

TEST(GradientDescent, FollowsTheClosedFormOnABowl) {
  const Landscape bowl = scalar_bowl();
  const std::vector<double> start{-1};
  const OptimiserResult result = optimise(bowl, start, GradientDescent{.rate = 0.05}, iterations(7, 1));
  ASSERT_EQ(result.trajectory.size(), 8u);
  for (const OptimiserStep& step : result.trajectory) {
    const double error = -4 * std::pow(1 - 2 * 0.05 * kMeanSquare, step.iteration);
    EXPECT_NEAR(step.loss, kMeanSquare * error * error, 1e-13);
    EXPECT_NEAR(step.gradient_l1, 2 * kMeanSquare * std::abs(error), 1e-13);
  }
  EXPECT_NEAR(result.theta[0], 3 - 4 * std::pow(0.8, 7), 1e-14);
  EXPECT_EQ(result.reason, StopReason::iterations);
  EXPECT_NEAR(result.trajectory[1].step_norm, 0.05 * 2 * kMeanSquare * 4, 1e-14);
  EXPECT_EQ(result.gradient_l1, result.gradient_max);
}

TEST(Adam, TakesItsFirstStepsAsByHand) {
  const Landscape bowl = scalar_bowl();
  const Adam adam{.rate = 0.1, .mean_decay = 0.8, .square_decay = 0.9, .epsilon = 1e-3};
  double theta = -1, mean = 0, square = 0;
  for (int k = 1; k <= 3; ++k) {
    const double g = 2 * kMeanSquare * (theta - 3);
    mean = 0.8 * mean + 0.2 * g;
    square = 0.9 * square + 0.1 * g * g;
    theta -= 0.1 * (mean / (1 - std::pow(0.8, k))) / (std::sqrt(square / (1 - std::pow(0.9, k))) + 1e-3);
    const OptimiserResult result = optimise(bowl, std::vector<double>{-1}, adam, iterations(k));
    EXPECT_NEAR(result.theta[0], theta, 1e-14) << "after " << k << " steps";
  }
}

TEST(Newton, SolvesABowlInOneStep) {
  const Landscape bowl = scalar_bowl();
  const OptimiserResult result = optimise(bowl, std::vector<double>{-1}, Newton{}, iterations(1));
  EXPECT_NEAR(result.theta[0], 3, 1e-15);
  EXPECT_NEAR(result.trajectory.back().step_norm, 4, 1e-14);
}

TEST(Newton, ConvergesToASaddle) {
  const Landscape landscape = product(3);
  const OptimiserResult result = optimise(landscape, std::vector<double>{0.3, -0.2}, Newton{}, iterations(50));
  EXPECT_LE(result.gradient_l1, 1e-14);
  EXPECT_NEAR(result.theta[0], 0, 1e-14);
  EXPECT_NEAR(result.theta[1], 0, 1e-14);
  EXPECT_EQ(hessian_spectrum(landscape, result.theta).inertia, (Inertia{1, 0, 1}));
}

TEST(Newton, ConvergesToADegenerateMinimum) {
  const Landscape landscape = product(3);
  const OptimiserResult result = optimise(landscape, std::vector<double>{2.1, 1.6}, Newton{}, iterations(50));
  EXPECT_LE(result.gradient_l1, 1e-13);
  EXPECT_NEAR(result.theta[0] * result.theta[1], 3, 1e-13);
  EXPECT_EQ(hessian_spectrum(landscape, result.theta).inertia, (Inertia{1, 1, 0}));
}

TEST(Newton, LeavesDirectionsThatItTruncatesAlone) {
  const Dataset twice = Dataset::regression({1, 1, 2, 2, -1, -1}, 2, {3, 6, -3}, 1);  // R depends on the sum only
  const Network plane = mlp({2, 1}, Activation::identity, {.bias = Bias::none});
  OptimiserResult result = optimise(on_cpu(plane, twice), std::vector<double>{-1, 5.3}, Newton{}, iterations(3));
  EXPECT_NEAR(result.theta[0] + result.theta[1], 3, 1e-14);
  EXPECT_NEAR(result.theta[0] - result.theta[1], -6.3, 1e-14);

  const Dataset apart = Dataset::regression({2, 0, 0, 1}, 2, {2, 5}, 1);  // eigenvalues 4 and 1
  result = optimise(on_cpu(plane, apart), std::vector<double>{7, 7}, Newton{.truncation = 0.5}, iterations(5));
  EXPECT_NEAR(result.theta[0], 1, 1e-14);
  EXPECT_EQ(result.theta[1], 7);
  EXPECT_EQ(result.reason, StopReason::stalled);
}

/// The critical point of width 1 and the minimum of width 2 on the one-dimensional data, by Newton from their digits.
std::vector<double> known_point(std::int64_t width) {
  const std::vector<double> start = width == 1 ? std::vector<double>{0.0895, 0, 3.747}
                                               : std::vector<double>{0.155, -1.302, -0.4176, -9.336, 2.342, -0.7886};
  return optimise(on_cpu(mlp({1, width, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3()), start, Newton{},
                  iterations(50))
      .theta;
}

struct EmbeddedCase {
  const char* name;
  std::int64_t narrow;
  std::vector<Split> splits;
  Inertia inertia;
};
const EmbeddedCase kEmbedded[] = {{"1 to 2", 1, {{1, 0, 0.5}}, {4, 1, 1}},
                                  {"1 to 2 to 3", 1, {{1, 0, 0.5}, {1, 0, 0.5}}, {5, 2, 2}},
                                  {"2 to 3, neuron 0", 2, {{1, 0, 0.5}}, {7, 1, 1}},
                                  {"2 to 3, neuron 1", 2, {{1, 1, 0.5}}, {7, 1, 1}}};

TEST(Newton, ReachesEmbeddedPointsInAFewSteps) {
  // Degenerate along the line of all α: there the error is squared from step to step. Measured: 3 and 6 steps.
  const struct {
    double away;
    std::int64_t steps;
    double farthest;
  } cases[] = {{1e-5, 4, 1e-3}, {1e-3, 8, 0.1}};
  for (const EmbeddedCase& one : kEmbedded) {
    const Network network = mlp({1, one.narrow, 1}, Activation::tanh, {.bias = Bias::hidden});
    const Embedding wide = embed(network, known_point(one.narrow), one.splits);
    const Landscape landscape = on_cpu(wide.network, tanh3());
    for (const auto& [away, steps, farthest] : cases) {
      std::int64_t most = 0;
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Random random(17, seed);
        std::vector<double> start = wide.theta;
        for (double& x : start) x += away * random.normal();
        StoppingRule rule = iterations(steps);
        rule.gradient_l1 = 1e-13;
        const OptimiserResult result = optimise(landscape, start, Newton{}, rule);
        EXPECT_EQ(result.reason, StopReason::gradient) << one.name << ", " << away << " away, seed " << seed;
        EXPECT_LE(norm_l2(moved(result.theta, -1, start)), farthest) << one.name << ", seed " << seed;
        EXPECT_EQ(hessian_spectrum(landscape, result.theta).inertia, one.inertia) << one.name << ", seed " << seed;
        most = std::max(most, result.iterations);
      }
      std::cout << one.name << ", " << away << " away: at most " << most << " steps\n";
    }
  }
}

TEST(Newton, NeverRaisesTheGradient) {
  const Landscape landscape = tanh_regression(40, 1);
  const std::vector<double> start = random_parameters(landscape.network(), {.seed = 5});
  double before = kInfinity;
  StoppingRule rule = iterations(20, 1);
  rule.callback = [&](const OptimiserStep&, std::span<const double> theta) {
    double square = 0;
    for (const double g : landscape.gradient(theta)) square += g * g;
    EXPECT_LT(square, before);
    before = square;
    return true;
  };
  optimise(landscape, start, Newton{}, rule);
}

TEST(LevenbergMarquardt, SolvesLinearRegression) {
  const Dataset data = Dataset::regression({1, 0, 0, 1, 1, 1}, 2, {1, 2, 4}, 1);  // least squares: (4/3, 7/3)
  const Landscape landscape = on_cpu(mlp({2, 1}, Activation::identity, {.bias = Bias::none}), data);
  const OptimiserResult result =
      optimise(landscape, std::vector<double>{10, -7}, LevenbergMarquardt{}, iterations(100));
  EXPECT_NEAR(result.theta[0], 4.0 / 3, 1e-7);  // where R cannot be told from its minimum: the root of its rounding
  EXPECT_NEAR(result.theta[1], 7.0 / 3, 1e-7);
  EXPECT_NEAR(result.loss, 1.0 / 9, 1e-15);
  EXPECT_EQ(result.reason, StopReason::stalled);
}

TEST(LevenbergMarquardt, FollowsACurvedValleyToAnExactFit) {
  const Landscape landscape = on_cpu(mlp({1, 3, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3());
  const std::vector<double> start{0.6, 1.5, 0.7, 3, 0.3, -4, 1.5, 0.5, 1.4};
  StoppingRule rule = iterations(300, 1);
  rule.loss = 1e-26;
  const OptimiserResult result = optimise(landscape, start, LevenbergMarquardt{}, rule);
  EXPECT_EQ(result.reason, StopReason::loss);
  EXPECT_LE(result.loss, 1e-26);
  for (std::size_t k = 1; k < result.trajectory.size(); ++k) {
    EXPECT_LT(result.trajectory[k].loss, result.trajectory[k - 1].loss);
  }
}

TEST(Optimise, HasTheSameBitsForEveryNumberOfThreads) {
  std::vector<std::vector<double>> ends;
  for (const int threads : {1, 2, 5}) {
    const Landscape landscape = tanh_regression(1300, threads);  // several chunks of samples
    const std::vector<double> start = random_parameters(landscape.network(), {.seed = 3});
    std::vector<double> end = optimise(landscape, start, Adam{}, iterations(20)).theta;
    end = optimise(landscape, end, LevenbergMarquardt{}, iterations(10)).theta;
    ends.push_back(optimise(landscape, end, Newton{}, iterations(5)).theta);
  }
  EXPECT_EQ(ends[0], ends[1]);
  EXPECT_EQ(ends[0], ends[2]);
}

TEST(StoppingRule, EndsOnEachOfItsConditions) {
  const Landscape bowl = scalar_bowl();
  const std::vector<double> start{-1};
  StoppingRule rule = iterations(1000);
  rule.gradient_l1 = 1e-3;
  OptimiserResult result = optimise(bowl, start, GradientDescent{.rate = 0.05}, rule);
  EXPECT_EQ(result.reason, StopReason::gradient);
  EXPECT_LE(result.gradient_l1, 1e-3);
  EXPECT_GT(result.gradient_l1 / 0.8, 1e-3) << "one step too many";

  rule = iterations(1000);
  rule.loss = 1;
  result = optimise(bowl, start, GradientDescent{.rate = 0.05}, rule);
  EXPECT_EQ(result.reason, StopReason::loss);
  EXPECT_GT(result.loss / 0.64, 1);

  rule = iterations(1000, 4);
  rule.callback = [](const OptimiserStep& step, std::span<const double>) { return step.iteration < 8; };
  result = optimise(bowl, start, GradientDescent{.rate = 0.05}, rule);
  EXPECT_EQ(result.reason, StopReason::callback);
  EXPECT_EQ(result.iterations, 8);
  EXPECT_EQ(result.trajectory.size(), 3u);

  result = optimise(bowl, start, GradientDescent{}, iterations(0));
  EXPECT_EQ(result.theta, start);
  EXPECT_EQ(result.trajectory.size(), 1u);
  EXPECT_STREQ(name(result.reason), "iterations");
}

TEST(StoppingRule, RecordsFirstAndLastByDefault) {
  const OptimiserResult result = optimise(scalar_bowl(), std::vector<double>{-1}, GradientDescent{}, iterations(10));
  ASSERT_EQ(result.trajectory.size(), 2u);
  EXPECT_EQ(result.trajectory[0].iteration, 0);
  EXPECT_EQ(result.trajectory[1].iteration, 10);
  EXPECT_EQ(result.trajectory[1].loss, result.loss);
}

TEST(Optimise, ReportsDivergence) {
  const OptimiserResult result =
      optimise(product(3), std::vector<double>{1, 2}, GradientDescent{.rate = 5}, iterations(1000));
  EXPECT_EQ(result.reason, StopReason::diverged);
  EXPECT_LT(result.iterations, 1000);
}

TEST(Optimise, StopsWhenAskedTo) {
  std::stop_source source;
  StoppingRule rule = iterations(1000000, 1);
  rule.control.stop = source.get_token();
  rule.callback = [&](const OptimiserStep& step, std::span<const double>) {
    if (step.iteration == 3) source.request_stop();
    return true;
  };
  EXPECT_THROW(optimise(scalar_bowl(), std::vector<double>{-1}, GradientDescent{}, rule), Interrupted);
}

TEST(Optimise, ReportsProgressToTheEnd) {
  std::vector<std::int64_t> done;
  StoppingRule rule = iterations(10);
  rule.control.progress = [&](const ProgressEvent& event) { done.push_back(event.done); };
  optimise(scalar_bowl(), std::vector<double>{-1}, GradientDescent{}, rule);
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), 10);
}

TEST(Optimise, ReportsItsOwnProgressOnly) {
  const Landscape landscape = tanh_regression(30, 1);
  const std::vector<double> start = random_parameters(landscape.network(), {.seed = 3});
  std::vector<std::string> stages;
  StoppingRule rule;
  rule.iterations = 3;
  rule.control.progress = [&](const ProgressEvent& event) { stages.emplace_back(event.stage); };
  optimise(landscape, start, Newton{}, rule);
  optimise(landscape, start, LevenbergMarquardt{}, rule);
  EXPECT_GE(stages.size(), 2u);
  for (const std::string& stage : stages) EXPECT_EQ(stage, "optimise");
}

TEST(Optimise, RefusesMoreEigenvectorsThanLapackCanFind) {
  const Landscape landscape =
      on_cpu(mlp({32766, 1}, Activation::identity), Dataset::regression(std::vector<double>(32766), 32766, {1}, 1));
  EXPECT_ERROR(optimise(landscape, std::vector<double>(32767), Newton{}, {}), InvalidArgument,
               "[optimise] received size 32767 with vectors, expected at most 32766 on the CPU");
}

TEST(Optimise, RefusesBadArguments) {
  const Landscape bowl = scalar_bowl();
  const std::vector<double> one{1}, two{1, 2}, infinite{kInfinity};
  EXPECT_ERROR(optimise(bowl, two, Newton{}, {}), InvalidArgument, "received 2 parameters, expected 1");
  EXPECT_ERROR(optimise(bowl, infinite, Adam{}, {}), InvalidArgument, "theta");
  EXPECT_ERROR(optimise(bowl, one, GradientDescent{.rate = 0}, {}), InvalidArgument, "rate = 0");
  EXPECT_ERROR(optimise(bowl, one, Adam{.rate = -1}, {}), InvalidArgument, "rate = -1");
  EXPECT_ERROR(optimise(bowl, one, Adam{.mean_decay = 1}, {}), InvalidArgument, "decay of 1");
  EXPECT_ERROR(optimise(bowl, one, Adam{.epsilon = 0}, {}), InvalidArgument, "epsilon");
  EXPECT_ERROR(optimise(bowl, one, LevenbergMarquardt{.damping = std::nan("")}, {}), InvalidArgument, "damping");
  EXPECT_ERROR(optimise(bowl, one, Newton{.truncation = 1}, {}), InvalidArgument, "truncation = 1");
  EXPECT_ERROR(optimise(bowl, one, Newton{}, iterations(-1)), InvalidArgument, "-1 iterations");
  EXPECT_ERROR(optimise(bowl, one, Newton{}, iterations(1, -1)), InvalidArgument, "record_every");
}

}  // namespace
}  // namespace lossatlas
