#include "section/plan.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "expect_error.hpp"

namespace lossatlas {
namespace {

/// A section with random origin and a direction that is random in the chosen blocks only.
Section section_in(const Network& network, const std::vector<std::size_t>& blocks, std::int64_t rank = 1) {
  Section section{random_parameters(network, {.seed = 1}), {}, {}};
  Random random(2);
  for (std::int64_t i = 0; i < rank; ++i) {
    std::vector<double> direction(section.origin.size(), 0.0);
    for (const std::size_t b : blocks) {
      const ParameterBlock& block = network.blocks()[b];
      for (std::int64_t k = 0; k < block.size(); ++k)
        direction[static_cast<std::size_t>(block.offset + k)] = random.normal();
    }
    section.directions.insert(section.directions.end(), direction.begin(), direction.end());
  }
  return section;
}

SectionPlan plan(const Network& network, const Section& section, Loss loss = Loss::cross_entropy) {
  return plan_section(network, loss, section, Plan::automatic);
}

const Network kNetwork = mlp({5, 6, 7, 3}, Activation::tanh);  // blocks: W1 b1 W2 b2 W3 b3

TEST(SectionPlan, DenseDirectionsAreAffineInTheFirstLayer) {
  const SectionPlan p = plan(kNetwork, section_in(kNetwork, {0, 1, 2, 3, 4, 5}, 2));
  EXPECT_EQ(p.kind, PlanKind::joint);
  EXPECT_EQ(p.joint_index, 0);
  EXPECT_TRUE(p.sample_chain.empty());
  EXPECT_EQ(p.joint_sample.in, 5);
  EXPECT_EQ(p.joint_sample.weight_directions, (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(p.joint_point.in, 0);
  EXPECT_EQ(p.joint_point.bias_directions.size(), 2u);
  ASSERT_EQ(p.later.size(), 2u);
  EXPECT_FALSE(p.later[0].shared());
  EXPECT_FALSE(p.later[1].shared());
}

TEST(SectionPlan, LayersBelowTheFirstTouchedAreComputedOncePerSample) {
  const SectionPlan p = plan(kNetwork, section_in(kNetwork, {2}));
  EXPECT_EQ(p.kind, PlanKind::joint);
  EXPECT_EQ(p.joint_index, 1);
  ASSERT_EQ(p.sample_chain.size(), 1u);
  EXPECT_EQ(p.sample_chain[0].in, 5);
  EXPECT_EQ(p.sample_chain[0].out, 6);
  EXPECT_TRUE(p.point_chain.empty());
  ASSERT_EQ(p.later.size(), 1u);
  EXPECT_TRUE(p.later[0].shared());
}

TEST(SectionPlan, ABiasDirectionMovesTheBiasOnly) {
  const SectionPlan p = plan(kNetwork, section_in(kNetwork, {3}));
  EXPECT_EQ(p.joint_index, 1);
  EXPECT_TRUE(p.joint_sample.weight_directions.empty());
  EXPECT_EQ(p.joint_point.bias_directions.size(), 1u);
}

TEST(SectionPlan, LastLayerWithSquaredErrorIsQuadratic) {
  const Section section = section_in(kNetwork, {4, 5}, 3);
  EXPECT_EQ(plan(kNetwork, section, Loss::mean_squared_error).kind, PlanKind::quadratic);
  const SectionPlan p = plan(kNetwork, section, Loss::cross_entropy);
  EXPECT_EQ(p.kind, PlanKind::joint);
  EXPECT_EQ(p.joint_index, 2);
  EXPECT_TRUE(p.later.empty());
}

TEST(SectionPlan, TheoremOneHasNoSamples) {
  Section section = section_in(kNetwork, {1}, 2);
  for (std::size_t k = 0; k < 30; ++k) section.origin[k] = 0;
  const SectionPlan p = plan(kNetwork, section);
  EXPECT_EQ(p.kind, PlanKind::sample_free);
  ASSERT_EQ(p.point_chain.size(), 3u);
  EXPECT_EQ(p.point_chain[0].in, 0);
  EXPECT_EQ(p.point_chain[0].out, 6);
  EXPECT_EQ(p.point_chain[2].out, 3);
  section.origin[7] = 1e-6;  // one weight brings the data back
  EXPECT_EQ(plan(kNetwork, section).kind, PlanKind::joint);
  section.origin[7] = 0;
  section.directions[section.origin.size() + 7] = 1e-6;  // so does one entry of a direction
  EXPECT_EQ(plan(kNetwork, section).kind, PlanKind::joint);
}

TEST(SectionPlan, TheoremTwoSplitsTheSecondLayer) {
  Section section = section_in(kNetwork, {}, 2);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t k = 0; k < 5; ++k) section.origin[i * 5 + k] = 0;
    section.directions[i * section.origin.size() + 30 + i] = 1;
  }
  const SectionPlan p = plan(kNetwork, section);
  EXPECT_EQ(p.kind, PlanKind::joint);
  EXPECT_EQ(p.joint_index, 1);
  ASSERT_EQ(p.sample_chain.size(), 1u);
  EXPECT_EQ(p.sample_chain[0].out, 4);
  ASSERT_EQ(p.point_chain.size(), 1u);
  EXPECT_EQ(p.point_chain[0].in, 0);
  EXPECT_EQ(p.point_chain[0].out, 2);
  EXPECT_EQ(p.joint_sample.in, 4);
  EXPECT_EQ(p.joint_point.in, 2);
  const std::string text = p.explain(1000, 64, Precision::f32);
  EXPECT_NE(text.find("once per point: layer 2, 2→7"), std::string::npos) << text;
}

TEST(SectionPlan, DeadUnitsAreLeftOut) {
  Section section = section_in(kNetwork, {1});
  for (std::int64_t row = 0; row < 7; ++row) section.origin[static_cast<std::size_t>(36 + row * 6 + 4)] = 0;
  EXPECT_EQ(plan(kNetwork, section).joint_sample.out, 5);
}

TEST(SectionPlan, DirectTakesEverything) {
  const SectionPlan p = plan_section(kNetwork, Loss::mean_squared_error, section_in(kNetwork, {4}), Plan::direct);
  EXPECT_EQ(p.kind, PlanKind::direct);
  ASSERT_EQ(p.later.size(), 3u);
  EXPECT_EQ(p.later[0].in, 5);
  EXPECT_TRUE(p.later[0].shared());
  EXPECT_FALSE(p.later[2].shared());
}

TEST(SectionPlan, CountsByHand) {
  const SectionPlan p = plan(kNetwork, section_in(kNetwork, {0, 1, 2, 3, 4, 5}, 2));
  const PlanCost cost = p.cost(1000, 64, Precision::f32);
  EXPECT_EQ(cost.once_flop, 1000.0 * 3 * 2 * 5 * 6);
  EXPECT_EQ(cost.pair_flop, 2 * 2 * 6 + 6 + 2 * 6 * 7 + 2 * 7 * 3);
  EXPECT_EQ(cost.pair_transcendental, 6 + 7 + 3 + 1);
  const std::string text = p.explain(1000, 64, Precision::f32);
  EXPECT_NE(text.find("layer 1 affine in α, 5→6, 3 products"), std::string::npos) << text;
  EXPECT_NE(text.find("64 points, 1000 samples, f32"), std::string::npos) << text;
}

TEST(SectionPlan, TotalsOfACachedPrefixByHand) {
  const SectionPlan p = plan(kNetwork, section_in(kNetwork, {2}));  // z = 1; 5→6 once, 6→7 affine, 7→3 shared
  const PlanCost cost = p.cost(1000, 64, Precision::f32);
  EXPECT_EQ(cost.once_transcendental, 1000.0 * 6);
  EXPECT_EQ(cost.flop(1000, 64), cost.once_flop + 64 * cost.point_flop + 64000.0 * (2 * 7 + 7 + 2 * 7 * 3));
  EXPECT_EQ(cost.transcendental(1000, 64), 6000 + 64000.0 * (7 + 3 + 1));
  const double parameters = (6 * 5 + 6) + (2 * 7 * 6 + 7) + (3 * 7 + 3), affine = 1000.0 * 2 * 7;
  EXPECT_EQ(cost.bytes, 4 * (1000 * 5 + parameters + 2 * affine) + 8 * 64 * 2);
  const std::string text = p.explain(1000, 64, Precision::f32);
  EXPECT_NE(text.find("direct plan: at least 11.9 MFLOP, 2.79 times as many"), std::string::npos) << text;
  EXPECT_NE(text.find("transcendental functions: 710 k\n"), std::string::npos) << text;
}

// 2z FLOP a unit of the affine layer against twice those of the whole network.
TEST(SectionPlan, ManyDirectionsOfFewInputsAreDirect) {
  const Network network = mlp({2, 6, 3}, Activation::tanh);
  const std::vector<std::size_t> all = {0, 1, 2, 3};
  const double direct = 2 * 2 * 6 + 2 * 6 * 3;
  for (const std::int64_t rank : {5, 6, 7, 8, 9, 10, 11, 12}) {
    const double joint = 2 * static_cast<double>(rank) * 6 + 6 + 2 * 6 * 3;
    const SectionPlan p = plan(network, section_in(network, all, rank));
    EXPECT_EQ(p.kind, 2 * direct < joint ? PlanKind::direct : PlanKind::joint) << rank;
    EXPECT_LE(p.cost(1, 1, Precision::f64).pair_flop, 2 * direct) << rank;
  }
}

TEST(SectionPlan, AReluIsNoSpecialFunction) {
  const Network network = mlp({5, 6, 7, 3}, Activation::relu);
  const PlanCost cost = plan(network, section_in(network, {0, 1, 2, 3, 4, 5})).cost(1000, 64, Precision::f32);
  EXPECT_EQ(cost.pair_transcendental, 3 + 1);
  EXPECT_EQ(cost.pair_flop, 2 * 6 + 6 + 6 + 2 * 6 * 7 + 7 + 2 * 7 * 3);
}

TEST(SectionPlan, BadArguments) {
  Section section = section_in(kNetwork, {0});
  section.origin.pop_back();
  EXPECT_ERROR(plan(kNetwork, section), InvalidArgument, "expected 109");
  section = section_in(kNetwork, {0});
  section.directions.pop_back();
  EXPECT_ERROR(plan(kNetwork, section), InvalidArgument, "directions");
}

}  // namespace
}  // namespace lossatlas
