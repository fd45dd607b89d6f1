// Sections of networks with Add layers, by every plan, against the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "backend/backend.hpp"
#include "expect_error.hpp"
#include "residual.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas {
namespace {

using reference::RandomProblem;
using testing::expect_near;
using testing::normals;
using testing::problems;

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
      for (std::int64_t row = 0; row < weight.out; row += mode == 3 ? 1 : 2) std::ranges::fill(weight.row(row), 0.0);
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

/// Folded into parts, what is finite at θ(α) may not be: W b_d overflows although W (b_0 + α b_1) does not.
TEST(ResidualSection, WhatAPlanFoldsMayOverflow) {
  const Network folded({{Dense{1, 1, true, Activation::identity}, {-1}},
                        {Dense{1, 1, true, Activation::identity}, {0}},
                        {Add{}, {1, 1}}});
  // A unit whose A_0 and A_1 are too large and cancel, below a weight of 0.
  const Network cancelling({{Dense{1, 2, false, Activation::identity}, {-1}},
                            {Add{}, {0, 0}},
                            {Dense{2, 1, true, Activation::identity}, {1}}});
  struct Case {
    Network network;
    std::vector<double> theta, direction;
  };
  const Case cases[] = {{folded, {1e-200, 0, 1e200, 1}, {0, 1e200, 0, 0}},
                        {folded, {1e-200, 1e200, 1e200, 1}, {0, -1e200, 0, 0}},
                        {cancelling, {1.5e308, 0.5, 0, 1, 1}, {-1.5e308, 0.25, 0, 0, 0}}};
  for (const Case& one : cases) {
    RandomProblem problem{one.network, Dataset::regression({1, -1}, 1, {0.5, 1}, 1), Loss::mean_squared_error,
                          one.theta, 1};
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const Section section{one.theta, one.direction, {}};
    for (const double alpha : {0.0, 1.0}) {
      const std::vector<double> expected = oracle_losses(problem, section, std::vector<double>{alpha});
      if (!std::isfinite(expected[0])) continue;
      for (const Precision precision : {Precision::f64, Precision::f32}) {
        const Surface surface = landscape.evaluate(section, std::vector<double>{alpha}, {.precision = precision});
        expect_near(surface.losses, expected, 1e-10, problem);
      }
    }
  }
}

/// Units of one layer that depend on nothing, on the sample, and on the point, which early, affine and Add nodes take.
TEST(ResidualSection, MixedUnitsOfOneLayer) {
  const Network constant({{Dense{2, 2, true, Activation::tanh}, {-1}},
                          {Dense{2, 2, true, Activation::tanh}, {0}},
                          {Dense{2, 2, true, Activation::identity}, {0}},
                          {Add{Activation::tanh}, {1, 2}},
                          {Dense{2, 1, true, Activation::identity}, {3}}});
  const Network whole({{Dense{2, 2, true, Activation::tanh}, {-1}},
                       {Dense{2, 2, true, Activation::tanh}, {0}},
                       {Add{Activation::tanh}, {0, 1}},
                       {Dense{2, 1, true, Activation::identity}, {2}}});
  for (const Network& network : {constant, whole}) {
    Random random(3);
    RandomProblem problem{network, reference::random_data(random, 20, 2, 1, Loss::mean_squared_error),
                          Loss::mean_squared_error, random_parameters(network, {.seed = 2, .scale = {1}}), 1};
    std::fill_n(problem.theta.begin(), 2, 0.0);  // unit 0 takes nothing from x
    Section section{problem.theta, std::vector<double>(problem.theta.size(), 0.0), {}};
    if (network == constant) {
      for (std::size_t m = 12; m < 18; ++m) section.directions[m] = 0.3 * static_cast<double>(m - 14);  // node 2
    } else {
      section.directions[4] = 1;  // unit 0's bias
    }
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const std::vector<double> points{0, 0.7, -1.3};
    expect_near(landscape.evaluate(section, points).losses, oracle_losses(problem, section, points), 1e-13, problem);
  }
}

/// Doubled until it leaves f32, before a small weight brings it back: only in f64 is the loss finite.
TEST(ResidualSection, ALargeSumTakesDoublePrecision) {
  std::vector<Node> nodes{{Dense{1, 1, true, Activation::identity}, {-1}}};
  for (std::int32_t k = 0; k < 14; ++k) nodes.push_back({Add{}, {k, k}});
  nodes.push_back({Dense{1, 1, true, Activation::identity}, {14}});
  RandomProblem problem{Network(nodes),
                        Dataset::regression({1, -2, 3}, 1, {0.5, 1, 2}, 1),
                        Loss::mean_squared_error,
                        {1e35, 0, 1e-39, 0.1},
                        1};
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  for (const std::size_t moved : {0u, 1u}) {  // the sum is A_0 + αA_1, or A_0 + B; the last layer moves for every pair
    Section section{problem.theta, {0, 0, 1e-40, 0}, {}};
    section.directions[moved] = 1e34;
    const std::vector<double> points{0, 0.5, 1};
    const Surface surface = landscape.evaluate(section, points, {.precision = Precision::f32});
    EXPECT_EQ(surface.precision, Precision::f64);
    expect_near(surface.losses, oracle_losses(problem, section, points), 1e-12, problem);
  }
}

}  // namespace
}  // namespace lossatlas
