// Divides a graph among the three lists of a plan.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "model/graph.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas {
namespace {

std::int32_t append(std::vector<PlanStep>& list, PlanStep step) {
  list.push_back(std::move(step));
  return static_cast<std::int32_t>(list.size()) - 1;
}

PlanStep layer_step(const ChainLayer& layer, std::int32_t part, std::vector<std::int32_t> inputs) {
  const Activation activation = part == PlanStep::kWhole ? layer.activation : Activation::identity;
  return {&layer, part, std::move(inputs), layer.out, activation};
}

/// The sum of values of a list, without an activation.
std::int32_t sum_of(std::vector<PlanStep>& list, std::vector<std::int32_t> terms, std::int64_t units) {
  if (terms.empty()) return kNoValue;
  if (terms.size() == 1) return terms.front();
  return append(list, {nullptr, PlanStep::kLinear, std::move(terms), units, Activation::identity});
}

/// A value of the point list as parts that α_d multiplies; direction −1 is θ₀.
using Parts = std::map<std::int32_t, std::vector<double>>;

void add_to(Parts& parts, std::int32_t direction, std::size_t units, std::size_t unit, double term) {
  std::vector<double>& values = parts[direction];
  values.resize(units);
  values[unit] += term;
}

/// The parts of a step from those of the values that it takes; nothing if it is not affine in α.
std::optional<Parts> fold(const PlanStep& step, const std::vector<std::optional<Parts>>& values) {
  if (step.activation != Activation::identity) return std::nullopt;
  const auto units = static_cast<std::size_t>(step.out);
  Parts result;
  for (const std::int32_t input : step.inputs) {
    const std::optional<Parts>& below = values[static_cast<std::size_t>(input)];
    if (!below || (!step.adds() && !step.layer->weight_directions.empty())) return std::nullopt;
    for (const auto& [direction, from] : *below) {
      for (std::size_t unit = 0; unit < units; ++unit) {
        double sum = step.adds() ? from[unit] : 0;
        for (std::size_t k = 0; !step.adds() && k < from.size(); ++k) {
          sum += step.layer->weights[unit * from.size() + k] * from[k];
        }
        add_to(result, direction, units, unit, sum);
      }
    }
  }
  if (step.adds()) return result;
  for (std::size_t i = 0; i < step.layer->biases.size(); ++i) {
    const std::int32_t direction = i < units ? -1 : step.layer->bias_directions[i / units - 1];
    add_to(result, direction, units, i % units, step.layer->biases[i]);
  }
  return result;
}

/// A layer without inputs whose biases are the parts.
ChainLayer bias_layer(const Parts& parts, std::int64_t units) {
  ChainLayer layer;
  layer.out = units;
  for (const auto& [direction, values] : parts) {
    if (direction >= 0 && layer.biases.empty()) layer.biases.resize(static_cast<std::size_t>(units));  // of θ₀
    if (direction >= 0) layer.bias_directions.push_back(direction);
    layer.biases.insert(layer.biases.end(), values.begin(), values.end());
  }
  return layer;
}

/// What the rule of graph_plan.hpp makes of each node.
enum class Kind { early, affine, pair };

/// An affine value's A_0 and A_d in the sample list, B in the point list.
struct AffineValue {
  std::int32_t origin = kNoValue;
  std::map<std::int32_t, std::int32_t> moving;
  std::int32_t offset = kNoValue;
};

/// Kinds of nodes, and which of their values the output needs, so that the lists hold nothing else.
class Needs {
 public:
  explicit Needs(const Dependence& units) : units_(units), consumers_(consumers(units.network())) {
    const std::int64_t depth = units.network().depth();
    for (std::int64_t l = 0; l < depth; ++l) kinds_.push_back(kind_of(l));
    for (auto* marks : {&sample, &point, &affine, &pair}) marks->assign(static_cast<std::size_t>(depth), 0);
    if (!units.depends_on_sample(depth - 1)) {
      need(point, depth - 1);
    } else {
      need(is_affine(depth - 1) ? affine : pair, depth - 1);
    }
    for (std::int64_t l = depth - 1; l >= 0; --l) mark_inputs(l);
  }

  const Node& node(std::int64_t l) const { return units_.network().nodes()[static_cast<std::size_t>(l)]; }
  bool adds(std::int64_t l) const { return std::holds_alternative<Add>(node(l).layer); }
  bool is_early(std::int64_t l) const { return l < 0 || kinds_[static_cast<std::size_t>(l)] == Kind::early; }
  bool is_affine(std::int64_t l) const { return l >= 0 && kinds_[static_cast<std::size_t>(l)] == Kind::affine; }

  /// Units of an early node's value in the sample list: without the constant ones if only affine layers take it.
  Units sample_units(std::int64_t l) const {
    if (l < 0) return units_.all(-1);
    const bool constants = std::ranges::any_of(consumers_[static_cast<std::size_t>(l)],
                                               [&](std::int64_t next) { return adds(next) || is_early(next); });
    return constants ? units_.not_point(l) : units_.sample_only(l);
  }
  /// Units of an early node's value in the point list.
  Units point_units(std::int64_t l) const { return l < 0 ? Units{} : units_.not_sample(l); }

  std::vector<char> sample, point, affine, pair;  ///< whether a node's value is needed in that form

 private:
  Kind kind_of(std::int64_t l) const {
    if (l + 1 < units_.network().depth() && !units_.is_joint(l)) return Kind::early;
    const bool keeps = adds(l) || !units_.moves_weights(l);
    const bool affine = std::ranges::all_of(node(l).inputs, [&](std::int32_t input) {
      return is_early(input) || (is_affine(input) && keeps && activation(node(input).layer) == Activation::identity);
    });
    return affine ? Kind::affine : Kind::pair;
  }

  static void need(std::vector<char>& marks, std::int64_t l) {
    if (l >= 0) marks[static_cast<std::size_t>(l)] = 1;
  }
  /// Of a node that an Add takes, so that it counts as a whole.
  void need_whole(std::int64_t l) {
    if (is_affine(l)) return need(affine, l);
    if (!is_early(l)) return need(pair, l);
    need(units_.depends_on_sample(l) ? sample : point, l);
  }

  void mark_inputs(std::int64_t l) {
    const auto at = static_cast<std::size_t>(l);
    for (const std::int32_t input : node(l).inputs) {
      if (affine[at] || pair[at]) {
        if (adds(l) || !is_early(input)) {
          need_whole(input);
        } else {
          if (!sample_units(input).empty()) need(sample, input);
          if (!point_units(input).empty()) need(point, input);
        }
      }
      if (sample[at] && !sample_units(input).empty()) need(sample, input);
      if (point[at] && !point_units(input).empty()) need(point, input);
    }
  }

  const Dependence& units_;
  std::vector<std::vector<std::int64_t>> consumers_;
  std::vector<Kind> kinds_;
};

class GraphPlanner {
 public:
  GraphPlanner(const Dependence& units, GraphPlan& plan) : units_(units), plan_(plan), lists_(plan.lists) {}

  /// All nodes and units for every pair; x is the only crossing.
  void direct() {
    const Network& network = units_.network();
    lists_.crossings.push_back({-1, network.inputs(), Activation::identity, {-1}, {}, kNoValue});
    for (std::int64_t l = 0; l < network.depth(); ++l) {
      const std::vector<std::int32_t>& inputs = network.nodes()[static_cast<std::size_t>(l)].inputs;
      if (std::holds_alternative<Add>(network.layer(l))) {
        append(lists_.pair, sum_step(l, inputs));
      } else {
        const ChainLayer& layer = own(units_.extract(l, units_.all(l), units_.all(inputs.front()), true));
        append(lists_.pair, layer_step(layer, PlanStep::kWhole, inputs));
      }
    }
  }

  /// What the output needs, each value once.
  void divide() {
    const Needs needs(units_);
    needs_ = &needs;
    const std::int64_t depth = units_.network().depth();
    for (auto* values : {&sample_values_, &point_values_, &pair_values_, &crossings_}) {
      values->assign(static_cast<std::size_t>(depth), kNoValue);
    }
    affine_values_.resize(static_cast<std::size_t>(depth));
    for (std::int64_t l = 0; l < depth; ++l) {
      const auto at = static_cast<std::size_t>(l);
      units_.check();
      if (needs.sample[at]) sample_values_[at] = early_step(lists_.sample, l, sample_values_, &Needs::sample_units);
      if (needs.point[at]) point_values_[at] = early_step(lists_.point, l, point_values_, &Needs::point_units);
      if (needs.affine[at]) affine_values_[at] = affine_value(l);
      if (needs.pair[at]) pair_values_[at] = pair_step(l);
    }
    if (needs.affine.back()) crossing(depth - 1);
  }

  /// Replaces the point list by the output's offset as parts b_d, if it is affine in α; returns whether.
  bool make_offset_affine() {
    Crossing& output = lists_.crossings.front();
    std::vector<std::optional<Parts>> values;
    for (const PlanStep& step : lists_.point) {
      units_.check();
      values.push_back(fold(step, values));
    }
    if (output.offset == kNoValue) return true;
    const std::optional<Parts>& parts = values[static_cast<std::size_t>(output.offset)];
    const auto finite = [](const auto& part) {
      return std::ranges::all_of(part.second, [](double value) { return std::isfinite(value); });
    };
    if (!parts || !std::ranges::all_of(*parts, finite)) return false;
    lists_.point.clear();
    output.offset = kNoValue;
    drop_unused_layers();
    ChainLayer layer = bias_layer(*parts, output.units);
    if (!layer.biases.empty()) {
      output.offset = append(lists_.point, layer_step(own(std::move(layer)), PlanStep::kLinear, {}));
    }
    return true;
  }

 private:
  const ChainLayer& own(ChainLayer layer) { return plan_.layers.emplace_back(std::move(layer)); }

  /// Frees the memory of layers that no step of the sample list takes.
  void drop_unused_layers() {
    std::set<const ChainLayer*> used;
    for (const PlanStep& step : lists_.sample) used.insert(step.layer);
    for (ChainLayer& layer : plan_.layers) {
      if (!used.contains(&layer)) layer = {};
    }
  }

  PlanStep sum_step(std::int64_t l, std::vector<std::int32_t> terms) const {
    const Network& network = units_.network();
    return {nullptr, PlanStep::kWhole, std::move(terms), network.width(l), activation(network.layer(l))};
  }

  static std::int32_t value_of(const std::vector<std::int32_t>& values, std::int64_t l) {
    return l < 0 ? -1 : values[static_cast<std::size_t>(l)];
  }

  /// Appends an early node's value to the sample or the point list, where units(l) of a node are.
  std::int32_t early_step(std::vector<PlanStep>& list, std::int64_t l, const std::vector<std::int32_t>& values,
                          Units (Needs::*units)(std::int64_t) const) {
    std::vector<std::int32_t> inputs;
    for (const std::int32_t input : needs_->node(l).inputs) {
      if (!(needs_->*units)(input).empty()) inputs.push_back(value_of(values, input));
    }
    if (needs_->adds(l)) return append(list, sum_step(l, std::move(inputs)));
    const Units cols = (needs_->*units)(needs_->node(l).inputs.front());
    const ChainLayer& layer = own(units_.extract(l, (needs_->*units)(l), cols, true));
    return append(list, layer_step(layer, PlanStep::kWhole, std::move(inputs)));
  }

  AffineValue affine_value(std::int64_t l) {
    if (needs_->adds(l)) return affine_sum(l);
    return needs_->is_early(needs_->node(l).inputs.front()) ? affine_of_early(l) : affine_of_affine(l);
  }

  AffineValue affine_of_early(std::int64_t l) {
    const std::int32_t input = needs_->node(l).inputs.front();
    const Units cols = needs_->sample_units(input), rows = units_.live(l), offset_cols = needs_->point_units(input);
    ChainLayer parts = units_.extract(l, rows, cols, false);
    for (std::size_t w = 0; w < parts.weights.size(); ++w) {  // B has the constant units
      if (!units_.depends_on_sample(input, cols[w % cols.size()])) parts.weights[w] = 0;
    }
    const ChainLayer& layer = own(std::move(parts));
    std::vector<std::int32_t> inputs, offsets;
    if (!cols.empty()) inputs.push_back(value_of(sample_values_, input));
    if (!offset_cols.empty()) offsets.push_back(value_of(point_values_, input));
    AffineValue value;
    value.origin = append(lists_.sample, layer_step(layer, 0, inputs));
    for (std::size_t k = 0; k < layer.weight_directions.size(); ++k) {
      value.moving[layer.weight_directions[k]] =
          append(lists_.sample, layer_step(layer, static_cast<std::int32_t>(k) + 1, inputs));
    }
    value.offset = offset_step(units_.extract(l, rows, offset_cols, true), std::move(offsets));
    return value;
  }

  /// Of a dense layer with unmoved weights.
  AffineValue affine_of_affine(std::int64_t l) {
    const std::int32_t input = needs_->node(l).inputs.front();
    const Units rows = units_.live(l), cols = units_.live(input);
    const AffineValue& below = affine_values_[static_cast<std::size_t>(input)];
    const ChainLayer& weights = own(units_.extract(l, rows, cols, false));
    AffineValue value;
    value.origin = append(lists_.sample, layer_step(weights, 0, {below.origin}));
    for (const auto& [direction, part] : below.moving) {
      value.moving[direction] = append(lists_.sample, layer_step(weights, 0, {part}));
    }
    std::vector<std::int32_t> offsets;
    if (below.offset != kNoValue) offsets.push_back(below.offset);
    ChainLayer offset = units_.extract(l, rows, offsets.empty() ? Units{} : cols, true);
    value.offset = offset_step(std::move(offset), std::move(offsets));
    return value;
  }

  std::int32_t offset_step(ChainLayer layer, std::vector<std::int32_t> inputs) {
    if (inputs.empty() && layer.biases.empty()) return kNoValue;
    return append(lists_.point, layer_step(own(std::move(layer)), PlanStep::kLinear, std::move(inputs)));
  }

  AffineValue affine_sum(std::int64_t l) {
    std::vector<std::int32_t> origins, offsets;
    std::map<std::int32_t, std::vector<std::int32_t>> moving;
    for (const std::int32_t input : needs_->node(l).inputs) {
      const AffineValue term = whole_value(input);
      if (term.origin != kNoValue) origins.push_back(term.origin);
      if (term.offset != kNoValue) offsets.push_back(term.offset);
      for (const auto& [direction, part] : term.moving) moving[direction].push_back(part);
    }
    const std::int64_t units = units_.network().width(l);
    AffineValue value;
    value.origin = sum_of(lists_.sample, std::move(origins), units);
    value.offset = sum_of(lists_.point, std::move(offsets), units);
    for (auto& [direction, parts] : moving) {
      value.moving[direction] = sum_of(lists_.sample, std::move(parts), units);
    }
    return value;
  }

  /// The value of an affine node, or of an early one that an Add takes.
  AffineValue whole_value(std::int64_t l) const {
    if (needs_->is_affine(l)) return affine_values_[static_cast<std::size_t>(l)];
    if (units_.depends_on_sample(l)) return {value_of(sample_values_, l), {}, kNoValue};
    return {kNoValue, {}, value_of(point_values_, l)};
  }

  /// A node's step in the pair list.
  std::int32_t pair_step(std::int64_t l) {
    std::vector<std::int32_t> inputs;
    for (const std::int32_t input : needs_->node(l).inputs) {
      const bool crosses = needs_->is_early(input) || needs_->is_affine(input);
      inputs.push_back(crosses ? crossing(input) : value_of(pair_values_, input));
    }
    if (needs_->adds(l)) return append(lists_.pair, sum_step(l, std::move(inputs)));
    const Units cols = units_.live(needs_->node(l).inputs.front());
    const ChainLayer& layer = own(units_.extract(l, units_.live(l), cols, true));
    return append(lists_.pair, layer_step(layer, PlanStep::kWhole, std::move(inputs)));
  }

  /// Number of the crossing of x or of a node that is not joint.
  std::int32_t crossing(std::int64_t l) {
    std::int32_t& number = l < 0 ? input_crossing_ : crossings_[static_cast<std::size_t>(l)];
    if (number != kNoValue) return number;
    AffineValue value = whole_value(l);
    const std::int64_t units = std::ssize(units_.live(l));
    if (value.origin == kNoValue) {  // depends on the point alone: A_0 = 0
      ChainLayer zero;
      zero.out = units;
      value.origin = append(lists_.sample, layer_step(own(std::move(zero)), PlanStep::kLinear, {}));
    }
    Crossing result{l, units, Activation::identity, {value.origin}, {}, value.offset};
    if (needs_->is_affine(l)) result.activation = activation(needs_->node(l).layer);
    for (const auto& [direction, part] : value.moving) {
      result.parts.push_back(part);
      result.directions.push_back(direction);
    }
    lists_.crossings.push_back(std::move(result));
    return number = -static_cast<std::int32_t>(lists_.crossings.size());
  }

  const Dependence& units_;
  GraphPlan& plan_;
  PlanLists& lists_;
  const Needs* needs_ = nullptr;
  std::vector<std::int32_t> sample_values_, point_values_, pair_values_, crossings_;  ///< of each node
  std::vector<AffineValue> affine_values_;
  std::int32_t input_crossing_ = kNoValue;
};

}  // namespace

void plan_graph(SectionPlan& plan, const Dependence& units, Plan choice) {
  const auto graph = std::make_shared<GraphPlan>();
  GraphPlanner planner(units, *graph);
  if (choice == Plan::direct) {
    plan.kind = PlanKind::direct;
    planner.direct();
  } else {
    planner.divide();
    if (graph->lists.crossings.empty()) {
      plan.kind = PlanKind::sample_free;
    } else if (graph->lists.pair.empty() && plan.loss == Loss::mean_squared_error && planner.make_offset_affine()) {
      plan.kind = PlanKind::quadratic;
    }
  }
  set_slots(graph->lists);
  plan.graph = graph;
}

}  // namespace lossatlas
