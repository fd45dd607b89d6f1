#include "cpu/pass.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas::cpu {
namespace {

using reference::random_problem;
using reference::RandomProblem;

double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double length(std::span<const double> values) { return std::sqrt(dot(values, values)); }

std::vector<double> normals(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = random.normal();
  return values;
}

RandomProblem problem_of(std::uint64_t seed) {
  return random_problem(seed, {.depth = 1 + static_cast<std::int64_t>(seed % 4),
                               .loss = seed % 2 == 0 ? Loss::cross_entropy : Loss::mean_squared_error,
                               .bias = static_cast<Bias>(seed % 3),
                               .widest = 7,
                               .samples = 13});
}

/// ⟨u, J v⟩ = ⟨Jᵀ u, v⟩, whether slopes are kept or not.
TEST(Pass, VjpIsTheAdjointOfJvp) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const RandomProblem problem = problem_of(seed);
    SCOPED_TRACE(problem.describe());
    const SingleThreadedBlas guard;
    for (const bool slopes : {false, true}) {
      Pass pass({problem.network, problem.data, problem.loss, 1}, problem.theta, {.slopes = slopes});
      pass.forward(2, 9);
      const std::size_t outputs = static_cast<std::size_t>(9 * problem.network.outputs());
      const std::vector<double> u = normals(outputs, seed), v = normals(problem.theta.size(), seed + 100);
      std::vector<double> image(outputs), pulled(problem.theta.size(), 0.0);
      std::copy_n(pass.jvp(v).data, outputs, image.begin());
      std::copy(u.begin(), u.end(), pass.cotangent().data);
      pass.vjp(pulled);
      EXPECT_NEAR(dot(u, image), dot(pulled, v), 1e-13 * (length(u) * length(image) + length(pulled) * length(v)));
    }
  }
}

/// J v is the derivative of the outputs along v, by dual numbers.
TEST(Pass, JvpIsTheDerivativeOfTheOutputs) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RandomProblem problem = problem_of(seed);
    SCOPED_TRACE(problem.describe());
    const SingleThreadedBlas guard;
    Pass pass({problem.network, problem.data, problem.loss, 1}, problem.theta);
    pass.forward(0, problem.data.size());
    const std::vector<double> v = normals(problem.theta.size(), seed);
    const ConstMatrix image = pass.jvp(v);
    std::vector<reference::Dual<double>> moving(problem.theta.size());
    for (std::size_t i = 0; i < moving.size(); ++i) moving[i] = {problem.theta[i], v[i]};
    for (std::int64_t n = 0; n < problem.data.size(); ++n) {
      const auto trace = reference::forward(problem.network, moving, problem.data.input(n));
      for (std::int64_t c = 0; c < problem.network.outputs(); ++c) {
        const double expected = trace.values.back()[static_cast<std::size_t>(c)].d;
        EXPECT_NEAR(*image.at(n, c).data, expected, 1e-13 * (1 + std::abs(expected)) * length(v));
      }
    }
  }
}

/// ⟨u, H v⟩ = ⟨H u, v⟩, and H v of many samples is the sum over parts of them.
TEST(Pass, HessianProductsAreSymmetricAndAddUp) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const RandomProblem problem = problem_of(seed);
    SCOPED_TRACE(problem.describe());
    const SingleThreadedBlas guard;
    const std::size_t m = problem.theta.size();
    for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
      const auto product = [&](std::span<const double> v, std::int64_t first, std::int64_t rows) {
        Pass pass({problem.network, problem.data, problem.loss, 1}, problem.theta, {.slopes = true});
        pass.forward(first, rows);
        pass.fill_loss_cotangent();
        pass.pull_down_bends();
        std::vector<double> sum(m, 0.0);
        pass.add_hessian_product(part, v, sum);
        return sum;
      };
      const std::vector<double> u = normals(m, seed), v = normals(m, seed + 100);
      const std::vector<double> hu = product(u, 0, 13), hv = product(v, 0, 13);
      EXPECT_NEAR(dot(u, hv), dot(hu, v), 1e-13 * (length(u) * length(hv) + length(hu) * length(v)));
      const std::vector<double> lower = product(v, 0, 5), upper = product(v, 5, 8);
      for (std::size_t i = 0; i < m; ++i) EXPECT_NEAR(hv[i], lower[i] + upper[i], 1e-13 * length(hv));
    }
  }
}

}  // namespace
}  // namespace lossatlas::cpu
