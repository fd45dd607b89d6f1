// The block theorem of docs/theory.md, section 4, against Hessians by dual numbers, and the inertias that follow from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <lossatlas/critical_point.hpp>
#include <lossatlas/forecast.hpp>
#include <lossatlas/hessian.hpp>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/block_theorem.hpp"
#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas {
namespace {

using reference::congruent;
using reference::coordinates;
using reference::direct_sum;
using reference::kAlphas;
using reference::kinds;
using reference::largest;
using reference::max_difference;
using reference::RandomProblem;
using reference::side;
using reference::Tally;
using reference::width;

TEST(Forecast, BlockTheoremAtRandomParameters) {
  std::uint64_t seed = 1000;
  int cases = 0;
  double worst = 0, worst_spectrum = 0;
  for (const auto& kind : kinds()) {
    const RandomProblem problem = reference::random_problem(++seed, kind);
    const Network& network = problem.network;
    const Landscape landscape(network, problem.data, problem.loss, Device::cpu());
    const auto narrow = reference::dual_hessian(network, problem.theta, problem.data, problem.loss);
    for (std::int64_t layer = 1; layer < network.depth(); ++layer) {
      const std::int64_t neuron = static_cast<std::int64_t>(seed) % width(network, layer - 1);
      const SplitForecast forecast = split_forecast(landscape, problem.theta, layer, neuron);
      for (const double alpha : kAlphas) {
        const Split split{layer, neuron, alpha};
        const Embedding wide = split_neuron(network, problem.theta, split);
        const auto hessian = reference::dual_hessian(wide.network, wide.theta, problem.data, problem.loss);
        const auto left = congruent(coordinates(network, wide.network, split), hessian, wide.theta.size());
        const auto right = direct_sum(narrow, forecast, alpha);
        const double scale = largest(hessian);
        const double error = max_difference(left, right) / scale;
        EXPECT_LT(error, 1e-12) << problem.describe() << ", layer " << layer << ", alpha " << alpha;
        const std::int64_t size = side(left);
        const double apart =
            max_difference(symmetric_spectrum(left, size).eigenvalues, symmetric_spectrum(right, size).eigenvalues);
        EXPECT_LT(apart, 1e-12 * scale * static_cast<double>(size)) << problem.describe();
        worst = std::max(worst, error);
        worst_spectrum = std::max(worst_spectrum, apart / scale);
        ++cases;
      }
    }
  }
  std::printf("%d cases from seed 1001: |VtHV - sum| %.1e, sorted spectra %.1e, relative to max |H|\n", cases, worst,
              worst_spectrum);
}

/// ∇R of the wide network in the theorem's coordinates is (∇R_narrow, 0, 0).
TEST(Forecast, GradientInTheCoordinatesOfTheTheorem) {
  std::uint64_t seed = 2000;
  for (const auto& kind : kinds()) {
    const RandomProblem problem = reference::random_problem(++seed, kind);
    const Split split{problem.network.depth() - 1, 0, -0.5};
    const Embedding wide = split_neuron(problem.network, problem.theta, split);
    const auto v = coordinates(problem.network, wide.network, split);
    const auto gradient = reference::gradient(wide.network, wide.theta, problem.data, problem.loss);
    auto expected = reference::gradient(problem.network, problem.theta, problem.data, problem.loss);
    const std::size_t cols = v.size() / gradient.size();
    expected.resize(cols);
    std::vector<double> actual(cols);
    for (std::size_t m = 0; m < gradient.size(); ++m) {
      for (std::size_t j = 0; j < cols; ++j) actual[j] += v[m * cols + j] * gradient[m];
    }
    EXPECT_LT(max_difference(actual, expected), 1e-13 * (1 + largest(gradient))) << problem.describe();
  }
}

TEST(Forecast, InertiaOfTheWideHessianAtRandomParameters) {
  std::uint64_t seed = 3000;
  Tally tally;
  for (int round = 0; round < 4; ++round) {
    for (const auto& kind : kinds()) {
      const RandomProblem problem = reference::random_problem(++seed, kind);
      const Landscape landscape(problem.network, problem.data, problem.loss, Device::cpu());
      const std::int64_t layer = 1 + static_cast<std::int64_t>(seed) % (problem.network.depth() - 1);
      const SplitForecast forecast = split_forecast(landscape, problem.theta, layer, 0);
      for (const double alpha : kAlphas) {
        const Embedding wide = split_neuron(problem.network, problem.theta, {layer, 0, alpha});
        const Landscape after(wide.network, problem.data, problem.loss, Device::cpu());
        tally.compare(forecast.wide(alpha), forecast.gap, hessian_spectrum(after, wide.theta),
                      problem.describe() + ", alpha " + std::to_string(alpha));
      }
    }
  }
  tally.report("one split, seeds from 3001");
  EXPECT_GT(tally.compared, 400);
}

TEST(Forecast, InertiaAfterSplitsIntoManyCopies) {
  const std::vector<std::vector<double>> shares = {
      {1}, {0.5, 0.5}, {0.25, 0.25, 0.5}, {0.5, -1, 1.5}, {-0.5, -0.5, 2}, {0, 1}, {0, 0.5, 0, 0.5}, {2, -1, 0}};
  std::uint64_t seed = 4000;
  Tally tally;
  for (const auto& kind : kinds()) {
    const RandomProblem problem = reference::random_problem(++seed, kind);
    const Landscape landscape(problem.network, problem.data, problem.loss, Device::cpu());
    const std::int64_t layer = 1 + static_cast<std::int64_t>(seed) % (problem.network.depth() - 1);
    const SplitForecast forecast = split_forecast(landscape, problem.theta, layer, 0);
    for (const auto& weights : shares) {
      const Embedding wide = split_neuron(problem.network, problem.theta, layer, 0, weights);
      EXPECT_EQ(forecast.wide(weights).size(), wide.network.parameter_count());
      const Landscape after(wide.network, problem.data, problem.loss, Device::cpu());
      tally.compare(forecast.wide(weights), forecast.gap, hessian_spectrum(after, wide.theta),
                    problem.describe() + ", " + std::to_string(weights.size()) + " copies");
    }
  }
  tally.report("copies, seeds from 4001");
}

/// A critical point with residuals: D = 0 for one output; the sign of the residuals is the sign of B.
struct CriticalCase {
  Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  std::vector<double> theta = {0.9, -1.4, 0.3, 0.5, 1.2, 0.8};
  Dataset data;

  explicit CriticalCase(double sign) : data(make(sign)) {}
  Dataset make(double sign) const {
    Random random(41);
    const Dataset inputs = reference::random_data(random, 40, 1, 1, Loss::mean_squared_error);
    const Dataset critical = reference::make_critical(network, theta, inputs, 42);
    std::vector<double> targets;
    for (std::int64_t n = 0; n < critical.size(); ++n) {
      const double p = reference::outputs(network, theta, critical.input(n)).front();
      targets.push_back(p + 0.05 * sign * (critical.target(n, 0) - p));
    }
    return Dataset::regression({critical.inputs().begin(), critical.inputs().end()}, 1, std::move(targets), 1);
  }
  Landscape landscape() const { return Landscape(network, data, Loss::mean_squared_error, Device::cpu()); }
};

TEST(Forecast, AtACriticalPointOfOneOutputDVanishesAndResidualsTurnTheSides) {
  const CriticalCase up(1), down(-1);
  for (std::int64_t neuron = 0; neuron < 2; ++neuron) {
    const SplitForecast a = split_forecast(up.landscape(), up.theta, 1, neuron);
    const SplitForecast b = split_forecast(down.landscape(), down.theta, 1, neuron);
    EXPECT_LT(largest(a.d), 1e-14);
    EXPECT_GT(largest(a.b), 1e-4);
    EXPECT_EQ(a.inside, b.outside);
    EXPECT_EQ(a.outside, b.inside);
    EXPECT_EQ(a.border, (Inertia{0, 3, 0}));
    EXPECT_EQ(a.inside.zero, 1);
    for (std::size_t i = 0; i < a.b.size(); ++i) EXPECT_NEAR(a.b[i], -b.b[i], 1e-14);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(a.b_eigenvalues[i], -b.b_eigenvalues[1 - i], 1e-14);
  }
}

/// [LWW19]: copies of weight ½ moved apart by ±εv along an eigenvector of B change R by ½ε²λ + O(ε³).
TEST(Forecast, SmallestEigenvalueIsTheCurvatureOfMovingCopiesApart) {
  const CriticalCase problem(1);
  const SplitForecast forecast = split_forecast(problem.landscape(), problem.theta, 1, 1);
  const Spectrum b = symmetric_spectrum(forecast.b, 2, {.vectors = true});
  const Embedding wide = split_neuron(problem.network, problem.theta, {1, 1, 0.5});
  const double risk = reference::risk(wide.network, wide.theta, problem.data, Loss::mean_squared_error);
  for (std::size_t k = 0; k < 2; ++k) {
    constexpr double kStep = 1e-3;
    std::vector<double> moved = wide.theta;
    const auto first = wide.network.view(std::span<double>(moved), 0);
    first.weight(1, 0) += kStep * b.eigenvectors[2 * k];
    first.bias[1] += kStep * b.eigenvectors[2 * k + 1];
    first.weight(2, 0) -= kStep * b.eigenvectors[2 * k];
    first.bias[2] -= kStep * b.eigenvectors[2 * k + 1];
    const double change = reference::risk(wide.network, moved, problem.data, Loss::mean_squared_error) - risk;
    EXPECT_NEAR(2 * change / (kStep * kStep), forecast.b_eigenvalues[k], 10 * kStep * largest(forecast.b));
  }
}

TEST(Forecast, KnownCriticalPointOfTheOneDimensionalData) {
  const Network network = mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden});
  const std::vector<double> theta = {0.08953659128478933, 0, 3.7469510271074928};
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error, Device::cpu());
  const Spectrum narrow = hessian_spectrum(landscape, theta);
  EXPECT_NEAR(narrow.eigenvalues[0], 0.0629494, 1e-7);
  EXPECT_NEAR(narrow.eigenvalues[1], 13.35155, 1e-5);
  EXPECT_NEAR(narrow.eigenvalues[2], 458.37232, 1e-5);
  const SplitForecast forecast = split_forecast(landscape, theta, 1, 0);
  EXPECT_EQ(forecast.narrow, (Inertia{3, 0, 0}));
  EXPECT_LT(largest(forecast.d), 1e-12);
  EXPECT_EQ(forecast.inside.zero, 1);  // the column of D that vanishes
  for (const double alpha : kAlphas) {
    const Embedding wide = split_neuron(network, theta, {1, 0, alpha});
    const Landscape landscape_of_wide(wide.network, tanh3(), Loss::mean_squared_error, Device::cpu());
    const Spectrum spectrum = hessian_spectrum(landscape_of_wide, wide.theta);
    EXPECT_EQ(spectrum.inertia, forecast.wide(alpha)) << alpha;
    EXPECT_EQ(spectrum.inertia.zero, alpha == 0 || alpha == 1 ? 3 : 1) << alpha;
    EXPECT_EQ(forecast_split(landscape, theta, {1, 0, alpha}), forecast.wide(alpha));
    double gradient = 0;
    for (const double value : landscape_of_wide.gradient(wide.theta)) gradient += std::abs(value);
    EXPECT_LT(gradient, 1e-12);
  }
}

/// The width-2 minimum of [Z21] Figure 3a, both neurons halved one after the other.
TEST(Forecast, MinimumOfWidthTwoGainsOneZeroAStep) {
  Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape narrow(network, tanh3(), Loss::mean_squared_error, Device::cpu());
  const CriticalPoint minimum = find_critical_point(narrow, random_parameters(network, {.seed = 1}));
  ASSERT_TRUE(minimum.critical) << minimum.remark;
  EXPECT_NEAR(minimum.loss, 0.0698, 5e-5);
  EXPECT_EQ(minimum.inertia, (Inertia{6, 0, 0}));
  std::vector<double> theta = minimum.theta;
  for (std::int64_t step = 0; step < 2; ++step) {
    const Landscape before(network, tanh3(), Loss::mean_squared_error, Device::cpu());
    const SplitForecast forecast = split_forecast(before, theta, 1, step);
    EXPECT_GE(forecast.gap, 1000);
    const Embedding wide = split_neuron(network, theta, {1, step, 0.5});
    const Landscape after(wide.network, tanh3(), Loss::mean_squared_error, Device::cpu());
    const Spectrum spectrum = hessian_spectrum(after, wide.theta);
    EXPECT_EQ(spectrum.inertia, forecast.wide(0.5));
    EXPECT_EQ(spectrum.inertia.zero, step + 1);
    EXPECT_GT(spectrum.inertia.negative, 0);
    EXPECT_LT(certify(before, theta, wide).wide_gradient_l1, 1e-12);
    network = wide.network;
    theta = wide.theta;
  }
}

TEST(Forecast, SumsOverManyChunksAreThoseOfTheirSlices) {
  const Network network = mlp({3, 4, 3, 2}, Activation::gelu);
  Random random(51);
  const Dataset data = reference::random_data(random, 1100, 3, 2, Loss::cross_entropy);
  const std::vector<double> theta = random_parameters(network, {.seed = 52});
  for (const std::int64_t layer : {1, 2}) {
    const SplitForecast whole =
        split_forecast(Landscape(network, data, Loss::cross_entropy, Device::cpu()), theta, layer, 1);
    std::vector<double> b(whole.b.size()), d(whole.d.size());
    for (std::int64_t first = 0; first < data.size(); first += 100) {
      const Landscape slice(network, data.slice(first, first + 100), Loss::cross_entropy, Device::cpu());
      const SplitForecast part = split_forecast(slice, theta, layer, 1);
      for (std::size_t i = 0; i < b.size(); ++i) b[i] += part.b[i] / 11;
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += part.d[i] / 11;
    }
    EXPECT_LT(max_difference(whole.b, b), 1e-14 * (1 + largest(b)));
    EXPECT_LT(max_difference(whole.d, d), 1e-14 * (1 + largest(d)));
  }
}

TEST(Forecast, RanksTheNeuronsOfAllLayers) {
  const Network network = mlp({3, 11, 9, 2}, Activation::tanh);
  Random random(5);
  const Dataset data = reference::random_data(random, 1100, 3, 2, Loss::cross_entropy);
  const std::vector<double> theta = random_parameters(network, {.seed = 6});
  const Landscape landscape(network, data, Loss::cross_entropy, Device::cpu({.threads = 1}));
  const std::vector<SplitCandidate> ranked = rank_splits(landscape, theta);
  ASSERT_EQ(ranked.size(), 20u);
  for (std::size_t i = 1; i < ranked.size(); ++i) {
    EXPECT_LE(ranked[i - 1].smallest_eigenvalue, ranked[i].smallest_eigenvalue);
  }
  for (const std::size_t i : {0, 7, 19}) {
    const SplitForecast forecast = split_forecast(landscape, theta, ranked[i].layer, ranked[i].neuron);
    EXPECT_EQ(ranked[i].smallest_eigenvalue, forecast.b_eigenvalues.front());
  }
  const Landscape threaded(network, data, Loss::cross_entropy, Device::cpu({.threads = 3}));
  const std::vector<SplitCandidate> again = rank_splits(threaded, theta);
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    EXPECT_EQ(ranked[i].smallest_eigenvalue, again[i].smallest_eigenvalue);
    EXPECT_EQ(ranked[i].neuron, again[i].neuron);
  }
}

TEST(Forecast, BadArguments) {
  const Network network = mlp({2, 3, 1}, Activation::tanh);
  const Landscape landscape(network, Dataset::regression({1, 2, 3, 4}, 2, {1, 2}, 1), Loss::mean_squared_error,
                            Device::cpu());
  std::vector<double> theta = random_parameters(network, {.seed = 1});
  EXPECT_ERROR(split_forecast(landscape, theta, 0, 0), InvalidArgument, "received layer 0");
  EXPECT_ERROR(split_forecast(landscape, theta, 2, 0), InvalidArgument, "received layer 2");
  EXPECT_ERROR(split_forecast(landscape, theta, 1, 3), InvalidArgument, "received neuron 3 of layer 1");
  EXPECT_ERROR(split_forecast(landscape, std::vector<double>(2), 1, 0), InvalidArgument, "theta with 2 entries");
  EXPECT_ERROR(forecast_split(landscape, theta, {1, 0, INFINITY}), InvalidArgument, "received alpha inf");
  const SplitForecast forecast = split_forecast(landscape, theta, 1, 0);
  EXPECT_ERROR(forecast.wide(std::nan("")), InvalidArgument, "received alpha nan");
  EXPECT_ERROR(forecast.wide(std::vector<double>{0.5, 0.6}), InvalidArgument, "weights with sum 1.1");
  theta[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(split_forecast(landscape, theta, 1, 0), InvalidArgument, "B of this theta");
  EXPECT_ERROR(rank_splits(landscape, theta), InvalidArgument, "B of this theta");
}

}  // namespace
}  // namespace lossatlas
