// The Cholesky test of a Hessian against matrices whose spectrum is known, closed forms, and splits whose phase is
// known.
#include "curvature/curvature.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <lossatlas/critical_point.hpp>
#include <lossatlas/forecast.hpp>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/block_theorem.hpp"
#include "reference/known_spectrum.hpp"

namespace lossatlas {
namespace {

using reference::RandomProblem;
using reference::with_spectrum;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

Landscape on_cpu(const Network& network, const Dataset& data, int threads = 2) {
  return Landscape(network, data, Loss::mean_squared_error, Device::cpu({.threads = threads}));
}

/// Eigenvalues 0.5 to 1.5 and `smallest`.
std::vector<double> spectrum_with(double smallest, std::int64_t n) {
  Random random(static_cast<std::uint64_t>(n), 7);
  std::vector<double> values(static_cast<std::size_t>(n), smallest);
  for (std::size_t i = 1; i < values.size(); ++i) values[i] = random.uniform(0.5, 1.5);
  return values;
}

CurvatureTest tested(const std::vector<double>& values, std::optional<double> below = std::nullopt, int threads = 2) {
  return test_matrix_curvature(with_spectrum(values, 3), static_cast<std::int64_t>(values.size()), below, threads, {});
}

// ---- matrices whose spectrum is known -----------------------------------------------------------------------------

/// What is promised on both sides of −ε, with 8 n ε_mach for the rounding of the matrices themselves.
TEST(Curvature, TellsTheSidesOfTheShift) {
  for (const std::int64_t n : {1, 2, 5, 33, 128, 257, 600}) {
    SCOPED_TRACE(n);
    const CurvatureTest zero = tested(spectrum_with(0, n));
    EXPECT_EQ(zero.curvature, Curvature::not_negative);
    EXPECT_GE(zero.below - zero.rounding, 1e-11 * (1 - 4 * kEpsilon));
    const double ours = 8 * static_cast<double>(n) * kEpsilon;
    const double above = -(zero.below - zero.rounding) + ours, under = -(zero.below + zero.rounding) - ours;
    EXPECT_EQ(tested(spectrum_with(above, n), zero.below).curvature, Curvature::not_negative);
    EXPECT_EQ(tested(spectrum_with(under, n), zero.below).curvature, Curvature::negative);
    EXPECT_EQ(tested(spectrum_with(-1e-3, n)).curvature, Curvature::negative);
    EXPECT_EQ(tested(spectrum_with(1e-3, n)).curvature, Curvature::not_negative);
    EXPECT_EQ(tested(spectrum_with(-1e-3, n), 1e-2).curvature, Curvature::not_negative);
    EXPECT_EQ(tested(spectrum_with(-1e-2, n), 1e-3).curvature, Curvature::negative);
  }
}

/// Without a shift a failure proves nothing, a factor does.
TEST(Curvature, WithoutAShiftIsUndecidedOrNotNegative) {
  EXPECT_EQ(tested(spectrum_with(-1, 20), 0.0).curvature, Curvature::undecided);
  const CurvatureTest positive = tested(spectrum_with(0.1, 20), 0.0);
  EXPECT_EQ(positive.curvature, Curvature::not_negative);
  EXPECT_EQ(positive.below, 0);
  EXPECT_GT(positive.rounding, 0);
}

TEST(Curvature, OfTheZeroMatrixIsNotNegative) {
  const CurvatureTest zero = test_matrix_curvature(std::vector<double>(81), 9, {}, 1, {});
  EXPECT_EQ(zero.curvature, Curvature::not_negative);
  EXPECT_NEAR(zero.below, 1e-11, 1e-24);
  EXPECT_EQ(zero.device.rfind("cpu, OpenBLAS", 0), 0u) << zero.device;
}

TEST(Curvature, KeepsItsScale) {
  for (const double scale : {1e-150, 1e150, 1e300}) {
    std::vector<double> positive = spectrum_with(1, 40), indefinite = spectrum_with(-1, 40);
    for (double& value : positive) value *= scale;
    for (double& value : indefinite) value *= scale;
    EXPECT_EQ(tested(positive).curvature, Curvature::not_negative);
    EXPECT_EQ(tested(indefinite, scale * 1e-3).curvature, Curvature::negative) << scale;
  }
}

TEST(Curvature, DoesNotDependOnThreads) {
  const double edge = tested(spectrum_with(0, 600)).below;
  const auto values = spectrum_with(-edge, 600);  // where rounding decides
  const CurvatureTest one = tested(values, edge, 1);
  for (const int threads : {2, 3, 7}) {
    const CurvatureTest more = tested(values, edge, threads);
    EXPECT_EQ(more.curvature, one.curvature);
    EXPECT_EQ(more.rounding, one.rounding);
  }
}

// ---- Hessians -----------------------------------------------------------------------------------------------------

/// R = (ab − 1)²: a saddle at 0 with eigenvalues ±2, a minimum with a zero at a = b = 1; no residual part is negative.
TEST(Curvature, OfAProductOfTwoWeights) {
  const Landscape landscape =
      on_cpu(mlp({1, 1, 1}, Activation::identity, {.bias = Bias::none}), Dataset::regression({1}, 1, {1}, 1));
  const std::vector<double> saddle = {0, 0}, minimum = {1, 1};
  EXPECT_EQ(test_curvature(landscape, saddle).curvature, Curvature::negative);
  EXPECT_EQ(test_curvature(landscape, saddle, {.below = 1.9}).curvature, Curvature::negative);
  EXPECT_EQ(test_curvature(landscape, saddle, {.below = 2.1}).curvature, Curvature::not_negative);
  EXPECT_EQ(test_curvature(landscape, saddle, {.part = HessianPart::gauss_newton}).curvature, Curvature::not_negative);
  EXPECT_EQ(test_curvature(landscape, minimum).curvature, Curvature::not_negative);
}

TEST(Curvature, OfLinearRegressionIsNotNegative) {
  Random random(5);
  for (const std::int64_t samples : {3, 40}) {  // singular and not
    const Dataset data = reference::random_data(random, samples, 12, 2, Loss::mean_squared_error);
    const Landscape landscape = on_cpu(mlp({12, 2}, Activation::identity), data);
    EXPECT_EQ(test_curvature(landscape, random_parameters(landscape.network())).curvature, Curvature::not_negative);
  }
}

TEST(Curvature, AgreesWithTheSpectrumAtRandomParameters) {
  std::uint64_t seed = 8000;
  int compared = 0, left_out = 0, negative = 0;
  for (int round = 0; round < 12; ++round) {
    for (const auto& kind : reference::kinds()) {
      const RandomProblem problem = reference::random_problem(++seed, kind);
      const Landscape landscape(problem.network, problem.data, problem.loss, Device::cpu());
      const HessianPart part = round % 3 == 0 ? HessianPart::gauss_newton : HessianPart::full;
      const CurvatureTest test = test_curvature(landscape, problem.theta, {.part = part});
      const double smallest = hessian_spectrum(landscape, problem.theta, {}, {.part = part}).eigenvalues.front();
      ASSERT_NE(test.curvature, Curvature::undecided);
      if (smallest < -(test.below - test.rounding) && smallest > -10 * test.below) {
        ++left_out;
        continue;
      }
      ++compared;
      negative += test.curvature == Curvature::negative;
      EXPECT_EQ(test.curvature == Curvature::negative, smallest < -test.below) << problem.describe() << smallest;
    }
  }
  std::printf("%d compared, %d of them negative, %d left out near the shift\n", compared, negative, left_out);
  EXPECT_LT(left_out, 0.05 * compared);
  EXPECT_GT(negative, 50);
  EXPECT_GT(compared - negative, 50);
}

/// The width-2 minimum of [Z21] Figure 3a and its α = ½ split.
TEST(Curvature, TellsAMinimumFromASaddle) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape narrow = on_cpu(network, tanh3());
  const CriticalPoint minimum = find_critical_point(narrow, random_parameters(network, {.seed = 1}));
  ASSERT_TRUE(minimum.critical) << minimum.remark;
  EXPECT_EQ(test_curvature(narrow, minimum.theta).curvature, Curvature::not_negative);
  const Embedding wide = split_neuron(network, minimum.theta, {1, 0, 0.5});
  EXPECT_EQ(test_curvature(on_cpu(wide.network, tanh3()), wide.theta).curvature, Curvature::negative);
}

/// One output, critical by construction, one input and no biases: D = 0 and B is a number, so that the sign of α(1−α)B
/// decides, with one zero at least.
TEST(Curvature, FollowsTheSignOfTheSplit) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::none});
  const std::vector<double> theta = {0.9, -1.4, 1.2, 0.8};
  Random random(41);
  const Dataset inputs = reference::random_data(random, 40, 1, 1, Loss::mean_squared_error);
  const Dataset critical = reference::make_critical(network, theta, inputs, 42);
  int negative = 0;
  for (const double residual : {0.02, -0.02}) {
    std::vector<double> targets;
    for (std::int64_t n = 0; n < critical.size(); ++n) {
      const double p = reference::outputs(network, theta, critical.input(n)).front();
      targets.push_back(p + residual * (critical.target(n, 0) - p));
    }
    const Dataset data = Dataset::regression({critical.inputs().begin(), critical.inputs().end()}, 1, targets, 1);
    const Landscape narrow = on_cpu(network, data);
    ASSERT_EQ(hessian_spectrum(narrow, theta).inertia, (Inertia{4, 0, 0}));
    for (const std::int64_t neuron : {0, 1}) {
      const double b = split_forecast(narrow, theta, 1, neuron).b.front();
      ASSERT_GT(std::abs(b), 1e-6);
      for (const double alpha : reference::kAlphas) {
        const Embedding wide = split_neuron(network, theta, {1, neuron, alpha});
        const bool saddle = alpha * (1 - alpha) * b < 0;
        const Curvature found = test_curvature(on_cpu(wide.network, data), wide.theta).curvature;
        EXPECT_EQ(found, saddle ? Curvature::negative : Curvature::not_negative) << neuron << ", " << alpha;
        negative += saddle;
      }
    }
  }
  EXPECT_EQ(negative, 8);  // of 24: on one side of [0, 1] for each neuron and sign of the residuals
}

// ---- bad input ----------------------------------------------------------------------------------------------------

TEST(Curvature, RefusesBadInput) {
  const Landscape landscape = on_cpu(mlp({1, 2, 1}, Activation::tanh), tanh3());
  std::vector<double> theta(7, 0.1);
  EXPECT_ERROR(test_curvature(landscape, std::span(theta).first(6)), InvalidArgument, "6 parameters, expected 7");
  EXPECT_ERROR(test_curvature(landscape, theta, {.below = -1}), InvalidArgument, "received below = -1");
  EXPECT_ERROR(test_curvature(landscape, theta, {.below = std::nan("")}), InvalidArgument, "received below = nan");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(test_curvature(landscape, theta, {.control = {{}, stop.get_token()}}), Interrupted);
  theta[2] = std::nan("");
  EXPECT_ERROR(test_curvature(landscape, theta), Error, "[test_curvature] received parameters whose Hessian has");
}

TEST(Curvature, SaysHowManyBytesItNeeds) {
  const Landscape landscape =
      on_cpu(mlp({999, 1000, 1}, Activation::tanh), Dataset::regression(std::vector<double>(999), 999, {0}, 1));
  EXPECT_ERROR(test_curvature(landscape, std::vector<double>(1001001)), OutOfMemory, "takes 8016024016008 bytes");
}

}  // namespace
}  // namespace lossatlas
