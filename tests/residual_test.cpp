// Networks with Add layers, in everything that works on any graph, against the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "backend/backend.hpp"
#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/random_problem.hpp"
#include "section/graph_plan.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

using reference::Dual;
using reference::random_residual;
using reference::RandomProblem;

/// One to three residual blocks, both losses, with and without biases; fewer on a CUDA device, which may be emulated.
std::vector<RandomProblem> problems(std::int64_t samples = 24) {
  std::vector<RandomProblem> list;
  const std::uint64_t count = test_device().kind() == Device::Kind::cpu ? 24 : 8;
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    const auto choice = static_cast<std::int64_t>(seed);
    list.push_back(random_residual(seed, {.depth = 1 + choice % 3,
                                          .loss = choice % 2 ? Loss::mean_squared_error : Loss::cross_entropy,
                                          .bias = choice % 5 == 0   ? Bias::none
                                                  : choice % 3 == 0 ? Bias::hidden
                                                                    : Bias::all,
                                          .widest = 4,
                                          .samples = samples}));
  }
  return list;
}

std::vector<double> normals(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = random.normal();
  return values;
}

double largest(std::span<const double> values) {
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  return top;
}

void expect_near(std::span<const double> values, std::span<const double> expected, double relative,
                 const RandomProblem& problem) {
  ASSERT_EQ(values.size(), expected.size());
  const double tolerance = relative * (1 + largest(expected));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], tolerance) << "entry " << i << ", " << problem.describe();
  }
}

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

/// What the directions of section `mode` move: everything; random blocks; the last dense node; all, with nothing from x
/// into the network [C19, Theorem 1]; biases alone, with x cut from some units [C19, Theorem 2]; random blocks again;
/// nothing.
Section section_of(const RandomProblem& problem, std::int64_t mode, std::int64_t rank) {
  const Network& network = problem.network;
  Random random(problem.seed, 100 + static_cast<std::uint64_t>(mode));
  const std::size_t size = problem.theta.size();
  Section section{problem.theta, {}, {}};
  for (std::int64_t d = 0; d < rank; ++d) {
    std::vector<double> direction = normals(size, problem.seed * 50 + static_cast<std::uint64_t>(mode * rank + d));
    for (const ParameterBlock& block : network.blocks()) {
      bool moved = random.below(2) != 0;
      if (mode == 0 || mode == 3) moved = true;
      if (mode == 2) moved = block.layer == network.blocks().back().layer;
      if (mode == 6) moved = false;
      if (mode == 4) moved = block.kind == ParameterBlock::Kind::bias && random.below(3) != 0;
      if (!moved) std::ranges::fill(std::span(direction).subspan(block.offset, block.size()), 0.0);
    }
    section.directions.insert(section.directions.end(), direction.begin(), direction.end());
  }
  for (std::int64_t l = 0; (mode == 3 || mode == 4) && l < network.depth(); ++l) {
    if (network.nodes()[static_cast<std::size_t>(l)].inputs.front() != -1) continue;
    const auto cut = [&](std::span<double> theta) {
      const auto weight = network.view(theta, l).weight;
      for (std::int64_t row = 0; row < weight.rows; row += mode == 3 ? 1 : 2) std::ranges::fill(weight.row(row), 0.0);
    };
    cut(section.origin);
    for (std::int64_t d = 0; d < rank; ++d)
      cut(std::span(section.directions).subspan(size * static_cast<std::size_t>(d), size));
  }
  return section;
}

constexpr std::int64_t kModes = 7;

std::vector<double> oracle_losses(const RandomProblem& problem, const Section& section,
                                  std::span<const double> points) {
  std::vector<double> losses;
  const auto rank = static_cast<std::size_t>(section.rank());
  for (std::size_t first = 0; first < points.size(); first += rank) {
    const std::vector<double> theta = section.at(points.subspan(first, rank));
    for (const double loss : reference::losses(problem.network, theta, problem.data, problem.loss)) {
      losses.push_back(loss);
    }
  }
  return losses;
}

TEST(ResidualSection, EveryPlanIsTheOracles) {
  std::set<PlanKind> kinds;
  std::set<std::size_t> crossings;
  for (const RandomProblem& problem : problems(37)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    for (std::int64_t mode = 0; mode < kModes; ++mode) {
      const Section section = section_of(problem, mode, 1 + mode % 3);
      const std::vector<double> points = normals(static_cast<std::size_t>(5 * section.rank()), problem.seed + 9);
      const std::vector<double> expected = oracle_losses(problem, section, points);
      for (const Plan choice : {Plan::automatic, Plan::direct}) {
        const SectionPlan plan = plan_section(problem.network, problem.loss, section, choice);
        ASSERT_TRUE(plan.graph);
        kinds.insert(plan.kind);
        crossings.insert(plan.graph->lists.crossings.size());
        const Surface exact = landscape.evaluate(section, points, {.plan = choice});
        const Surface single = landscape.evaluate(section, points, {.precision = Precision::f32, .plan = choice});
        expect_near(exact.losses, expected, 1e-11, problem);
        expect_near(single.losses, expected, 1e-3, problem);
        EXPECT_EQ(exact.precision, Precision::f64);
        EXPECT_EQ(single.precision, plan.kind == PlanKind::quadratic ? Precision::f64 : Precision::f32);
      }
      if (HasFailure()) FAIL() << "mode " << mode << '\n' << landscape.explain(section, 5);
    }
  }
  EXPECT_EQ(kinds.size(), 4u);  // joint, sample-free, quadratic, direct
  EXPECT_GE(crossings.size(), 3u);
}

TEST(ResidualSection, BitsDoNotDependOnTheDivisionOfPoints) {
  for (const RandomProblem& problem : problems(37)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    for (std::int64_t mode = 0; mode < kModes; ++mode) {
      const Section section = section_of(problem, mode, 2);
      const std::vector<double> points = normals(2 * 9, problem.seed);
      for (const Precision precision : {Precision::f64, Precision::f32}) {
        const std::vector<double> all = landscape.evaluate(section, points, {.precision = precision}).losses;
        std::vector<double> one_by_one;
        for (std::size_t g = 0; g < 9; ++g) {
          const Surface one =
              landscape.evaluate(section, std::span(points).subspan(2 * g, 2), {.precision = precision});
          one_by_one.insert(one_by_one.end(), one.losses.begin(), one.losses.end());
        }
        ASSERT_EQ(all, one_by_one) << "mode " << mode << ", " << problem.describe();
      }
    }
  }
}

TEST(ResidualSection, OutputsOfTheoremOneAreTheOracles) {
  std::int64_t tested = 0;
  for (const RandomProblem& problem : problems()) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const Section section = section_of(problem, 3, 2);
    if (plan_section(problem.network, problem.loss, section, Plan::automatic).kind != PlanKind::sample_free) {
      EXPECT_ERROR(landscape.outputs(section, std::vector<double>{0, 0}), InvalidArgument, "Theorem 1");
      continue;
    }
    ++tested;
    const std::vector<double> points = normals(2 * 7, problem.seed);
    std::vector<double> expected;
    for (std::size_t g = 0; g < 7; ++g) {
      const std::vector<double> theta = section.at(std::span(points).subspan(2 * g, 2));
      for (const double p : reference::outputs(problem.network, theta, problem.data.input(3))) expected.push_back(p);
    }
    expect_near(landscape.outputs(section, points), expected, 1e-12, problem);
  }
  EXPECT_GT(tested, 2);
}

/// A chain of dense layers planned as a graph: the lists and the chain's own plan say the same.
TEST(ResidualSection, AChainIsAGraph) {
  std::set<PlanKind> kinds;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto choice = static_cast<std::int64_t>(seed);
    const RandomProblem problem =
        reference::random_problem(seed, {.depth = 1 + choice % 4,
                                         .loss = choice % 2 ? Loss::mean_squared_error : Loss::cross_entropy,
                                         .widest = 4,
                                         .samples = 37});
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    for (std::int64_t mode = 0; mode < kModes; ++mode) {
      const Section section = section_of(problem, mode, 2);
      const SectionPlan chain = plan_section(problem.network, problem.loss, section, Plan::automatic);
      SectionPlan plan;
      plan.loss = chain.loss;
      plan.rank = chain.rank;
      plan.heads = chain.heads;
      plan.outputs = chain.outputs;
      plan_graph(plan, Dependence(problem.network, section, {}), Plan::automatic);
      plan.pair_work = pair_work(plan.outputs, plan.graph->lists);
      if (chain.kind != PlanKind::direct) kinds.insert(plan.kind);
      const std::vector<double> points = normals(2 * 5, seed);
      std::vector<double> expected(5 * static_cast<std::size_t>(chain.heads)), losses(expected.size());
      on_device(landscape).section(chain, Precision::f64, {})->losses({points, 2}, {}, expected);
      on_device(landscape).section(plan, Precision::f64, {})->losses({points, 2}, {}, losses);
      expect_near(losses, expected, 1e-12, problem);
    }
  }
  EXPECT_EQ(kinds.size(), 3u);
}

TEST(ResidualSection, ExplainsItsListsAndCountsTheirWork) {
  const RandomProblem problem = problems().front();
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  for (std::int64_t mode = 0; mode < kModes; ++mode) {
    const Section section = section_of(problem, mode, 2);
    const std::string text = landscape.explain(section, 100);
    EXPECT_NE(text.find("plan: "), std::string::npos) << text;
    EXPECT_GT(section_cost(landscape, section, 100).flop, 0) << text;
    EXPECT_GT(section_cost(landscape, section, 100).bytes, 0) << text;
  }
}

/// h ← h + D h, many times: each block doubles the number of paths, and no pass may follow them all.
TEST(ResidualSection, ManyLinearBlocksArePlannedAtOnce) {
  std::vector<Node> nodes{{Dense{2, 3, true, Activation::identity}, {-1}}};
  for (std::int32_t block = 0; block < 60; ++block) {
    const std::int32_t at = 2 * block;
    nodes.push_back({Dense{3, 3, true, Activation::identity}, {at}});
    nodes.push_back({Add{}, {at, at + 1}});
  }
  nodes.push_back({Dense{3, 1, true, Activation::identity}, {120}});
  const Network network(nodes);
  Random random(3);
  RandomProblem problem{network, reference::random_data(random, 20, 2, 1, Loss::mean_squared_error),
                        Loss::mean_squared_error, random_parameters(network, {.seed = 2, .scale = {0.1}}), 1};
  Section section = section_of(problem, 6, 2);
  for (std::size_t m = 0; m < 9; ++m) section.directions[m] = section.directions[problem.theta.size() + m] = 1.0 + m;
  section.directions[problem.theta.size()] = -1;
  EXPECT_EQ(plan_section(network, problem.loss, section, Plan::automatic).kind, PlanKind::quadratic);
  const Landscape landscape(network, problem.data, problem.loss, test_device());
  const std::vector<double> points{0.3, -0.2, 1, 0};
  expect_near(landscape.evaluate(section, points).losses, oracle_losses(problem, section, points), 1e-10, problem);
}

TEST(ResidualSection, ChebyshevInterpolatesGraphs) {
  const Network network({{Dense{2, 3, true, Activation::tanh}, {-1}},
                         {Dense{3, 3, true, Activation::identity}, {0}},
                         {Add{Activation::tanh}, {0, 1}},
                         {Dense{3, 1, true, Activation::identity}, {2}}});
  Random random(3);
  RandomProblem problem{network, reference::random_data(random, 30, 2, 1, Loss::mean_squared_error),
                        Loss::mean_squared_error, random_parameters(network, {.seed = 2}), 1};
  const Landscape landscape(network, problem.data, problem.loss, test_device());
  const Section section = section_of(problem, 0, 1);
  const Grid grid = Grid::box(-1, 1, {501});
  const Surface surface = landscape.evaluate(section, grid, {.method = Method::chebyshev, .tolerance = 1e-9});
  ASSERT_TRUE(surface.chebyshev.has_value());
  EXPECT_TRUE(surface.chebyshev->met) << surface.plan;
  expect_near(surface.losses, landscape.evaluate(section, grid).losses, 1e-8, problem);
}

/// Sums overflow in f32 where they do not in f64, in the list of samples and in that of points.
TEST(ResidualSection, SumsBeyondTheRangeOfSinglePrecision) {
  const Network network({{Dense{1, 1, true, Activation::identity}, {-1}},
                         {Dense{1, 1, true, Activation::identity}, {-1}},
                         {Add{Activation::tanh}, {0, 1, 1}},
                         {Dense{1, 1, true, Activation::identity}, {2}}});
  RandomProblem problem{network,
                        Dataset::regression({1, -2, 3}, 1, {0.5, 1, 2}, 1),
                        Loss::mean_squared_error,
                        {2e38, 0, 2e38, 0, 0.5, 1},
                        1};
  const Landscape landscape(network, problem.data, problem.loss, test_device());
  for (const std::size_t moved : {4u, 1u, 0u}) {  // the sum once per sample; with B of the point; with A_d
    Section section{problem.theta, std::vector<double>(6, 0.0), {}};
    section.directions[moved] = moved == 4 ? 1 : 2e38;
    const std::vector<double> points{0, 0.5, 1};
    const std::vector<double> expected = oracle_losses(problem, section, points);
    ASSERT_TRUE(std::isfinite(expected[0]));
    const Surface surface = landscape.evaluate(section, points, {.precision = Precision::f32});
    expect_near(surface.losses, expected, 1e-4, problem);
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
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "residual.safetensors";
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
