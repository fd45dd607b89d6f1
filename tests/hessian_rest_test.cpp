// What the Gauss–Newton product leaves out of the Hessian with one hidden layer: many units, many pairs of inputs,
// several outputs. The reference is forward over reverse, which shares no product with it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "base/random.hpp"
#include "cpu/hessian.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

struct Profile {
  std::vector<std::int64_t> widths;
  Activation activation;
  Bias bias;
};

std::vector<double> normals(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.normal();
  return values;
}

std::vector<double> product(const std::vector<double>& matrix, const std::vector<double>& vector) {
  std::vector<double> result(vector.size(), 0.0);
  for (std::size_t r = 0; r < vector.size(); ++r) {
    for (std::size_t c = 0; c < vector.size(); ++c) result[r] += matrix[r * vector.size() + c] * vector[c];
  }
  return result;
}

class HessianRest : public testing::TestWithParam<Profile> {};

TEST_P(HessianRest, EqualsForwardOverReverse) {
  constexpr std::uint64_t seed = 21;
  constexpr std::int64_t samples = 40;
  const auto& [widths, activation, bias] = GetParam();
  const Network network = mlp(widths, activation, {.bias = bias});
  const Dataset data = Dataset::regression(normals(samples * widths.front(), seed), widths.front(),
                                           normals(samples * widths.back(), seed + 1), widths.back());
  const std::vector<double> theta = random_parameters(network, {.seed = seed, .scale = {}});
  const std::vector<double> vector = normals(network.parameter_count(), seed + 2);
  const cpu::Problem problem{network, data, Loss::mean_squared_error, 2};
  std::vector<double> parts[2];
  for (const HessianPart part : {HessianPart::gauss_newton, HessianPart::full}) {
    std::vector<double> matrix(theta.size() * theta.size(), std::numeric_limits<double>::quiet_NaN());
    cpu::hessian(problem, theta, part, {}, matrix);
    std::vector<double>& result = parts[part == HessianPart::full] = product(matrix, vector);
    std::vector<double> expected(theta.size());
    cpu::hessian_products(problem, theta, part, vector, {}, expected);
    double largest = 0;
    for (double value : expected) largest = std::max(largest, std::abs(value));
    EXPECT_LE(reference::max_difference(result, expected), 1e-12 * largest) << network.describe() << ", seed " << seed;
  }
  EXPECT_GT(reference::max_difference(parts[0], parts[1]), 1e-3) << "the rest must not be empty";
}

INSTANTIATE_TEST_SUITE_P(Shapes, HessianRest,
                         testing::Values(Profile{{30, 140, 1}, Activation::tanh, Bias::all},     // groups of units, pairs
                                         Profile{{300, 5, 1}, Activation::sigmoid, Bias::all},   // groups of residuals
                                         Profile{{2, 10, 2}, Activation::tanh, Bias::all},       // several outputs
                                         Profile{{2, 10, 2}, Activation::softplus, Bias::none},  // no constant input
                                         Profile{{1, 3, 1}, Activation::gelu, Bias::hidden}));

}  // namespace
}  // namespace lossatlas
