// Losses, gradients and Gauss–Newton products of the CPU backend against the oracle.
#include "cpu/gradient.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>

#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "reference/oracle.hpp"

namespace lossatlas::cpu {
namespace {

using reference::Dual;
using reference::max_difference;

struct Case {
  std::string label;
  Network network;
  Dataset data;
  Loss loss;
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.label; }

double largest(std::span<const double> values) {
  double top = 0;
  for (double value : values) top = std::max(top, std::abs(value));
  return top;
}

std::vector<double> normals(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.normal();
  return values;
}

enum class Target { labels, real, distribution };

Dataset random_data(std::int64_t samples, std::int64_t features, std::int64_t outputs, Target target,
                    std::uint64_t seed) {
  std::vector<double> inputs = normals(samples * features, seed);
  if (target == Target::labels) {
    Random random(seed, 1);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < samples; ++n) labels.push_back(static_cast<std::int32_t>(random.below(outputs)));
    return Dataset::classification(std::move(inputs), features, std::move(labels), outputs);
  }
  std::vector<double> targets = normals(samples * outputs, seed + 1000);
  for (std::int64_t n = 0; target == Target::distribution && n < samples; ++n) {
    double sum = 0;
    for (std::int64_t c = 0; c < outputs; ++c) sum += std::abs(targets[static_cast<std::size_t>(n * outputs + c)]);
    for (std::int64_t c = 0; c < outputs; ++c) {
      double& y = targets[static_cast<std::size_t>(n * outputs + c)];
      y = std::abs(y) / sum;
    }
  }
  return Dataset::regression(std::move(inputs), features, std::move(targets), outputs);
}

/// Every activation, loss, target, depth, head count and bias pattern at least once; samples on both sides of a chunk.
std::vector<Case> cases() {
  std::vector<Case> list;
  const std::int64_t samples[] = {1, 7, kChunk - 1, kChunk, kChunk + 1, 2 * kChunk + 3};
  for (Activation activation : all_activations()) {
    for (int variant = 0; variant < 6; ++variant) {
      const std::int64_t depth = 1 + (variant + static_cast<int>(activation)) % 4, heads = 1 + variant % 3;
      const Target target =
          variant % 2 == 0 ? Target::labels : (variant % 3 == 0 ? Target::real : Target::distribution);
      const Loss loss = variant == 2 || variant == 3 ? Loss::mean_squared_error : Loss::cross_entropy;
      std::vector<Layer> layers;
      std::int64_t in = 3;
      for (std::int64_t l = 1; l <= depth; ++l) {
        const bool last = l == depth;
        const std::int64_t out = last ? 3 * heads : 2 + l;
        layers.push_back(Dense{in, out, (l + variant) % 3 != 0, last ? Activation::identity : activation});
        in = out;
      }
      std::string label = std::string(name(activation)) + " variant " + std::to_string(variant);
      const std::uint64_t seed = 100 + static_cast<std::uint64_t>(variant);
      list.push_back({label, Network(layers, heads), random_data(samples[variant], 3, 3, target, seed), loss});
    }
  }
  return list;
}

class GradientAgainstOracle : public testing::TestWithParam<Case> {
 protected:
  const Case& one = GetParam();
  const Problem problem{one.network, one.data, one.loss, 2};
  const std::vector<double> theta = random_parameters(one.network, {.seed = 7, .scale = {}});
  const std::size_t heads = static_cast<std::size_t>(one.network.heads());
};

// Sums of at most 40 products in each of 4 layers, and a pairwise sum: 1e-12 of the scale is over 1000 ε.

TEST_P(GradientAgainstOracle, LossesAndAccuracy) {
  std::vector<double> losses(heads), accuracy(heads);
  evaluate(problem, theta, {}, losses, accuracy);
  const auto expected = reference::losses(one.network, theta, one.data, one.loss);
  const double scale = largest(expected) + reference::mean_max_output(one.network, theta, one.data);
  EXPECT_LE(max_difference(losses, expected), 1e-13 * scale);
  EXPECT_EQ(max_difference(accuracy, reference::accuracy(one.network, theta, one.data)), 0);
}

TEST_P(GradientAgainstOracle, Gradient) {
  std::vector<double> result(theta.size());
  const std::int64_t last = one.data.size(), ranges[][2] = {{0, last}, {last / 3, last}, {last / 2, last / 2 + 1}};
  for (const auto& [begin, end] : ranges) {
    gradient(problem, theta, begin, end, {}, result);
    const auto expected = reference::gradient(one.network, theta, one.data, one.loss, begin, end);
    EXPECT_LE(max_difference(result, expected), 1e-12 * largest(expected)) << begin << ".." << end;
  }
}

/// (1/N) Σ Jᵀ (∇²ℓ) J v with J v and ∇²ℓ J v as the derivative parts of dual numbers.
TEST_P(GradientAgainstOracle, GaussNewtonProduct) {
  const std::vector<double> v = normals(one.network.parameter_count(), 31);
  std::vector<double> product(theta.size()), expected(theta.size(), 0.0);
  gauss_newton_product(problem, theta, v, {}, product);
  auto moving = reference::lift<Dual<double>>(theta);
  for (std::size_t m = 0; m < v.size(); ++m) moving[m].d = v[m];
  for (std::int64_t n = 0; n < one.data.size(); ++n) {
    const auto outputs = reference::outputs(one.network, moving, one.data.input(n));
    const auto slope = reference::output_gradient(one.network, outputs, one.data, n, one.loss);
    std::vector<double> curved;
    for (const auto& entry : slope) curved.push_back(entry.d);
    reference::pull_back(one.network, theta, reference::forward(one.network, theta, one.data.input(n)), curved,
                         expected);
  }
  for (double& value : expected) value /= static_cast<double>(one.data.size());
  EXPECT_LE(max_difference(product, expected), 1e-12 * largest(expected));
}

INSTANTIATE_TEST_SUITE_P(Networks, GradientAgainstOracle, testing::ValuesIn(cases()));

TEST(Gradient, GaussNewtonIsSymmetricAndNotNegative) {
  const Network network = mlp({3, 9, 5, 4}, Activation::tanh, {.bias = Bias::all, .heads = 2});
  const Dataset data = random_data(700, 3, 2, Target::labels, 5);
  const Problem problem{network, data, Loss::cross_entropy, 2};
  const std::vector<double> theta = random_parameters(network, {.seed = 3, .scale = {}});
  const std::vector<double> u = normals(network.parameter_count(), 1), v = normals(network.parameter_count(), 2);
  std::vector<double> gu(u.size()), gv(u.size());
  gauss_newton_product(problem, theta, u, {}, gu);
  gauss_newton_product(problem, theta, v, {}, gv);
  double ugv = 0, vgu = 0, vgv = 0;
  for (std::size_t m = 0; m < u.size(); ++m) {
    ugv += u[m] * gv[m];
    vgu += v[m] * gu[m];
    vgv += v[m] * gv[m];
  }
  EXPECT_NEAR(ugv, vgu, 1e-13 * std::sqrt(u.size()) * largest(gu) * largest(v));
  EXPECT_GT(vgv, 0);
}

/// More chunks than accumulators, so that some of these take several chunks.
TEST(Gradient, SameBitsForAnyNumberOfThreads) {
  const Network network = mlp({2, 6, 3}, Activation::sigmoid);
  const Dataset data = random_data(17 * kChunk + 5, 2, 3, Target::labels, 9);
  const std::vector<double> theta = random_parameters(network, {.seed = 4, .scale = {}});
  const std::vector<double> v = normals(network.parameter_count(), 8);
  std::vector<double> reference;
  for (int threads : {1, 2, 3, 7}) {
    const Problem problem{network, data, Loss::cross_entropy, threads};
    std::vector<double> loss(1), accuracy(1), slope(theta.size()), product(theta.size());
    evaluate(problem, theta, {}, loss, accuracy);
    gradient(problem, theta, 0, data.size(), {}, slope);
    gauss_newton_product(problem, theta, v, {}, product);
    std::vector<double> all = loss;
    all.insert(all.end(), accuracy.begin(), accuracy.end());
    all.insert(all.end(), slope.begin(), slope.end());
    all.insert(all.end(), product.begin(), product.end());
    if (threads == 1) reference = all;
    EXPECT_EQ(all, reference) << threads;
  }
  const auto slope = reference::gradient(network, theta, data, Loss::cross_entropy);
  EXPECT_LE(max_difference(std::span(reference).subspan(2, theta.size()), slope), 1e-12 * largest(slope));
}

TEST(Gradient, NonFiniteLossesStayInTheirHead) {
  const Network network({Dense{1, 4, false, Activation::identity}}, 2);
  const Dataset data = Dataset::classification({1, 2}, 1, {0, 1}, 2);
  std::vector<double> losses(2), accuracy(2);
  const std::vector<double> theta = {0, std::numeric_limits<double>::quiet_NaN(), 1, 0};
  evaluate({network, data, Loss::cross_entropy, 1}, theta, {}, losses, accuracy);
  EXPECT_TRUE(std::isnan(losses[0]));
  EXPECT_NEAR(losses[1], (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(2.0))) / 2, 1e-15);
  EXPECT_EQ(accuracy, (std::vector<double>{0, 0.5}));
}

TEST(Gradient, LastHiddenValuesAreThoseBelowTheLastLayer) {
  const Network network = mlp({3, 8, 5, 2}, Activation::gelu);
  const Dataset data = random_data(20, 3, 2, Target::real, 12);
  const std::vector<double> theta = random_parameters(network, {.seed = 6, .scale = {}});
  ASSERT_EQ(last_hidden_width(network), 5);
  std::vector<double> values(7 * 6, -1.0), expected(7 * 6, -1.0);
  Pass pass({network, data, Loss::mean_squared_error, 1}, theta);
  last_hidden_values(pass, network, 4, 7, {values.data(), 6});
  for (std::size_t r = 0; r < 7; ++r) {
    const auto trace = reference::forward(network, theta, data.input(static_cast<std::int64_t>(4 + r)));
    std::copy(trace.values[2].begin(), trace.values[2].end(), expected.begin() + static_cast<std::ptrdiff_t>(6 * r));
  }
  EXPECT_LE(max_difference(values, expected), 1e-15 * 10);
  const Network linear = mlp({3, 2}, Activation::identity);
  ASSERT_EQ(last_hidden_width(linear), 3);
  std::vector<double> inputs(6);
  const std::vector<double> zeros(8);
  Pass through({linear, data, Loss::mean_squared_error, 1}, zeros);
  last_hidden_values(through, linear, 1, 2, {inputs.data(), 3});
  EXPECT_EQ(inputs, std::vector<double>(data.inputs().begin() + 3, data.inputs().begin() + 9));
}

TEST(Gradient, RefusesWrongSizes) {
  const Network network = mlp({3, 2}, Activation::identity);
  const Dataset data = random_data(4, 3, 2, Target::real, 1);
  const Problem problem{network, data, Loss::mean_squared_error, 1};
  std::vector<double> theta(8), shorter(7), two(2);
  EXPECT_THROW(gradient(problem, shorter, 0, 4, {}, theta), InvalidArgument);
  EXPECT_THROW(gradient(problem, theta, 0, 4, {}, shorter), InvalidArgument);
  EXPECT_THROW(gradient(problem, theta, 2, 2, {}, theta), InvalidArgument);
  EXPECT_THROW(gradient(problem, theta, 0, 5, {}, theta), InvalidArgument);
  EXPECT_THROW(gauss_newton_product(problem, theta, shorter, {}, theta), InvalidArgument);
  EXPECT_THROW(evaluate(problem, shorter, {}, two, two), InvalidArgument);
}

}  // namespace
}  // namespace lossatlas::cpu
