#include <gtest/gtest.h>

#include <cmath>
#include <lossatlas/implicit_activation.hpp>
#include <numeric>

#include "base/random.hpp"
#include "expect_error.hpp"

namespace lossatlas {
namespace {

LabelStatistics frequencies(std::vector<double> shares) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  double variance = 0;
  for (double& share : shares) share /= sum;
  for (const double share : shares) variance += share * (1 - share);
  return {shares, 1, variance};
}

std::vector<double> on_path(const ImplicitActivation& sigma, double s) {
  std::vector<double> p(sigma.path_base().begin(), sigma.path_base().end());
  for (std::size_t c = 0; c < p.size(); ++c) p[c] += s * sigma.path_direction()[c];
  return p;
}

/// The mean loss of a constant output p by its definition, in long double.
double by_definition(Loss loss, const std::vector<int>& labels, std::span<const double> p) {
  long double sum = 0;
  for (const int label : labels) {
    if (loss == Loss::cross_entropy) {
      long double total = 0;
      for (const double v : p) total += std::exp(static_cast<long double>(v) - p[static_cast<std::size_t>(label)]);
      sum += std::log(total);
    } else {
      for (std::size_t c = 0; c < p.size(); ++c) {
        const long double d = static_cast<long double>(p[c]) - (static_cast<int>(c) == label ? 1 : 0);
        sum += d * d;
      }
    }
  }
  return static_cast<double>(sum / labels.size());
}

const std::vector<LabelStatistics> kCases = {
    frequencies({1, 1}),
    frequencies({1, 1, 1, 1, 1, 1, 1, 1, 1, 1}),
    frequencies({980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}),
    frequencies({0.9, 0.1}),
    frequencies({1, 1e-6, 3}),
    frequencies({5, 0, 3, 0, 2}),
    frequencies({0, 1, 0}),
};

TEST(ImplicitActivation, IsTheMeanLossOfAConstantOutput) {
  const std::vector<int> labels = {0, 2, 2, 1, 0, 2, 2};
  const Dataset data = Dataset::classification(std::vector<double>(7, 0.0), 1, {0, 2, 2, 1, 0, 2, 2}, 4);
  Random random(3);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    const ImplicitActivation sigma(loss, data);
    for (int i = 0; i < 100; ++i) {
      std::vector<double> p(4);
      for (double& v : p) v = 3 * random.normal();
      const double expected = by_definition(loss, labels, p);
      EXPECT_NEAR(sigma(p), expected, 1e-14 * (1 + std::abs(expected)) * 10);
    }
    for (const double s : {0.0, 0.3, 2.0, 7.5}) {
      const std::vector<double> p = on_path(sigma, s);
      EXPECT_NEAR(sigma.along_path(s), by_definition(loss, labels, p), 1e-13 * (1 + s));
    }
  }
}

TEST(ImplicitActivation, InverseToMachinePrecision) {
  for (const LabelStatistics& statistics : kCases) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      const ImplicitActivation sigma(loss, statistics);
      for (const double above : {1e-9, 1e-6, 1e-3, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0, 1e4}) {
        const double t = sigma.minimum() + above;
        const double s = sigma.inverse(t);
        EXPECT_NEAR(sigma.along_path(s), t, 1e-12 * t) << "above " << above;
        EXPECT_NEAR(sigma(on_path(sigma, s)), t, 1e-12 * (t + std::abs(s))) << "above " << above;
      }
      if (sigma.infimum_attained()) {
        EXPECT_NEAR(sigma.along_path(sigma.inverse(sigma.minimum())), sigma.minimum(), 1e-15);
        EXPECT_ERROR(sigma.inverse(sigma.minimum() - 0.01), InvalidArgument, "raise the offset");
      } else {
        EXPECT_LT(sigma.inverse(1e-3), 0);
        EXPECT_ERROR(sigma.inverse(0), InvalidArgument, "above 0");
      }
      EXPECT_ERROR(sigma.inverse(std::nan("")), InvalidArgument, "nan");
    }
  }
}

TEST(ImplicitActivation, MinimumIsTheFloor) {
  const ImplicitActivation balanced(Loss::cross_entropy, frequencies(std::vector<double>(10, 1)));
  EXPECT_NEAR(balanced.minimum(), std::log(10.0), 1e-14);
  const ImplicitActivation mse(Loss::mean_squared_error, frequencies({1, 3}));
  EXPECT_DOUBLE_EQ(mse.minimum(), 1 - 1.0 / 16 - 9.0 / 16);
  Random random(5);
  for (const LabelStatistics& statistics : kCases) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      const ImplicitActivation sigma(loss, statistics);
      for (int i = 0; i < 50; ++i) {
        std::vector<double> p(statistics.mean.size());
        for (double& v : p) v = 4 * random.normal();
        EXPECT_GE(sigma(p), sigma.minimum() - 1e-15);
      }
    }
  }
}

TEST(ImplicitActivation, DerivativesByCentralDifferences) {
  for (const LabelStatistics& statistics : kCases) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      const ImplicitActivation sigma(loss, statistics);
      for (const double s : {0.5, 2.0, 6.0, 20.0}) {
        const double h = 1e-5;
        const double slope = (sigma.along_path(s + h) - sigma.along_path(s - h)) / (2 * h);
        EXPECT_NEAR(sigma.path_derivative(s), slope, 1e-8 * (1 + s));
        double inner = 0;  // chain rule: ∇σ·direction
        const std::vector<double> gradient = sigma.gradient(on_path(sigma, s));
        for (std::size_t c = 0; c < gradient.size(); ++c) inner += gradient[c] * sigma.path_direction()[c];
        EXPECT_NEAR(sigma.path_derivative(s), inner, 1e-13 * (1 + s));
      }
    }
  }
}

TEST(ImplicitActivation, NoOverflowFarOut) {
  for (const LabelStatistics& statistics : kCases) {
    const ImplicitActivation sigma(Loss::cross_entropy, statistics);
    EXPECT_TRUE(std::isfinite(sigma.along_path(1e6)));
    EXPECT_NEAR(sigma.along_path(sigma.inverse(1e5)), 1e5, 1e-7);
  }
}

TEST(ImplicitActivation, BadArguments) {
  EXPECT_ERROR(ImplicitActivation(Loss::cross_entropy, LabelStatistics{{0.5, 0.6}, 1, 0.5}), InvalidArgument, "sum");
  EXPECT_ERROR(ImplicitActivation(Loss::cross_entropy, LabelStatistics{{1.5, -0.5}, 1, 0.5}), InvalidArgument, "-0.5");
  EXPECT_ERROR(ImplicitActivation(Loss::cross_entropy, LabelStatistics{{1.0}, 1, 0}), InvalidArgument, "one class");
  EXPECT_ERROR(ImplicitActivation(Loss::mean_squared_error, LabelStatistics{}), InvalidArgument, "no outputs");
  const ImplicitActivation sigma(Loss::cross_entropy, frequencies({1, 1}));
  EXPECT_ERROR(sigma(std::vector<double>{1, 2, 3}), InvalidArgument, "3 outputs");
}

}  // namespace
}  // namespace lossatlas
