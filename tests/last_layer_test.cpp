// Least squares of the last layer, the Cholesky factorisation beneath it, and the guard of the BLAS threads.
#include "cpu/last_layer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <limits>
#include <thread>

#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "linalg/cholesky.hpp"
#include "reference/oracle.hpp"

extern "C" int openblas_get_num_threads();
extern "C" void openblas_set_num_threads(int);

namespace lossatlas::cpu {
namespace {

using reference::max_difference;

std::vector<double> normals(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.normal();
  return values;
}

/// A network with one tanh layer of `units` random ridges over the unit square.
struct Fit {
  Network network;
  std::vector<double> theta;

  Fit(std::int64_t units, std::int64_t outputs, double scale, Bias bias = Bias::all)
      : network(mlp({2, units, outputs}, Activation::tanh, {.bias = bias})),
        theta(static_cast<std::size_t>(network.parameter_count())) {
    Random random(11);
    const auto layer = network.view(std::span(theta), 0);
    for (std::int64_t i = 0; i < units; ++i) {
      layer.weight(i, 0) = scale * random.normal();
      layer.weight(i, 1) = scale * random.normal();
      const double h = random.uniform(), k = random.uniform();
      if (!layer.bias.empty()) {
        layer.bias[static_cast<std::size_t>(i)] = -layer.weight(i, 0) * h - layer.weight(i, 1) * k;
      }
    }
  }

  void install(const LastLayer& last) {
    const auto layer = network.view(std::span(theta), 1);
    ASSERT_EQ(static_cast<std::int64_t>(last.weights.size()), layer.weight.size());
    ASSERT_EQ(last.bias.size(), layer.bias.size());
    std::copy(last.weights.begin(), last.weights.end(), layer.weight.data);
    std::copy(last.bias.begin(), last.bias.end(), layer.bias.begin());
  }
};

std::vector<double> unit_square(std::int64_t side) {
  std::vector<double> points;
  for (std::int64_t i = 0; i < side; ++i) {
    for (std::int64_t j = 0; j < side; ++j) {
      points.push_back(static_cast<double>(i) / static_cast<double>(side - 1));
      points.push_back(static_cast<double>(j) / static_cast<double>(side - 1));
    }
  }
  return points;
}

double wave(double h, double k) {
  const double turn = 2 * std::acos(-1.0);
  return 0.5 + 0.5 * std::sin(turn * h) * std::sin(turn * k);
}

Dataset wave_data(std::vector<double> points) {
  std::vector<double> targets;
  for (std::size_t i = 0; i < points.size(); i += 2) targets.push_back(wave(points[i], points[i + 1]));
  return Dataset::regression(std::move(points), 2, std::move(targets), 1);
}

/// The small least squares problem by modified Gram–Schmidt in long double: the columns of [Φ 1; √shift I 0].
std::vector<double> reference_solution(const Network& network, std::span<const double> parameters, const Dataset& data,
                                       long double shift, std::int64_t output) {
  const std::size_t samples = static_cast<std::size_t>(data.size());
  const std::size_t units = static_cast<std::size_t>(last_hidden_width(network)), n = units + 1;
  const auto theta = reference::lift<long double>(parameters);
  std::vector<std::vector<long double>> columns(n, std::vector<long double>(samples + units, 0.0L));
  std::vector<long double> y(samples + units, 0.0L);
  for (std::size_t r = 0; r < samples; ++r) {
    const auto trace = reference::forward(network, theta, data.input(static_cast<std::int64_t>(r)));
    for (std::size_t i = 0; i < units; ++i) columns[i][r] = trace.values[trace.values.size() - 2][i];
    columns[units][r] = 1;
    y[r] = data.target(static_cast<std::int64_t>(r), output);
  }
  for (std::size_t i = 0; i < units; ++i) columns[i][samples + i] = std::sqrt(shift);
  const auto dot = [](const auto& a, const auto& b) {
    long double sum = 0;
    for (std::size_t r = 0; r < a.size(); ++r) sum += a[r] * b[r];
    return sum;
  };
  std::vector<std::vector<long double>> upper(n, std::vector<long double>(n, 0.0L));
  std::vector<long double> x(n);
  for (std::size_t j = 0; j < n; ++j) {
    upper[j][j] = std::sqrt(dot(columns[j], columns[j]));
    for (auto& value : columns[j]) value /= upper[j][j];
    for (std::size_t k = j + 1; k <= n; ++k) {
      auto& later = k < n ? columns[k] : y;
      const long double share = dot(columns[j], later);
      (k < n ? upper[j][k] : x[j]) = share;
      for (std::size_t r = 0; r < later.size(); ++r) later[r] -= share * columns[j][r];
    }
  }
  for (std::size_t j = n; j-- > 0;) {
    for (std::size_t k = j + 1; k < n; ++k) x[j] -= upper[j][k] * x[k];
    x[j] /= upper[j][j];
  }
  return {x.begin(), x.end()};
}

double mean_diagonal(const Network& network, const std::vector<double>& theta, const Dataset& data) {
  const std::int64_t units = last_hidden_width(network);
  double sum = 0;
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const auto trace = reference::forward(network, theta, data.input(n));
    for (double a : trace.values[trace.values.size() - 2]) sum += a * a;
  }
  return sum / static_cast<double>(units);
}

TEST(LastLayer, AgreesWithASmallQr) {
  const Fit fit(12, 2, 6.0);
  std::vector<double> points = unit_square(13);
  const Dataset data = Dataset::regression(points, 2, normals(2 * 169, 3), 2);
  for (double ridge : {0.0, 1e-6, 1e-2}) {
    const LastLayer last = solve_last_layer({fit.network, data, Loss::mean_squared_error, 2}, fit.theta, ridge, {});
    EXPECT_FALSE(last.factored_by_qr);
    EXPECT_EQ(last.ridge, ridge);
    for (std::size_t k = 0; k < 2; ++k) {
      const auto expected =
          reference_solution(fit.network, fit.theta, data, ridge * mean_diagonal(fit.network, fit.theta, data),
                             static_cast<std::int64_t>(k));
      std::vector<double> received(last.weights.begin() + static_cast<std::ptrdiff_t>(12 * k),
                                   last.weights.begin() + static_cast<std::ptrdiff_t>(12 * k + 12));
      received.push_back(last.bias[k]);
      // Refinement brings the error of the normal equations, ε cond², down to about ε cond: 1e-16 · 1e3.
      EXPECT_LE(max_difference(received, expected), 1e-11) << ridge;
    }
  }
}

/// Nearly dependent columns: with ridge λ the condition of the normal equations is about 1/λ. Refinement gives back
/// what they lose; where nothing is left of it, QR. Both must solve the problem with that very ridge. The columns are
/// inputs, so that the reference sees the same bits.
TEST(LastLayer, IllConditionedFeaturesKeepTheirRidge) {
  const Fit fit(30, 1, 0.5);
  const std::vector<double> points = unit_square(12);
  std::vector<double> inputs, targets;
  for (std::size_t i = 0; i < points.size(); i += 2) {
    const auto trace = reference::forward(fit.network, fit.theta, std::span(points).subspan(i, 2));
    inputs.insert(inputs.end(), trace.values[1].begin(), trace.values[1].end());
    targets.push_back(wave(points[i], points[i + 1]));
  }
  const Dataset data = Dataset::regression(inputs, 30, targets, 1);
  const Network network = mlp({30, 1}, Activation::identity);
  const std::vector<double> theta(31);
  struct Setting {
    double ridge;
    bool by_qr;
  };
  for (const Setting& setting : {Setting{1e-9, false}, Setting{1e-16, true}}) {
    const double tolerance =
        100 * std::numeric_limits<double>::epsilon() / std::sqrt(setting.ridge);  // 1/√λ: condition
    const Problem problem{network, data, Loss::mean_squared_error, 2};
    const LastLayer last = solve_last_layer(problem, theta, setting.ridge, {});
    EXPECT_EQ(last.factored_by_qr, setting.by_qr);
    EXPECT_EQ(last.ridge, setting.ridge);
    const double shift = setting.ridge * mean_diagonal(network, theta, data);
    const auto expected = reference_solution(network, theta, data, shift, 0);
    std::vector<double> received = last.weights;
    received.push_back(last.bias[0]);
    double largest = 0;
    for (double value : expected) largest = std::max(largest, std::abs(value));
    EXPECT_LE(max_difference(received, expected) / largest, tolerance) << setting.ridge;
    std::cout << "ridge " << setting.ridge << ", error " << max_difference(received, expected) / largest << '\n';
  }
}

TEST(LastLayer, RecoversAPlantedLayer) {
  for (Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
    Fit fit(20, 3, 8.0, bias);
    const std::vector<double> planted = normals(fit.network.parameter_count(), 21);
    const std::int64_t hidden = bias == Bias::none ? 40 : 60;
    std::copy(planted.begin() + hidden, planted.end(), fit.theta.begin() + hidden);
    const std::vector<double> points = unit_square(30);
    std::vector<double> targets;
    for (std::size_t i = 0; i < points.size(); i += 2) {
      for (double p : reference::outputs(fit.network, fit.theta, std::span(points).subspan(i, 2))) targets.push_back(p);
    }
    const Dataset data = Dataset::regression(points, 2, targets, 3);
    const LastLayer last = solve_last_layer({fit.network, data, Loss::mean_squared_error, 2}, fit.theta, -1, {});
    Fit found = fit;
    found.install(last);
    EXPECT_LE(max_difference(found.theta, fit.theta), 1e-10) << static_cast<int>(bias);
    EXPECT_EQ(last.bias.empty(), bias != Bias::all);
  }
}

/// The columns of smooth units are dependent to rounding: QR where the problem is small, iterated Tikhonov on the
/// normal equations otherwise.
TEST(LastLayer, FitsASmoothTargetBetweenItsSamples) {
  const Dataset data = wave_data(unit_square(32));
  std::vector<double> cells;
  for (int i = 0; i < 31; ++i) {
    for (int j = 0; j < 31; ++j) cells.insert(cells.end(), {(i + 0.5) / 31, (j + 0.5) / 31});
  }
  const Dataset between = wave_data(cells);
  struct Setting {
    std::int64_t units;
    bool by_qr;
    double bound;
  };
  for (const Setting& setting : {Setting{500, true, 1e-6}, Setting{1100, false, 1e-5}}) {
    Fit fit(setting.units, 1, 5.0);
    const Problem problem{fit.network, data, Loss::mean_squared_error, 2};
    const LastLayer last = solve_last_layer(problem, fit.theta, -1, {});
    EXPECT_EQ(last.factored_by_qr, setting.by_qr);
    EXPECT_GT(last.ridge, 0);
    fit.install(last);
    std::vector<double> loss(1), accuracy(1);
    evaluate({fit.network, between, Loss::mean_squared_error, 2}, fit.theta, {}, loss, accuracy);
    EXPECT_LE(std::sqrt(loss[0]), setting.bound) << setting.units;
    std::cout << setting.units << " units, rms between the samples " << std::sqrt(loss[0]) << '\n';
  }
}

TEST(LastLayer, SameBitsForAnyNumberOfThreads) {
  const Dataset data = wave_data(unit_square(50));  // 2500 samples: two groups, five chunks
  const Fit fit(600, 1, 20.0);                      // three blocks
  std::vector<double> reference;
  for (int threads : {1, 2, 5}) {
    LastLayer last = solve_last_layer({fit.network, data, Loss::mean_squared_error, threads}, fit.theta, 1e-9, {});
    last.weights.insert(last.weights.end(), last.bias.begin(), last.bias.end());
    if (threads == 1) reference = last.weights;
    EXPECT_EQ(last.weights, reference) << threads;
  }
}

TEST(LastLayer, RaisesARidgeThatCholeskyCannotUse) {
  const Dataset data = wave_data(unit_square(8));
  const Fit fit(1100, 1, 5.0);  // more units than samples, too many for QR
  const LastLayer last = solve_last_layer({fit.network, data, Loss::mean_squared_error, 2}, fit.theta, 0, {});
  EXPECT_GT(last.ridge, 0);
  EXPECT_FALSE(last.factored_by_qr);
}

TEST(LastLayer, ConstantFeaturesLeaveTheMean) {
  Fit fit(3, 1, 0.0);
  const Dataset data = Dataset::regression({0, 0, 1, 1}, 2, {1, 4}, 1);
  const LastLayer last = solve_last_layer({fit.network, data, Loss::mean_squared_error, 1}, fit.theta, -1, {});
  EXPECT_EQ(last.weights, (std::vector<double>{0, 0, 0}));
  EXPECT_NEAR(last.bias[0], 2.5, 1e-15);
}

TEST(LastLayer, RefusesAndStops) {
  const Dataset data = wave_data(unit_square(4));
  Fit fit(3, 1, 1.0);
  const Problem problem{fit.network, data, Loss::mean_squared_error, 1};
  EXPECT_THROW(solve_last_layer({fit.network, data, Loss::cross_entropy, 1}, fit.theta, 0, {}), InvalidArgument);
  EXPECT_THROW(solve_last_layer(problem, fit.theta, std::nan(""), {}), InvalidArgument);
  fit.theta[0] = INFINITY;
  fit.theta[1] = -INFINITY;
  EXPECT_THROW(solve_last_layer(problem, fit.theta, -1, {}), InvalidArgument);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(solve_last_layer(problem, fit.theta, -1, {{}, stop.get_token()}), Interrupted);
}

/// A = UᵀU and (UᵀU)⁻¹ across the borders of blocks, against the products.
TEST(Cholesky, FactorsAndSolves) {
  for (std::int64_t n : {1, 63, 255, 256, 257, 319, 320, 600}) {
    const std::size_t size = static_cast<std::size_t>(n * n);
    const std::vector<double> a = normals((n + 20) * n, 5);
    std::vector<double> gram(size, 0.0), x = normals(n * 2, 6);
    add_gram(n, n + 20, {a.data(), n}, {gram.data(), n}, 2, {});
    for (std::int64_t i = 0; i < n; ++i) gram[static_cast<std::size_t>(i * n + i)] += 10;
    std::vector<double> full(size), b(static_cast<std::size_t>(2 * n), 0.0);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        full[static_cast<std::size_t>(i * n + j)] = gram[static_cast<std::size_t>(std::min(i, j) * n + std::max(i, j))];
      }
    }
    double direct = n == 1 ? 10 : 0;  // the last entry of the first row by hand
    for (std::int64_t r = 0; r < n + 20; ++r) {
      direct += a[static_cast<std::size_t>(r * n)] * a[static_cast<std::size_t>(r * n + n - 1)];
    }
    EXPECT_NEAR(gram[static_cast<std::size_t>(n - 1)], direct, 1e-11);
    gemm(Op::none, Op::none, n, 2, n, 1, {full.data(), n}, {x.data(), 2}, 0, {b.data(), 2});
    ASSERT_TRUE(cholesky(n, {gram.data(), n}, 2, {}));
    solve_cholesky(n, 2, {gram.data(), n}, {b.data(), 2});
    EXPECT_LE(max_difference(b, x), 1e-11) << n;  // condition below 1e3
    full[0] = -1;
    EXPECT_FALSE(cholesky(n, {full.data(), n}, 2, {}));
  }
}

TEST(Blas, NamesItselfAndRefusesHugeDimensions) {
  EXPECT_EQ(blas_name().rfind("OpenBLAS ", 0), 0u);
  EXPECT_THROW(gemm(Op::none, Op::none, std::int64_t{1} << 31, 1, 1, 1, {}, {}, 0, {}), InvalidArgument);
}

TEST(Blas, GuardsRestoreTheCallersThreads) {
  const int before = openblas_get_num_threads();
  openblas_set_num_threads(2);
  {
    const SingleThreadedBlas outer;
    EXPECT_EQ(openblas_get_num_threads(), 1);
    std::jthread([] { const SingleThreadedBlas inner; }).join();
    EXPECT_EQ(openblas_get_num_threads(), 1);
  }
  EXPECT_EQ(openblas_get_num_threads(), 2);
  openblas_set_num_threads(before);
}

}  // namespace
}  // namespace lossatlas::cpu
