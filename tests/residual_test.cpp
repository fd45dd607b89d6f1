// Networks with Add layers, in everything that works on any graph, against the oracle. Sections: residual_section_test.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "backend/backend.hpp"
#include "expect_error.hpp"
#include "residual.hpp"

namespace lossatlas {
namespace {

using reference::Dual;
using reference::RandomProblem;
using testing::expect_near;
using testing::largest;
using testing::normals;
using testing::problems;

TEST(Residual, LossAndAccuracyAreTheOracles) {
  for (const std::int64_t samples : {1, 24, 515}) {
    for (const RandomProblem& problem : problems(samples)) {
      const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
      const Evaluation evaluation = landscape.evaluate(problem.theta);
      expect_near(evaluation.losses, reference::losses(problem.network, problem.theta, problem.data, problem.loss),
                  1e-12, problem);
      const std::vector<double> accuracy = reference::accuracy(problem.network, problem.theta, problem.data);
      for (std::size_t k = 0; k < accuracy.size(); ++k) {
        EXPECT_EQ(std::isnan(evaluation.accuracy[k]), std::isnan(accuracy[k]));
        if (std::isnan(accuracy[k])) continue;
        EXPECT_EQ(evaluation.accuracy[k], accuracy[k]) << problem.describe();
      }
    }
  }
}

TEST(Residual, GradientIsTheOracles) {
  for (const RandomProblem& problem : problems(515)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    expect_near(landscape.gradient(problem.theta),
                reference::gradient(problem.network, problem.theta, problem.data, problem.loss), 1e-12, problem);
    std::vector<double> part(problem.theta.size());
    on_device(landscape).gradient(problem.theta, 3, 9, {}, part);
    expect_near(part, reference::gradient(problem.network, problem.theta, problem.data, problem.loss, 3, 9), 1e-12,
                problem);
  }
}

TEST(Residual, HessianIsTheOracles) {
  for (const RandomProblem& problem : problems()) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const std::vector<double> expected =
        reference::dual_hessian(problem.network, problem.theta, problem.data, problem.loss);
    const std::vector<double> matrix = hessian(landscape, problem.theta);
    expect_near(matrix, expected, 1e-11, problem);
    const std::size_t size = problem.theta.size();
    for (std::size_t r = 0; r < size; ++r) {
      for (std::size_t c = 0; c < r; ++c) ASSERT_EQ(matrix[r * size + c], matrix[c * size + r]);
    }
  }
}

TEST(Residual, ProductsAreTheHessianTimesVectors) {
  for (const RandomProblem& problem : problems(515)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const std::vector<double> v = normals(problem.theta.size(), problem.seed);
    std::vector<Dual<double>> point = reference::lift<Dual<double>>(problem.theta);
    for (std::size_t m = 0; m < v.size(); ++m) point[m].d = v[m];
    std::vector<double> expected;
    for (const Dual<double>& one : reference::gradient(problem.network, point, problem.data, problem.loss)) {
      expected.push_back(one.d);
    }
    expect_near(HessianOperator(landscape, problem.theta).multiply(v), expected, 1e-11, problem);
  }
}

TEST(Residual, GaussNewtonProductsAgreeWithTheGaussNewtonHessian) {
  for (const RandomProblem& problem : problems()) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const std::size_t size = problem.theta.size();
    const std::vector<double> v = normals(size, problem.seed);
    const std::vector<double> matrix = hessian(landscape, problem.theta, {.part = HessianPart::gauss_newton});
    std::vector<double> expected(size);
    for (std::size_t r = 0; r < size; ++r) {
      for (std::size_t c = 0; c < size; ++c) expected[r] += matrix[r * size + c] * v[c];
    }
    std::vector<double> product(size);
    on_device(landscape).gauss_newton_product(problem.theta, v, {}, product);
    expect_near(product, expected, 1e-11, problem);
  }
}

TEST(Residual, SpectrumIsThatOfTheHessian) {
  for (const RandomProblem& problem : problems()) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const auto size = static_cast<std::int64_t>(problem.theta.size());
    const Spectrum expected =
        symmetric_spectrum(reference::dual_hessian(problem.network, problem.theta, problem.data, problem.loss), size);
    const Spectrum spectrum = hessian_spectrum(landscape, problem.theta, {.vectors = true});
    expect_near(spectrum.eigenvalues, expected.eigenvalues, 1e-10, problem);
    EXPECT_LT(spectrum.residual, 1e-9 * (1 + largest(expected.eigenvalues)));
    EXPECT_GT(spectrum_cost(landscape).bytes, 8.0 * static_cast<double>(size * size));
  }
}

/// y = W₂ (x + φ(W₁ x)) with targets that it can reach.
RandomProblem solvable() {
  const Network network(
      {{Dense{2, 2, true, Activation::tanh}, {-1}}, {Add{}, {-1, 0}}, {Dense{2, 1, true, Activation::identity}, {1}}});
  RandomProblem problem{network, Dataset::regression({0, 0}, 2, {0}, 1), Loss::mean_squared_error,
                        normals(static_cast<std::size_t>(network.parameter_count()), 5), 5};
  const std::vector<double> inputs = normals(60, 6);
  std::vector<double> targets;
  const Dataset plain = Dataset::regression(inputs, 2, std::vector<double>(30), 1);
  for (std::int64_t n = 0; n < 30; ++n) {
    targets.push_back(reference::outputs(network, problem.theta, plain.input(n)).front());
  }
  problem.data = Dataset::regression(inputs, 2, targets, 1);
  return problem;
}

/// Whether the oracle finds θ critical, with that inertia.
void expect_critical(const RandomProblem& problem, const CriticalPoint& point) {
  EXPECT_TRUE(point.critical) << point.remark;
  EXPECT_LT(largest(reference::gradient(problem.network, point.theta, problem.data, problem.loss)), 1e-9);
  const auto size = static_cast<std::int64_t>(point.theta.size());
  const std::vector<double> matrix = reference::dual_hessian(problem.network, point.theta, problem.data, problem.loss);
  EXPECT_EQ(point.inertia, symmetric_spectrum(matrix, size).inertia);
}

TEST(Residual, AMinimumIsFoundFromNearby) {
  const RandomProblem problem = solvable();
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  std::vector<double> start = problem.theta;
  const std::vector<double> noise = normals(start.size(), 8);
  for (std::size_t m = 0; m < start.size(); ++m) start[m] += 0.01 * noise[m];
  const CriticalPoint point = find_critical_point(landscape, start, {.descent_iterations = 20});
  expect_critical(problem, point);
  EXPECT_LT(point.loss, 1e-20);
  EXPECT_EQ(point.inertia.negative, 0);
}

TEST(Residual, ASearchSortsCriticalPointsByTheirOutputs) {
  if (test_device().kind() != Device::Kind::cpu) GTEST_SKIP() << "host code, minutes on the emulated device";
  const RandomProblem problem = solvable();
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  const CriticalSearch search = search_critical_points(
      landscape, {.starts = 16, .init = {.seed = 3, .scale = {0.7}}, .each = {.descent_iterations = 2000}});
  EXPECT_EQ(search.found + search.at_infinity + search.not_converged + search.vanishing_output, 16);
  ASSERT_GE(search.classes.size(), 2u);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < search.classes.size(); ++i) {
    expect_critical(problem, search.classes[i].representative);
    count += search.classes[i].count;
    if (i == 0) continue;
    EXPECT_GT(search.classes[i].representative.loss, search.classes[i - 1].representative.loss);
  }
  EXPECT_GT(count, std::ssize(search.classes));  // some starts led to the same class
}

TEST(Residual, WhatNeedsAChainSaysSo) {
  const RandomProblem problem = solvable();
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  const Network& network = problem.network;
  const std::vector<double>& theta = problem.theta;
  const std::string reason = "1 Add node, 1 output, tanh, 1 head, 9 parameters, expected a chain of dense layers";
  EXPECT_ERROR(split_neuron(network, theta, {1, 0, 0.5}), InvalidArgument, reason);
  EXPECT_ERROR(embed(network, theta, std::vector<std::int64_t>{3, 3}), InvalidArgument, reason);
  EXPECT_ERROR(null_embedding(network, theta, 1, 1), InvalidArgument, reason);
  EXPECT_ERROR(embedding_family(network, theta, std::vector<Split>{{1, 0, 0.5}}), InvalidArgument, reason);
  EXPECT_ERROR(certify(landscape, theta, {}), InvalidArgument, reason);
  EXPECT_ERROR(split_forecast(landscape, theta, 1, 0), InvalidArgument, reason);
  EXPECT_ERROR(rank_splits(landscape, theta), InvalidArgument, reason);
  EXPECT_ERROR(hidden_activation(network), InvalidArgument, reason);
}

TEST(Residual, ModelFilesKeepTheGraph) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "residual.safetensors";
  for (const RandomProblem& problem : problems()) {
    write_model(file, problem.network, problem.theta);
    const Model model = read_model(file);
    EXPECT_EQ(model.network, problem.network) << problem.describe();
    EXPECT_EQ(model.theta, problem.theta);
    EXPECT_ERROR(read_model(file, mlp({3, 2}, Activation::tanh)), FileError, "expected the given 3-2");
  }
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace lossatlas
