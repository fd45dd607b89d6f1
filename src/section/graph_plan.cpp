#include "section/graph_plan.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "model/graph.hpp"

namespace lossatlas {
namespace {

/// An affine value's A_0 and A_d in the sample list, B in the point list.
struct AffineValue {
  std::int32_t origin = kNoValue;
  std::map<std::int32_t, std::int32_t> moving;
  std::int32_t offset = kNoValue;
};

class GraphPlanner {
 public:
  GraphPlanner(const Dependence& units, GraphPlan& plan)
      : units_(units), network_(units.network()), plan_(plan), lists_(plan.lists), consumers_(consumers(network_)) {
    for (std::int64_t l = 0; l < network_.depth(); ++l) kinds_.push_back(kind_of(l));
  }

  /// All nodes and units for every pair; x is the only crossing.
  void direct() {
    lists_.crossings.push_back({-1, network_.inputs(), Activation::identity, {-1}, {}, kNoValue});
    for (std::int64_t l = 0; l < network_.depth(); ++l) {
      if (adds(l)) {
        lists_.pair.push_back(sum_step(l, node(l).inputs));
      } else {
        const std::int32_t input = node(l).inputs.front();
        add_step(lists_.pair, own(units_.extract(l, units_.all(l), units_.all(input), true)), PlanStep::kWhole,
                 {input});
      }
    }
  }

  void sample_free() { point_value(network_.depth() - 1); }

  void joint() {
    const std::int64_t last = network_.depth() - 1;
    pair_value(last);
  }

  /// Replaces the point list by the output's offset as parts b_d, if it is affine in α; returns whether.
  bool make_offset_affine() {
    Crossing& output = lists_.crossings.front();
    const std::optional<Parts> parts = fold(output.offset);
    if (!parts) return false;
    ChainLayer layer;
    layer.out = output.units;
    for (const auto& [direction, values] : *parts) {
      if (direction >= 0) layer.bias_directions.push_back(direction);
      if (layer.biases.empty() && direction >= 0) layer.biases.resize(static_cast<std::size_t>(layer.out));  // of θ₀
      layer.biases.insert(layer.biases.end(), values.begin(), values.end());
    }
    lists_.point.clear();
    output.offset = kNoValue;
    if (layer.biases.empty()) return true;
    add_step(lists_.point, own(std::move(layer)), PlanStep::kLinear, {});
    output.offset = 0;
    return true;
  }

 private:
  enum class Kind { early, affine, pair };
  using Parts = std::map<std::int32_t, std::vector<double>>;  ///< by direction; −1: θ₀

  const Node& node(std::int64_t l) const { return network_.nodes()[static_cast<std::size_t>(l)]; }
  bool adds(std::int64_t l) const { return std::holds_alternative<Add>(node(l).layer); }
  bool is_early(std::int64_t l) const { return l < 0 || kinds_[static_cast<std::size_t>(l)] == Kind::early; }
  bool is_affine(std::int64_t l) const { return l >= 0 && kinds_[static_cast<std::size_t>(l)] == Kind::affine; }
  bool is_linear(std::int64_t l) const { return is_affine(l) && activation(node(l).layer) == Activation::identity; }

  Kind kind_of(std::int64_t l) const {
    if (l + 1 < network_.depth() && !units_.is_joint(l)) return Kind::early;
    bool affine = true;
    for (const std::int32_t input : node(l).inputs) {
      affine = affine && (is_early(input) || (is_linear(input) && (adds(l) || !units_.moves_weights(l))));
    }
    return affine ? Kind::affine : Kind::pair;
  }

  const ChainLayer* own(ChainLayer layer) { return &plan_.layers.emplace_back(std::move(layer)); }

  std::int32_t add_step(std::vector<PlanStep>& list, const ChainLayer* layer, std::int32_t part,
                        std::vector<std::int32_t> inputs) {
    const Activation activation = part == PlanStep::kWhole ? layer->activation : Activation::identity;
    list.push_back({layer, part, std::move(inputs), layer->out, activation});
    return static_cast<std::int32_t>(list.size()) - 1;
  }

  PlanStep sum_step(std::int64_t l, std::vector<std::int32_t> terms) const {
    return {nullptr, PlanStep::kWhole, std::move(terms), network_.width(l), activation(node(l).layer)};
  }

  /// The sum of values of a list, without an activation.
  std::int32_t sum_of(std::vector<PlanStep>& list, std::vector<std::int32_t> terms, std::int64_t units) {
    if (terms.empty()) return kNoValue;
    if (terms.size() == 1) return terms.front();
    list.push_back({nullptr, PlanStep::kLinear, std::move(terms), units, Activation::identity});
    return static_cast<std::int32_t>(list.size()) - 1;
  }

  /// Whether the sample list takes a node's constant units too, not only an affine layer its others.
  bool takes_constants(std::int64_t l) const {
    return std::ranges::any_of(consumers_[static_cast<std::size_t>(l)],
                               [&](std::int64_t next) { return adds(next) || is_early(next); });
  }
  /// Units of an early node's value in the sample list.
  Units sample_units(std::int64_t l) const {
    if (l < 0) return units_.all(-1);
    return takes_constants(l) ? units_.not_point(l) : units_.sample_only(l);
  }

  /// An early node's value in the sample list.
  std::int32_t sample_value(std::int64_t l) {
    if (l < 0) return -1;
    const auto [found, is_new] = sample_values_.try_emplace(l, kNoValue);
    if (!is_new) return found->second;
    std::int32_t value = 0;
    if (adds(l)) {
      std::vector<std::int32_t> terms;
      for (const std::int32_t input : node(l).inputs) terms.push_back(sample_value(input));
      lists_.sample.push_back(sum_step(l, std::move(terms)));
      value = static_cast<std::int32_t>(lists_.sample.size()) - 1;
    } else {
      const std::int32_t input = node(l).inputs.front();
      const Units cols = sample_units(input);
      std::vector<std::int32_t> inputs;
      if (!cols.empty()) inputs.push_back(sample_value(input));
      value = add_step(lists_.sample, own(units_.extract(l, sample_units(l), cols, true)), PlanStep::kWhole,
                       std::move(inputs));
    }
    return sample_values_[l] = value;
  }

  /// Units of an early node's value in the point list.
  Units point_units(std::int64_t l) const { return l < 0 ? Units{} : units_.not_sample(l); }

  /// An early node's value in the point list.
  std::int32_t point_value(std::int64_t l) {
    const auto [found, is_new] = point_values_.try_emplace(l, kNoValue);
    if (!is_new) return found->second;
    std::int32_t value = 0;
    if (adds(l)) {
      std::vector<std::int32_t> terms;
      for (const std::int32_t input : node(l).inputs) terms.push_back(point_value(input));
      lists_.point.push_back(sum_step(l, std::move(terms)));
      value = static_cast<std::int32_t>(lists_.point.size()) - 1;
    } else {
      const std::int32_t input = node(l).inputs.front();
      const Units cols = point_units(input);
      std::vector<std::int32_t> inputs;
      if (!cols.empty()) inputs.push_back(point_value(input));
      value = add_step(lists_.point, own(units_.extract(l, point_units(l), cols, true)), PlanStep::kWhole,
                       std::move(inputs));
    }
    return point_values_[l] = value;
  }

  const AffineValue& affine_value(std::int64_t l) {
    const auto found = affine_values_.find(l);
    if (found != affine_values_.end()) return found->second;
    return affine_values_[l] = adds(l)                            ? affine_sum(l)
                               : is_early(node(l).inputs.front()) ? affine_of_early(l)
                                                                  : affine_of_affine(l);
  }

  AffineValue affine_of_early(std::int64_t l) {
    const std::int32_t input = node(l).inputs.front();
    const Units cols = sample_units(input), rows = units_.live(l), offset_cols = point_units(input);
    ChainLayer parts = units_.extract(l, rows, cols, false);
    for (std::size_t w = 0; w < parts.weights.size(); ++w) {  // B has the constant units
      if (!units_.depends_on_sample(input, cols[w % cols.size()])) parts.weights[w] = 0;
    }
    std::vector<std::int32_t> inputs;
    if (!cols.empty()) inputs.push_back(sample_value(input));
    AffineValue value = products(own(std::move(parts)), inputs);
    std::vector<std::int32_t> offsets;
    if (!offset_cols.empty()) offsets.push_back(point_value(input));
    value.offset = offset_layer(units_.extract(l, rows, offset_cols, true), std::move(offsets));
    return value;
  }

  AffineValue affine_of_affine(std::int64_t l) {
    const std::int32_t input = node(l).inputs.front();
    const Units rows = units_.live(l), cols = units_.live(input);
    const AffineValue below = affine_value(input);
    const ChainLayer* weights = own(units_.extract(l, rows, cols, false));
    AffineValue value;
    value.origin = add_step(lists_.sample, weights, 0, {below.origin});
    for (const auto& [direction, part] : below.moving) {
      value.moving[direction] = add_step(lists_.sample, weights, 0, {part});
    }
    const bool none = below.offset == kNoValue;
    value.offset = offset_layer(units_.extract(l, rows, none ? Units{} : cols, true),
                                none ? std::vector<std::int32_t>{} : std::vector<std::int32_t>{below.offset});
    return value;
  }

  AffineValue affine_sum(std::int64_t l) {
    std::vector<std::int32_t> origins, offsets;
    std::map<std::int32_t, std::vector<std::int32_t>> moving;
    for (const std::int32_t input : node(l).inputs) {
      const AffineValue term = is_affine(input) ? affine_value(input) : early_value(input);
      if (term.origin != kNoValue) origins.push_back(term.origin);
      if (term.offset != kNoValue) offsets.push_back(term.offset);
      for (const auto& [direction, part] : term.moving) moving[direction].push_back(part);
    }
    AffineValue value;
    value.origin = sum_of(lists_.sample, std::move(origins), network_.width(l));
    value.offset = sum_of(lists_.point, std::move(offsets), network_.width(l));
    for (auto& [direction, parts] : moving) {
      value.moving[direction] = sum_of(lists_.sample, std::move(parts), network_.width(l));
    }
    return value;
  }

  /// The value of an early node that an Add takes, so that it counts as a whole.
  AffineValue early_value(std::int64_t l) {
    if (units_.depends_on_sample(l)) return {sample_value(l), {}, kNoValue};
    return {kNoValue, {}, point_value(l)};
  }

  /// Each W_part v.
  AffineValue products(const ChainLayer* layer, const std::vector<std::int32_t>& inputs) {
    AffineValue value;
    value.origin = add_step(lists_.sample, layer, 0, inputs);
    for (std::size_t k = 0; k < layer->weight_directions.size(); ++k) {
      value.moving[layer->weight_directions[k]] =
          add_step(lists_.sample, layer, static_cast<std::int32_t>(k) + 1, inputs);
    }
    return value;
  }

  std::int32_t offset_layer(ChainLayer layer, std::vector<std::int32_t> inputs) {
    if (inputs.empty() && layer.biases.empty()) return kNoValue;
    return add_step(lists_.point, own(std::move(layer)), PlanStep::kLinear, std::move(inputs));
  }

  /// The crossing of a node that is not joint.
  std::int32_t crossing(std::int64_t l) {
    const auto [found, is_new] = crossings_.try_emplace(l, 0);
    if (!is_new) return found->second;
    AffineValue value = is_affine(l) ? affine_value(l) : early_value(l);
    const std::int64_t units = std::ssize(units_.live(l));
    if (value.origin == kNoValue) {  // depends on the point alone: A_0 = 0
      ChainLayer zero;
      zero.out = units;
      value.origin = add_step(lists_.sample, own(std::move(zero)), PlanStep::kLinear, {});
    }
    Crossing result{l, units, Activation::identity, {value.origin}, {}, value.offset};
    if (is_affine(l)) result.activation = activation(node(l).layer);
    for (const auto& [direction, part] : value.moving) {
      result.parts.push_back(part);
      result.directions.push_back(direction);
    }
    lists_.crossings.push_back(std::move(result));
    return crossings_[l] = -static_cast<std::int32_t>(lists_.crossings.size());
  }

  /// A node's value in the pair list, or its crossing.
  std::int32_t pair_value(std::int64_t l) {
    if (is_early(l) || is_affine(l)) return crossing(l);
    const auto [found, is_new] = pair_values_.try_emplace(l, kNoValue);
    if (!is_new) return found->second;
    std::vector<std::int32_t> inputs;
    for (const std::int32_t input : node(l).inputs) inputs.push_back(pair_value(input));
    if (adds(l)) {
      lists_.pair.push_back(sum_step(l, std::move(inputs)));
    } else {
      add_step(lists_.pair, own(units_.extract(l, units_.live(l), units_.live(node(l).inputs.front()), true)),
               PlanStep::kWhole, std::move(inputs));
    }
    return pair_values_[l] = static_cast<std::int32_t>(lists_.pair.size()) - 1;
  }

  /// A value of the point list as parts that α_d multiplies; nothing if it is not affine in α.
  std::optional<Parts> fold(std::int32_t value) const {
    if (value == kNoValue) return Parts{};
    const PlanStep& step = lists_.point[static_cast<std::size_t>(value)];
    if (step.activation != Activation::identity) return std::nullopt;
    Parts result;
    const auto add = [&](std::int32_t direction, std::size_t unit, double term) {
      std::vector<double>& values = result[direction];
      values.resize(static_cast<std::size_t>(step.out));
      values[unit] += term;
    };
    for (const std::int32_t input : step.inputs) {
      if (!step.adds() && !step.layer->weight_directions.empty()) return std::nullopt;
      const std::optional<Parts> below = fold(input);
      if (!below) return std::nullopt;
      for (const auto& [direction, values] : *below) {
        for (std::size_t unit = 0; unit < static_cast<std::size_t>(step.out); ++unit) {
          for (std::size_t k = 0; k < values.size(); ++k) {
            if (step.adds()) {
              if (k == unit) add(direction, unit, values[k]);
            } else {
              add(direction, unit, step.layer->weights[unit * values.size() + k] * values[k]);
            }
          }
        }
      }
    }
    if (step.adds()) return result;
    for (std::size_t i = 0; i < step.layer->biases.size(); ++i) {
      const auto out = static_cast<std::size_t>(step.out);
      add(i < out ? -1 : step.layer->bias_directions[i / out - 1], i % out, step.layer->biases[i]);
    }
    return result;
  }

  const Dependence& units_;
  const Network& network_;
  GraphPlan& plan_;
  PlanLists& lists_;
  std::vector<std::vector<std::int64_t>> consumers_;
  std::vector<Kind> kinds_;
  std::map<std::int64_t, std::int32_t> sample_values_, point_values_, pair_values_, crossings_;
  std::map<std::int64_t, AffineValue> affine_values_;
};

/// For a list that starts from `starts` values; the buffers of the values `kept`, and of the last, are never used
/// again.
ValueSlots assign_slots(std::span<const PlanStep> steps, std::int64_t starts, const std::vector<std::int32_t>& kept) {
  const auto index = [&](std::int32_t value) { return static_cast<std::size_t>(starts + value); };
  constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
  // The last step that takes each value; starts come first, in the order −starts, ..., −1.
  std::vector<std::size_t> last(static_cast<std::size_t>(starts) + steps.size());
  for (std::size_t s = 0; s < steps.size(); ++s) {
    last[index(static_cast<std::int32_t>(s))] = s;
    for (const std::int32_t input : steps[s].inputs) last[index(input)] = std::max(last[index(input)], s);
  }
  for (const std::int32_t value : kept) last[index(value)] = kNever;
  if (!last.empty()) last.back() = kNever;
  ValueSlots slots;
  std::vector<std::size_t> free_after;  // of each buffer; kNever while its value is kept
  const auto take = [&](std::size_t now, std::size_t until) {
    for (std::size_t b = 0; b < free_after.size(); ++b) {
      if (free_after[b] == kNever || free_after[b] >= now) continue;
      free_after[b] = until;
      return static_cast<std::int32_t>(b);
    }
    free_after.push_back(until);
    return static_cast<std::int32_t>(free_after.size()) - 1;
  };
  slots.starts.resize(static_cast<std::size_t>(starts));
  for (std::int64_t k = 0; k < starts; ++k) {
    slots.starts[static_cast<std::size_t>(k)] = take(0, last[static_cast<std::size_t>(starts - 1 - k)]);
  }
  for (std::size_t s = 0; s < steps.size(); ++s) {
    slots.steps.push_back(take(s, last[static_cast<std::size_t>(starts) + s]));
  }
  slots.count = static_cast<std::int32_t>(free_after.size());
  return slots;
}

/// Assigns the buffers of all lists.
void set_slots(PlanLists& lists) {
  std::vector<std::int32_t> offsets;
  for (const Crossing& crossing : lists.crossings) {
    if (crossing.offset != kNoValue) offsets.push_back(crossing.offset);
  }
  lists.sample_slots = assign_slots(lists.sample, 1, {});
  lists.point_slots = assign_slots(lists.point, 0, offsets);
  lists.pair_slots = assign_slots(lists.pair, std::ssize(lists.crossings), {});
}

}  // namespace

double pair_work(std::int64_t outputs, const PlanLists& lists) {
  constexpr double kActivation = 30;  // also of an output's loss
  double flop = static_cast<double>(outputs) * kActivation;
  for (const Crossing& crossing : lists.crossings) {
    if (crossing.is_plain()) continue;
    flop += static_cast<double>(crossing.units) * (2 * static_cast<double>(crossing.parts.size()) + kActivation);
  }
  for (const PlanStep& step : lists.pair) {
    const auto in = static_cast<double>(step.adds() ? step.inputs.size() : static_cast<std::size_t>(step.layer->in));
    flop += static_cast<double>(step.out) * (2 * in + kActivation);
  }
  return flop;
}

void plan_graph(SectionPlan& plan, const Dependence& units, Plan choice) {
  const auto graph = std::make_shared<GraphPlan>();
  GraphPlanner planner(units, *graph);
  if (choice == Plan::direct) {
    plan.kind = PlanKind::direct;
    planner.direct();
  } else if (!units.depends_on_sample(units.network().depth() - 1)) {
    plan.kind = PlanKind::sample_free;
    planner.sample_free();
  } else {
    planner.joint();
    const bool affine = graph->lists.pair.empty() && plan.loss == Loss::mean_squared_error;
    if (affine && planner.make_offset_affine()) plan.kind = PlanKind::quadratic;
  }
  set_slots(graph->lists);
  plan.graph = graph;
}

PlanLists lists_of(const SectionPlan& plan) {
  if (plan.graph) return plan.graph->lists;
  PlanLists lists;
  const auto append = [](std::vector<PlanStep>& list, const ChainLayer& layer, std::int32_t part, std::int32_t input) {
    const bool whole = part == PlanStep::kWhole;
    list.push_back({&layer, part, {}, layer.out, whole ? layer.activation : Activation::identity});
    if (layer.in > 0) list.back().inputs.push_back(input);
    return static_cast<std::int32_t>(list.size()) - 1;
  };
  const auto chain = [&](std::vector<PlanStep>& list, const std::vector<ChainLayer>& layers) {
    for (const ChainLayer& layer : layers) {
      append(list, layer, PlanStep::kWhole, static_cast<std::int32_t>(list.size()) - 1);
    }
  };
  chain(lists.sample, plan.sample_chain);
  chain(lists.point, plan.point_chain);
  chain(lists.pair, plan.later);
  if (plan.kind == PlanKind::direct) {
    lists.crossings.push_back({-1, plan.later.front().in, Activation::identity, {-1}, {}, kNoValue});
  }
  if (plan.kind == PlanKind::direct || plan.kind == PlanKind::sample_free) {
    set_slots(lists);
    return lists;
  }
  const ChainLayer& sample = plan.joint_sample;
  Crossing crossing{plan.joint_index, sample.out, sample.activation, {}, sample.weight_directions, kNoValue};
  const auto input = static_cast<std::int32_t>(lists.sample.size()) - 1;
  for (std::size_t part = 0; part <= sample.weight_directions.size(); ++part) {
    crossing.parts.push_back(append(lists.sample, sample, static_cast<std::int32_t>(part), input));
  }
  crossing.offset =
      append(lists.point, plan.joint_point, PlanStep::kLinear, static_cast<std::int32_t>(lists.point.size()) - 1);
  lists.crossings.push_back(std::move(crossing));
  set_slots(lists);
  return lists;
}

}  // namespace lossatlas
