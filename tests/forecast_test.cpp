// The block theorem of theory section 4 against Hessians by dual numbers, and the inertias that follow from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <lossatlas/critical_point.hpp>
#include <lossatlas/forecast.hpp>
#include <lossatlas/hessian.hpp>

#include "expect_error.hpp"
#include "random.hpp"
#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;
using reference::RandomProblem;

constexpr double kAlphas[] = {-0.5, 0, 0.25, 0.5, 1, 1.5};

std::int64_t width(const Network& network, std::int64_t layer) {
  return std::get<Dense>(network.layers()[static_cast<std::size_t>(layer)]).out;
}

/// The largest magnitude; infinite where one is NaN.
double largest(const std::vector<double>& values) { return max_difference(values, std::vector<double>(values.size())); }

/// V (M_wide, M_narrow + D_l + m_{l+1}): the derivative of (W_l, W_{l+1}, ...) in the theorem's coordinates,
/// w_s = w̄ + αδ, w_new = w̄ − (1 − α)δ, a_s = (1 − α)ā + c, a_new = αā − c.
std::vector<double> coordinates(const Network& narrow, const Network& wide, const Split& split) {
  const auto rows = static_cast<std::size_t>(wide.parameter_count());
  const auto narrow_size = static_cast<std::size_t>(narrow.parameter_count());
  const Dense& layer = std::get<Dense>(narrow.layers()[static_cast<std::size_t>(split.layer - 1)]);
  const auto inputs = static_cast<std::size_t>(layer.in + layer.bias);
  const std::size_t cols = narrow_size + inputs + static_cast<std::size_t>(width(narrow, split.layer));
  std::vector<double> result(rows * cols);
  // Parameters are numbered by a θ that holds its own indices.
  std::vector<double> narrow_index(narrow_size), wide_index(rows);
  for (std::size_t m = 0; m < narrow_size; ++m) narrow_index[m] = static_cast<double>(m);
  for (std::size_t m = 0; m < rows; ++m) wide_index[m] = static_cast<double>(m);
  const auto set = [&](double row, double col, double value) {
    result[static_cast<std::size_t>(row) * cols + static_cast<std::size_t>(col)] = value;
  };
  for (std::int64_t l = 0; l < narrow.depth(); ++l) {
    const auto from = narrow.view(std::span<const double>(narrow_index), l);
    const auto to = wide.view(std::span<const double>(wide_index), l);
    const bool split_rows = l + 1 == split.layer, split_cols = l == split.layer;
    for (std::int64_t i = 0; i < to.weight.rows; ++i) {
      const bool new_row = i == from.weight.rows;
      const double delta = new_row ? split.alpha - 1 : split.alpha;
      const std::int64_t source = new_row ? split.neuron : i;
      const bool moves = split_rows && source == split.neuron;
      for (std::int64_t j = 0; j < to.weight.cols; ++j) {
        const bool new_col = j == from.weight.cols;
        const std::int64_t col = new_col ? split.neuron : j;
        const double share = !split_cols || col != split.neuron ? 1 : new_col ? split.alpha : 1 - split.alpha;
        set(to.weight(i, j), from.weight(source, col), share);
        if (moves) set(to.weight(i, j), static_cast<double>(narrow_size + static_cast<std::size_t>(j)), delta);
        if (split_cols && col == split.neuron) {
          set(to.weight(i, j), static_cast<double>(narrow_size + inputs + static_cast<std::size_t>(i)),
              new_col ? -1 : 1);
        }
      }
      if (to.bias.empty()) continue;
      const double row = to.bias[static_cast<std::size_t>(i)];
      set(row, from.bias[static_cast<std::size_t>(source)], 1);
      if (moves) set(row, static_cast<double>(narrow_size + inputs - 1), delta);
    }
  }
  return result;
}

/// Vᵀ H V.
std::vector<double> congruent(const std::vector<double>& v, const std::vector<double>& h, std::size_t rows) {
  const std::size_t cols = v.size() / rows;
  std::vector<double> hv(rows * cols), result(cols * cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < rows; ++k) {
      for (std::size_t j = 0; j < cols; ++j) hv[i * cols + j] += h[i * rows + k] * v[k * cols + j];
    }
  }
  for (std::size_t k = 0; k < rows; ++k) {
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) result[i * cols + j] += v[k * cols + i] * hv[k * cols + j];
    }
  }
  return result;
}

/// H_narrow ⊕ [[α(1−α)B, D], [Dᵀ, 0]].
std::vector<double> direct_sum(const std::vector<double>& narrow, const SplitForecast& forecast, double alpha) {
  const auto first = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(narrow.size()))));
  const auto inputs = static_cast<std::size_t>(forecast.inputs), outputs = static_cast<std::size_t>(forecast.outputs);
  const std::size_t size = first + inputs + outputs;
  std::vector<double> result(size * size);
  for (std::size_t i = 0; i < first; ++i) std::copy_n(&narrow[i * first], first, &result[i * size]);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      result[(first + i) * size + first + j] = alpha * (1 - alpha) * forecast.b[i * inputs + j];
    }
    for (std::size_t k = 0; k < outputs; ++k) {
      const double d = forecast.d[i * outputs + k];
      result[(first + i) * size + first + inputs + k] = d;
      result[(first + inputs + k) * size + first + i] = d;
    }
  }
  return result;
}

/// Every depth, loss and use of biases.
std::vector<reference::RandomProblemOptions> kinds() {
  std::vector<reference::RandomProblemOptions> result;
  for (const std::int64_t depth : {2, 3, 4}) {
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
      for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
        result.push_back({.depth = depth, .loss = loss, .bias = bias});
      }
    }
  }
  return result;
}

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
        const auto size = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(left.size()))));
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

/// Compares forecast and Hessian of the wide network where both gaps carry the counts.
struct Tally {
  int compared = 0;
  int left_out = 0;

  void compare(const Inertia& forecast, double gap, const Landscape& wide, const std::vector<double>& theta,
               const std::string& which) {
    const Spectrum spectrum = hessian_spectrum(wide, theta);
    if (!(std::min(gap, spectrum.zero.gap) >= 1000)) {
      ++left_out;
      return;
    }
    ++compared;
    EXPECT_EQ(forecast, spectrum.inertia) << which << ": forecast " << forecast.positive << " " << forecast.zero << " "
                                          << forecast.negative << ", spectrum " << spectrum.inertia.positive << " "
                                          << spectrum.inertia.zero << " " << spectrum.inertia.negative;
  }
  void report(const char* what) const {
    const double share = static_cast<double>(left_out) / (compared + left_out);
    std::printf("%s: %d compared, %d left out for a narrow gap (%.1f %%)\n", what, compared, left_out, 100 * share);
    EXPECT_LT(share, 0.05);
  }
};

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
        tally.compare(forecast.wide(alpha), forecast.gap,
                      Landscape(wide.network, problem.data, problem.loss, Device::cpu()), wide.theta,
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
      tally.compare(forecast.wide(weights), forecast.gap,
                    Landscape(wide.network, problem.data, problem.loss, Device::cpu()), wide.theta,
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
