// Plans of networks that are graphs: what crosses from the lists of samples and points to that of pairs, by hand.
#include "section/graph_plan.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "reference/random_problem.hpp"

namespace lossatlas {
namespace {

using Layers = std::vector<std::int64_t>;

/// x (3) → 4 tanh → a branch of 5 tanh and 4 → their sum, tanh → 2.
Network residual(Activation sum = Activation::tanh) {
  return Network({{Dense{3, 4, true, Activation::tanh}, {-1}},
                  {Dense{4, 5, true, Activation::tanh}, {0}},
                  {Dense{5, 4, true, Activation::identity}, {1}},
                  {Add{sum}, {0, 2}},
                  {Dense{4, 2, true, Activation::identity}, {3}}});
}

/// Two directions that move all of the given nodes.
Section moving(const Network& network, const Layers& nodes) {
  Section section{random_parameters(network, {.seed = 1, .scale = {1}}), {}, {}};
  for (std::uint64_t seed : {2, 3}) {
    std::vector<double> direction = random_parameters(network, {.seed = seed, .scale = {1}});
    for (const ParameterBlock& block : network.blocks()) {
      if (std::ranges::find(nodes, block.layer) != nodes.end()) continue;
      std::ranges::fill(std::span(direction).subspan(block.offset, block.size()), 0.0);
    }
    section.directions.insert(section.directions.end(), direction.begin(), direction.end());
  }
  return section;
}

SectionPlan plan_of(const Network& network, const Section& section, Loss loss = Loss::mean_squared_error) {
  return plan_section(network, loss, section, Plan::automatic);
}

TEST(GraphPlan, AllWeightsMakeTheFirstLayerAffine) {
  const SectionPlan plan = plan_of(residual(), moving(residual(), {0, 1, 2, 4}));
  const PlanLists& lists = plan.graph->lists;
  EXPECT_EQ(plan.kind, PlanKind::joint);
  ASSERT_EQ(lists.crossings.size(), 1u);
  EXPECT_EQ(lists.crossings[0].node, 0);
  EXPECT_EQ(lists.crossings[0].directions, (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(lists.crossings[0].activation, Activation::tanh);
  EXPECT_EQ(lists.sample.size(), 3u);  // A_0, A_1, A_2
  EXPECT_EQ(lists.point.size(), 1u);   // b(α)
  ASSERT_EQ(lists.pair.size(), 4u);
  EXPECT_TRUE(lists.pair[2].adds());
  EXPECT_EQ(lists.pair[2].inputs, (std::vector<std::int32_t>{-1, 1}));
}

TEST(GraphPlan, AMovedBranchCrossesInOneAffineSum) {
  const SectionPlan plan = plan_of(residual(), moving(residual(), {2}));
  const PlanLists& lists = plan.graph->lists;
  EXPECT_EQ(plan.kind, PlanKind::joint);
  ASSERT_EQ(lists.crossings.size(), 1u);
  EXPECT_EQ(lists.crossings[0].node, 3);  // nodes 0 and 1 once per sample; the sum is affine
  EXPECT_EQ(lists.crossings[0].parts.size(), 3u);
  EXPECT_EQ(lists.crossings[0].activation, Activation::tanh);
  ASSERT_EQ(lists.pair.size(), 1u);
  EXPECT_TRUE(lists.pair[0].layer->shared());
}

TEST(GraphPlan, AValueBesideAMovedBranchCrossesAsItIs) {
  const SectionPlan plan = plan_of(residual(), moving(residual(), {1}));
  const PlanLists& lists = plan.graph->lists;
  ASSERT_EQ(lists.crossings.size(), 2u);
  EXPECT_EQ(lists.crossings[0].node, 1);
  EXPECT_FALSE(lists.crossings[0].is_plain());
  EXPECT_EQ(lists.crossings[1].node, 0);  // what the sum takes, once per sample
  EXPECT_TRUE(lists.crossings[1].is_plain());
  EXPECT_EQ(lists.pair.size(), 3u);
}

TEST(GraphPlan, UnmovedLinearLayersKeepAnAffineValue) {
  const Network network = residual(Activation::identity);
  const SectionPlan plan = plan_of(network, moving(network, {2}));
  EXPECT_EQ(plan.kind, PlanKind::quadratic);
  EXPECT_EQ(plan.graph->lists.crossings[0].node, 4);
  ASSERT_EQ(plan.graph->lists.point.size(), 1u);  // W₄ b₂(α) + b₄ as parts
  EXPECT_EQ(plan.graph->lists.point[0].layer->bias_directions.size(), 2u);
  EXPECT_EQ(plan_of(network, moving(network, {2}), Loss::cross_entropy).kind, PlanKind::joint);
  EXPECT_TRUE(plan_of(network, moving(network, {2}), Loss::cross_entropy).graph->lists.pair.empty());
  const SectionPlan both = plan_of(network, moving(network, {2, 4}));  // moved weights on an affine value
  EXPECT_EQ(both.kind, PlanKind::joint);
  EXPECT_EQ(both.graph->lists.crossings[0].node, 3);
}

TEST(GraphPlan, UnitsOfANodeThatNoSumTakesMayBeMixed) {
  Section section = moving(residual(), {});
  const Network network = residual();
  const auto cut = [&](std::span<double> theta) {
    for (std::int64_t row = 0; row < 2; ++row) std::ranges::fill(network.view(theta, 1).weight.row(row), 0.0);
  };
  cut(section.origin);
  network.view(std::span(section.directions).first(section.origin.size()), 1).bias[0] = 1;
  network.view(std::span(section.directions).last(section.origin.size()), 1).bias[1] = 1;
  const SectionPlan plan = plan_of(network, section);
  const PlanLists& lists = plan.graph->lists;
  ASSERT_EQ(lists.crossings.size(), 1u);
  EXPECT_EQ(lists.crossings[0].node, 3);  // node 1 has two units per point and three per sample
  EXPECT_TRUE(lists.crossings[0].directions.empty());
  ASSERT_EQ(lists.point.size(), 2u);
  EXPECT_EQ(lists.point[0].out, 2);
  EXPECT_EQ(lists.point[1].layer->in, 2);
  EXPECT_EQ(lists.pair.size(), 1u);
}

TEST(GraphPlan, NothingFromTheInputIsSampleFree) {
  Section section = moving(residual(), {0, 1, 2, 4});
  const auto size = section.origin.size();
  std::fill_n(section.origin.begin(), 12, 0.0);
  std::fill_n(section.directions.begin(), 12, 0.0);
  std::fill_n(section.directions.begin() + static_cast<std::ptrdiff_t>(size), 12, 0.0);
  const SectionPlan plan = plan_of(residual(), section);
  EXPECT_EQ(plan.kind, PlanKind::sample_free);
  EXPECT_EQ(plan.graph->lists.point.size(), 5u);
  EXPECT_TRUE(plan.graph->lists.sample.empty());
  section.directions[5] = 1e-9;
  EXPECT_EQ(plan_of(residual(), section).kind, PlanKind::joint);
}

/// Every step finds what it takes in the buffers where earlier steps have left it.
void expect_sound(std::span<const PlanStep> steps, std::int64_t starts, const ValueSlots& slots,
                  const std::vector<std::int32_t>& kept) {
  std::map<std::int32_t, std::int32_t> owner;
  for (std::int64_t k = 0; k < starts; ++k) {
    const auto value = static_cast<std::int32_t>(-1 - k);
    EXPECT_FALSE(owner.contains(slots.of(value)));
    owner[slots.of(value)] = value;
  }
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const auto value = static_cast<std::int32_t>(s);
    EXPECT_LT(slots.of(value), slots.count);
    for (const std::int32_t input : steps[s].inputs) {
      EXPECT_EQ(owner[slots.of(input)], input);
      EXPECT_NE(slots.of(input), slots.of(value));
    }
    owner[slots.of(value)] = value;
  }
  for (const std::int32_t value : kept) EXPECT_EQ(owner[slots.of(value)], value);
  if (steps.empty()) return;
  EXPECT_EQ(owner[slots.steps.back()], static_cast<std::int32_t>(steps.size()) - 1);
}

TEST(GraphPlan, BuffersAreReusedOnlyAfterTheirValues) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const reference::RandomProblem problem =
        reference::random_residual(seed, {.depth = 1 + static_cast<std::int64_t>(seed % 5), .widest = 4});
    Layers nodes;
    for (std::int64_t l = 0; l < problem.network.depth(); ++l) {
      if ((seed >> (l % 7)) % 2) nodes.push_back(l);
    }
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      const SectionPlan plan = plan_section(problem.network, problem.loss, moving(problem.network, nodes), choice);
      const PlanLists& lists = plan.graph->lists;
      std::vector<std::int32_t> offsets;
      for (const Crossing& crossing : lists.crossings) {
        if (crossing.offset != kNoValue) offsets.push_back(crossing.offset);
      }
      expect_sound(lists.sample, 1, lists.sample_slots, {});
      expect_sound(lists.point, 0, lists.point_slots, offsets);
      expect_sound(lists.pair, std::ssize(lists.crossings), lists.pair_slots, {});
    }
  }
  const SectionPlan chain = plan_section(mlp({3, 4, 5, 6, 2}, Activation::tanh), Loss::cross_entropy,
                                         moving(mlp({3, 4, 5, 6, 2}, Activation::tanh), {0, 1, 2, 3}), Plan::automatic);
  EXPECT_EQ(lists_of(chain).pair_slots.count, 2);
}

TEST(GraphPlan, CountsByHand) {
  const SectionPlan plan = plan_of(residual(), moving(residual(), {2}), Loss::cross_entropy);
  const PlanCost cost = plan.cost(1000, 64, Precision::f32);
  // Per sample: nodes 0 and 1 with tanh, three products 5→4, and one sum with node 0.
  EXPECT_EQ(cost.once_flop, 1000.0 * (2 * 3 * 4 + 2 * 4 * 5 + 3 * 2 * 5 * 4 + 4));
  EXPECT_EQ(cost.once_transcendental, 1000.0 * (4 + 5));
  EXPECT_EQ(cost.pair_flop, 4 * (2 * 2 + 1) + 2 * 4 * 2);  // two A_d and B, then 4→2
  EXPECT_EQ(cost.pair_transcendental, 4 + 2 + 1);
  EXPECT_EQ(plan.network_flop, 2 * (3 * 4 + 4 * 5 + 5 * 4 + 4 * 2) + 4);
  const std::string text = plan.explain(1000, 64, Precision::f32);
  EXPECT_NE(text.find("node 3, 4 units, affine in α, 3 parts, then tanh per point"), std::string::npos) << text;
  EXPECT_NE(text.find("per point and sample: layers 4→2"), std::string::npos) << text;
}

}  // namespace
}  // namespace lossatlas
