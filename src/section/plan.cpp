#include "section/plan.hpp"

#include <algorithm>
#include <numeric>

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "layers/structure.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

using Units = std::vector<std::int32_t>;

/// Which entries of one layer are non-zero anywhere on the section, and which of them α moves.
struct Support {
  std::int64_t in = 0, out = 0;
  std::vector<char> used;        // (out, in): non-zero in θ₀ or in a direction
  std::vector<char> moved;       // (out): some direction moves a weight into the unit
  std::vector<char> bias_moved;  // (out)
  std::int64_t directions = 0;   // number of directions that move a weight
};

/// What the units of one layer depend on, and whether the output can depend on them. Index 0 is the input.
struct UnitFlags {
  std::vector<char> sample, point, live;
};

class Planner {
 public:
  Planner(const Network& network, const Section& section, const Control& control)
      : network_(network), layers_(dense_chain(network, "plan_section")), section_(section), control_(control) {
    for (std::int64_t l = 0; l < network.depth(); ++l) supports_.push_back(support(l));
    mark_dependence();
    mark_live();
  }

  std::int64_t depth() const { return network_.depth(); }

  /// Index of the first layer with a live unit that depends on both x and α; the last layer if only the outputs as a
  /// whole do; depth() if no output depends on x.
  std::int64_t joint_layer() const {
    for (std::int64_t l = 1; l <= depth(); ++l) {
      const UnitFlags& flags = flags_[static_cast<std::size_t>(l)];
      for (std::size_t j = 0; j < flags.live.size(); ++j) {
        if (flags.live[j] && flags.sample[j] && flags.point[j]) return l - 1;
      }
    }
    const std::vector<char>& outputs = flags_.back().sample;
    const bool sample_free = std::none_of(outputs.begin(), outputs.end(), [](char flag) { return flag; });
    return sample_free ? depth() : depth() - 1;
  }

  Units all_inputs() const {
    Units units(flags_[0].live.size());
    for (std::size_t i = 0; i < units.size(); ++i) units[i] = static_cast<std::int32_t>(i);
    return units;
  }
  /// Live units after `layers` layers that satisfy keep(sample, point).
  template <class Keep>
  Units units(std::int64_t layers, Keep&& keep) const {
    const UnitFlags& flags = flags_[static_cast<std::size_t>(layers)];
    Units result;
    for (std::size_t j = 0; j < flags.live.size(); ++j) {
      if (flags.live[j] && keep(flags.sample[j] != 0, flags.point[j] != 0))
        result.push_back(static_cast<std::int32_t>(j));
    }
    return result;
  }
  Units live(std::int64_t layers) const {
    return units(layers, [](bool, bool) { return true; });
  }
  Units not_point(std::int64_t layers) const {
    return units(layers, [](bool, bool point) { return !point; });
  }
  Units not_sample(std::int64_t layers) const {
    if (layers == 0) return {};
    return units(layers, [](bool sample, bool) { return !sample; });
  }
  Units sample_only(std::int64_t layers) const {
    return units(layers, [](bool sample, bool point) { return sample && !point; });
  }

  /// Extracts layer `index` between chosen units, with the directions that move any of it.
  ChainLayer extract(std::int64_t index, const Units& rows, const Units& cols, bool with_bias) const {
    const Dense& dense = layers_[static_cast<std::size_t>(index)];
    ChainLayer layer;
    layer.in = static_cast<std::int64_t>(cols.size());
    layer.out = static_cast<std::int64_t>(rows.size());
    layer.activation = dense.activation;
    const std::int64_t parts = 1 + supports_[static_cast<std::size_t>(index)].directions;
    layer.weights.reserve(static_cast<std::size_t>(parts * layer.out * layer.in));
    prefer_large_pages(layer.weights.data(), 8 * layer.weights.capacity());
    append_weights(layer.weights, section_.origin, index, rows, cols);
    if (with_bias && dense.bias) append_bias(layer.biases, section_.origin, index, rows);
    for (std::int64_t i = 0; i < section_.rank(); ++i) {
      if (append_moving(layer.weights,
                        [&](auto& to) { append_weights(to, section_.direction(i), index, rows, cols); })) {
        layer.weight_directions.push_back(static_cast<std::int32_t>(i));
      }
      if (layer.biases.empty()) continue;
      if (append_moving(layer.biases, [&](auto& to) { append_bias(to, section_.direction(i), index, rows); })) {
        layer.bias_directions.push_back(static_cast<std::int32_t>(i));
      }
    }
    return layer;
  }

 private:
  Support support(std::int64_t index) const {
    const auto weight = network_.view(section_.origin, index).weight;
    Support result{weight.cols, weight.rows, {}, {}, {}, 0};
    result.used.assign(static_cast<std::size_t>(weight.rows * weight.cols), 0);
    result.moved.assign(static_cast<std::size_t>(weight.rows), 0);
    result.bias_moved = result.moved;
    for (std::size_t k = 0; k < result.used.size(); ++k) result.used[k] = weight.data[k] != 0;
    for (std::int64_t i = 0; i < section_.rank(); ++i) {
      check_stop(control_);
      const auto view = network_.view(section_.direction(i), index);
      bool moves = false;
      for (std::size_t k = 0; k < result.used.size(); ++k) {
        if (view.weight.data[k] == 0) continue;
        moves = true;
        result.used[k] = 1;
        result.moved[k / static_cast<std::size_t>(weight.cols)] = 1;
      }
      for (std::size_t j = 0; j < view.bias.size(); ++j) result.bias_moved[j] |= view.bias[j] != 0;
      result.directions += moves;
    }
    return result;
  }

  void mark_dependence() {
    flags_.push_back({std::vector<char>(static_cast<std::size_t>(network_.inputs()), 1),
                      std::vector<char>(static_cast<std::size_t>(network_.inputs()), 0),
                      {}});
    for (const Support& support : supports_) {
      const UnitFlags& below = flags_.back();
      UnitFlags flags{std::vector<char>(support.moved.size(), 0), support.moved, {}};
      for (std::size_t j = 0; j < flags.point.size(); ++j) {
        flags.point[j] |= support.bias_moved[j];
        const char* used = support.used.data() + j * static_cast<std::size_t>(support.in);
        for (std::size_t i = 0; i < static_cast<std::size_t>(support.in); ++i) {
          flags.sample[j] |= used[i] & below.sample[i];
          flags.point[j] |= used[i] & below.point[i];
        }
      }
      flags_.push_back(std::move(flags));
    }
  }

  void mark_live() {
    flags_.back().live.assign(flags_.back().sample.size(), 1);
    for (std::size_t l = supports_.size(); l-- > 0;) {
      const auto in = static_cast<std::size_t>(supports_[l].in);
      flags_[l].live.assign(in, l == 0);  // inputs are always taken whole
      for (std::size_t j = 0; j < flags_[l + 1].live.size(); ++j) {
        if (!flags_[l + 1].live[j]) continue;
        for (std::size_t i = 0; i < in; ++i) flags_[l].live[i] |= supports_[l].used[j * in + i];
      }
    }
  }

  void append_weights(std::vector<double>& to, std::span<const double> theta, std::int64_t index, const Units& rows,
                      const Units& cols) const {
    const auto weight = network_.view(theta, index).weight;
    for (const std::int32_t row : rows) {
      check_stop(control_);
      for (const std::int32_t col : cols) to.push_back(weight(row, col));
    }
  }

  void append_bias(std::vector<double>& to, std::span<const double> theta, std::int64_t index,
                   const Units& rows) const {
    const auto bias = network_.view(theta, index).bias;
    for (const std::int32_t row : rows) to.push_back(bias[static_cast<std::size_t>(row)]);
  }

  /// Appends and returns true; if everything appended is zero, takes it back and returns false.
  template <class Append>
  static bool append_moving(std::vector<double>& to, Append&& append) {
    const auto before = static_cast<std::ptrdiff_t>(to.size());
    append(to);
    if (std::any_of(to.begin() + before, to.end(), [](double value) { return value != 0; })) return true;
    to.resize(static_cast<std::size_t>(before));
    return false;
  }

  const Network& network_;
  std::vector<Dense> layers_;
  const Section& section_;
  const Control& control_;
  std::vector<Support> supports_;
  std::vector<UnitFlags> flags_;
};

void plan_joint(SectionPlan& plan, const Planner& planner, std::int64_t joint) {
  plan.joint_index = joint;
  for (std::int64_t l = 0; l < joint; ++l) {
    const Units below = l == 0 ? planner.all_inputs() : planner.not_point(l);
    const Units above = l + 1 == joint ? planner.sample_only(l + 1) : planner.not_point(l + 1);
    plan.sample_chain.push_back(planner.extract(l, above, below, true));
    plan.point_chain.push_back(planner.extract(l, planner.not_sample(l + 1), planner.not_sample(l), true));
  }
  const Units rows = planner.live(joint + 1);
  const Units sample_units = joint == 0 ? planner.all_inputs() : planner.sample_only(joint);
  plan.joint_sample = planner.extract(joint, rows, sample_units, false);
  plan.joint_point = planner.extract(joint, rows, planner.not_sample(joint), true);
  if (plan.joint_point.in == 0) plan.point_chain.clear();
  for (std::int64_t l = joint + 1; l < planner.depth(); ++l) {
    plan.later.push_back(planner.extract(l, planner.live(l + 1), planner.live(l), true));
  }
  const bool last = joint + 1 == planner.depth();
  if (last && plan.loss == Loss::mean_squared_error && plan.joint_point.in == 0) plan.kind = PlanKind::quadratic;
}

Units first_units(std::int64_t count) {
  Units units(static_cast<std::size_t>(count));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

void plan_direct(SectionPlan& plan, const Planner& planner, const Network& network) {
  plan.kind = PlanKind::direct;
  Units below = first_units(network.inputs());
  for (std::int64_t l = 0; l < planner.depth(); ++l) {
    Units units = first_units(network.width(l));
    plan.later.push_back(planner.extract(l, units, below, true));
    below = std::move(units);
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
  const Planner planner(network, section, control);
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
  if (choice == Plan::direct) {
    plan_direct(plan, planner, network);
    return plan;
  }
  const std::int64_t joint = planner.joint_layer();
  if (joint < network.depth()) {
    const SectionPlan empty = plan;
    plan_joint(plan, planner, joint);
    if (!direct_is_cheaper(plan)) return plan;
    plan = empty;
    plan_direct(plan, planner, network);
    return plan;
  }
  plan.kind = PlanKind::sample_free;
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    plan.point_chain.push_back(planner.extract(l, planner.not_sample(l + 1), planner.not_sample(l), true));
  }
  return plan;
}

}  // namespace lossatlas
