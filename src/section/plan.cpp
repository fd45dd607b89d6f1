#include "section/plan.hpp"

#include <variant>

#include "base/check.hpp"
#include "layers/structure.hpp"
#include "section/dependence.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas {
namespace {

/// Index of the first layer of a chain with a live unit that depends on both x and α; the last layer if only the
/// outputs as a whole do; depth() if no output depends on x.
std::int64_t joint_layer(const Dependence& units) {
  const std::int64_t depth = units.network().depth();
  for (std::int64_t l = 0; l < depth; ++l) {
    if (units.is_joint(l)) return l;
  }
  return units.depends_on_sample(depth - 1) ? depth - 1 : depth;
}

void plan_joint(SectionPlan& plan, const Dependence& units, std::int64_t joint) {
  plan.joint_index = joint;
  for (std::int64_t l = 0; l < joint; ++l) {
    const Units below = l == 0 ? units.all(-1) : units.not_point(l - 1);
    const Units above = l + 1 == joint ? units.sample_only(l) : units.not_point(l);
    plan.sample_chain.push_back(units.extract(l, above, below, true));
    plan.point_chain.push_back(units.extract(l, units.not_sample(l), units.not_sample(l - 1), true));
  }
  const Units rows = units.live(joint);
  const Units sample_units = joint == 0 ? units.all(-1) : units.sample_only(joint - 1);
  plan.joint_sample = units.extract(joint, rows, sample_units, false);
  plan.joint_point = units.extract(joint, rows, units.not_sample(joint - 1), true);
  if (plan.joint_point.in == 0) plan.point_chain.clear();
  const std::int64_t depth = units.network().depth();
  for (std::int64_t l = joint + 1; l < depth; ++l) {
    plan.later.push_back(units.extract(l, units.live(l), units.live(l - 1), true));
  }
  const bool last = joint + 1 == depth;
  if (last && plan.loss == Loss::mean_squared_error && plan.joint_point.in == 0) plan.kind = PlanKind::quadratic;
}

/// Fills in the plan of a chain of dense layers.
void plan_chain(SectionPlan& plan, const Dependence& units, Plan choice) {
  const std::int64_t joint = joint_layer(units), depth = units.network().depth();
  if (choice == Plan::direct) {
    plan.kind = PlanKind::direct;
    for (std::int64_t l = 0; l < depth; ++l) {
      plan.later.push_back(units.extract(l, units.all(l), units.all(l - 1), true));
    }
  } else if (joint < depth) {
    plan_joint(plan, units, joint);
  } else {
    plan.kind = PlanKind::sample_free;
    for (std::int64_t l = 0; l < depth; ++l) {
      plan.point_chain.push_back(units.extract(l, units.not_sample(l), units.not_sample(l - 1), true));
    }
  }
}

// The affine layer costs 2z FLOP per unit instead of 2 per input: with many directions and few inputs the direct plan
// is cheaper. It must be so by a factor of 2, as its kernels fuse less. N and G must not decide: a point's bits must
// not depend on the points evaluated with it.
bool direct_is_cheaper(const SectionPlan& plan) {
  return plan.kind == PlanKind::joint && 2 * plan.network_flop < plan.cost(1, 1, Precision::f64).pair_flop;
}

}  // namespace

SectionPlan plan_section(const Network& network, Loss loss, const Section& section, Plan choice,
                         const Control& control) {
  require(section.parameters() == network.parameter_count(), "plan_section", "received a section of ",
          section.parameters(), " parameters, expected ", network.parameter_count(), " of ", network.describe());
  require(section.rank() >= 1 && section.directions.size() % section.origin.size() == 0, "plan_section", "received ",
          section.directions.size(), " entries of directions, expected a positive multiple of ", section.parameters());
  require(section.ends.empty() || section.ends.size() == section.directions.size(), "plan_section", "received ",
          section.ends.size(), " entries of ends, expected none or the ", section.directions.size(),
          " of the directions");
  const Dependence units(network, section, control);
  SectionPlan plan;
  plan.loss = loss;
  plan.rank = section.rank();
  plan.heads = network.heads();
  plan.outputs = network.outputs();
  for (const Node& node : network.nodes()) {
    std::vector<Shape> inputs;
    for (const std::int32_t input : node.inputs) inputs.push_back(network.shape(input));
    plan.network_flop += std::visit([&](const auto& layer) { return layer_flop(layer, inputs); }, node.layer);
  }
  const SectionPlan empty = plan;
  const auto fill = is_dense_chain(network) ? plan_chain : plan_graph;
  fill(plan, units, choice);
  if (direct_is_cheaper(plan)) {
    plan = empty;
    fill(plan, units, Plan::direct);
  }
  plan.pair_work = pair_work(plan.outputs, lists_of(plan));
  return plan;
}

}  // namespace lossatlas
