#include "plan.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iomanip>
#include <numeric>

#include "check.hpp"
#include "host_memory.hpp"
#include "parallel.hpp"
#include "rates.hpp"

namespace lossatlas {
namespace {

using Units = std::vector<std::int32_t>;

/// Which entries of one layer are non-zero anywhere on the section, and which of them α moves.
struct Support {
  std::int64_t in = 0, out = 0;
  std::vector<char> used;        // (out, in): non-zero in θ₀ or in a direction
  std::vector<char> moved;       // (out): some direction moves a weight into the unit
  std::vector<char> bias_moved;  // (out)
  std::int64_t directions = 0;   // that move a weight
};

/// What the units of one layer depend on, and whether the output can depend on them. Index 0 is the input.
struct UnitFlags {
  std::vector<char> sample, point, live;
};

class Planner {
 public:
  Planner(const Network& network, const Section& section, const Control& control)
      : network_(network), section_(section), control_(control) {
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

  /// Layer `index` between chosen units, with the directions that move what was chosen.
  ChainLayer extract(std::int64_t index, const Units& rows, const Units& cols, bool with_bias) const {
    const Dense& dense = std::get<Dense>(network_.layers()[static_cast<std::size_t>(index)]);
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

  /// Appends and reports true, unless everything appended is zero: then takes it back.
  template <class Append>
  static bool append_moving(std::vector<double>& to, Append&& append) {
    const auto before = static_cast<std::ptrdiff_t>(to.size());
    append(to);
    if (std::any_of(to.begin() + before, to.end(), [](double value) { return value != 0; })) return true;
    to.resize(static_cast<std::size_t>(before));
    return false;
  }

  const Network& network_;
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
    Units units = first_units(std::get<Dense>(network.layers()[static_cast<std::size_t>(l)]).out);
    plan.later.push_back(planner.extract(l, units, below, true));
    below = std::move(units);
  }
}

// The affine layer costs 2z FLOP a unit instead of 2 for each of its inputs: with many directions of few inputs the
// direct plan is cheaper. It has to be by far, since its kernels fuse less. Neither N nor G may decide: a point's bits
// do not depend on what it is evaluated with.
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
  for (const Layer& layer : network.layers()) {
    const Dense& dense = std::get<Dense>(layer);
    plan.network_flop += 2.0 * static_cast<double>(dense.in) * static_cast<double>(dense.out);
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

namespace {

double product_flop(const ChainLayer& layer) {
  return 2.0 * static_cast<double>(layer.in) * static_cast<double>(layer.out);
}

/// Work of φ at every unit of a layer.
struct ActivationCost {
  double flop = 0, special = 0;
};

ActivationCost activations(const ChainLayer& layer) {
  const auto units = static_cast<double>(layer.out);
  switch (layer.activation) {
    case Activation::identity:
      return {};
    case Activation::relu:
    case Activation::leaky_relu:
      return {units, 0};
    case Activation::softplus:
      return {0, 2 * units};  // an exponential and a logarithm
    case Activation::tanh:
    case Activation::sigmoid:
    case Activation::gelu:
    case Activation::sine:
      return {0, units};
  }
  return {};
}

/// Exponentials and logarithms of one evaluation of the loss.
double loss_special(const SectionPlan& plan) {
  return plan.loss == Loss::cross_entropy ? static_cast<double>(plan.outputs + plan.heads) : 0;
}

double forming_flop(const ChainLayer& layer) {
  return product_flop(layer) * static_cast<double>(layer.weight_directions.size()) +
         2.0 * static_cast<double>(layer.out) * static_cast<double>(layer.bias_directions.size());
}

double size_of(const ChainLayer& layer) { return static_cast<double>(layer.weights.size() + layer.biases.size()); }

/// Words of the inputs and of the parameters of what is computed once per sample.
double once_read(const SectionPlan& plan, double samples) {
  if (plan.kind == PlanKind::sample_free || plan.kind == PlanKind::direct) return 0;
  double words =
      samples * static_cast<double>(plan.sample_chain.empty() ? plan.joint_sample.in : plan.sample_chain.front().in);
  for (const ChainLayer& layer : plan.sample_chain) words += size_of(layer);
  return words + size_of(plan.joint_sample) + size_of(plan.joint_point);
}

std::string layers_text(std::span<const ChainLayer> layers) {
  TextStream text;
  const char* separator = "";
  for (const ChainLayer& layer : layers) {
    text << separator << layer.in << "→" << layer.out << (layer.shared() ? "" : " interpolated");
    if (layer.activation != Activation::identity) text << ' ' << name(layer.activation);
    separator = ", ";
  }
  return text.str();
}

const char* title(PlanKind kind) {
  switch (kind) {
    case PlanKind::joint:
      return "joint";
    case PlanKind::sample_free:
      return "sample-free (the output does not depend on the input; label statistics)";
    case PlanKind::quadratic:
      return "quadratic (exact quadratic form of the last layer)";
    case PlanKind::direct:
      return "direct (every layer and sample at every point)";
  }
  return "";
}

}  // namespace

double PlanCost::flop(std::int64_t samples, std::int64_t points) const {
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  return once_flop + g * point_flop + g * n * pair_flop;
}

double PlanCost::special(std::int64_t samples, std::int64_t points) const {
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  return once_special + g * point_special + g * n * pair_special;
}

std::string quantity(double value, const char* unit) {
  constexpr std::array kPrefix = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t step = 0;
  while (value >= 999.5 && step + 1 < kPrefix.size()) value /= 1000, ++step;
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.3g %s%s", value, kPrefix[step], unit);
  return text.data();
}

PlanCost SectionPlan::cost(std::int64_t samples, std::int64_t points, Precision precision) const {
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  const double word = precision == Precision::f64 ? 8 : 4;
  PlanCost cost;
  for (const ChainLayer& layer : sample_chain) {
    cost.once_flop += n * (product_flop(layer) + activations(layer).flop);
    cost.once_special += n * activations(layer).special;
  }
  for (const ChainLayer& layer : point_chain) {
    cost.point_flop += product_flop(layer) * static_cast<double>(1 + layer.weight_directions.size());
    cost.point_flop += activations(layer).flop;
    cost.point_special += activations(layer).special;
  }
  double held = 0;
  for (const ChainLayer& layer : later) held += size_of(layer);
  for (const ChainLayer& layer : point_chain) held += size_of(layer);
  const double once_word = kind == PlanKind::quadratic ? 8 : word;
  cost.bytes = word * held + once_word * once_read(*this, n) + 8 * g * static_cast<double>(heads + rank);
  if (kind == PlanKind::sample_free) {
    cost.point_special += loss_special(*this);
    cost.workspace = static_cast<std::int64_t>(word * held);
    return cost;
  }
  const double products = 1 + static_cast<double>(joint_sample.weight_directions.size());
  const double rows = products * n * static_cast<double>(joint_sample.out);
  cost.once_flop += n * product_flop(joint_sample) * products;
  if (kind == PlanKind::quadratic) {
    const double columns = 1 + static_cast<double>(rank);
    cost.once_flop += 2 * n * static_cast<double>(outputs) * columns * columns;
    cost.point_flop += 2 * static_cast<double>(heads) * columns * columns;
    cost.bytes += 8 * rows;
    cost.workspace = static_cast<std::int64_t>(8 * rows);
    return cost;
  }
  cost.point_flop += product_flop(joint_point) + forming_flop(joint_point);
  for (const ChainLayer& layer : later) {
    cost.point_flop += forming_flop(layer);
    cost.pair_flop += product_flop(layer) + activations(layer).flop;
    cost.pair_special += activations(layer).special;
  }
  cost.pair_flop += 2 * (products - 1) * static_cast<double>(joint_sample.out) + static_cast<double>(joint_sample.out);
  cost.pair_flop += activations(joint_sample).flop;
  cost.pair_special += activations(joint_sample).special + loss_special(*this);
  const double stored = kind == PlanKind::direct ? n * static_cast<double>(later.front().in) : rows;
  cost.bytes += word * (stored + rows);
  cost.workspace = static_cast<std::int64_t>(word * (held + stored));
  return cost;
}

SectionCost SectionPlan::total(std::int64_t samples, std::int64_t points, Precision precision) const {
  if (kind == PlanKind::quadratic) precision = Precision::f64;
  const PlanCost work = cost(samples, points, precision);
  return {work.flop(samples, points), work.special(samples, points), work.bytes, work.workspace, precision};
}

std::string SectionPlan::explain(std::int64_t samples, std::int64_t points, Precision precision,
                                 const DeviceRates* rates) const {
  const PlanCost work = cost(samples, points, precision);
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  TextStream text;
  text << "plan: " << title(kind);
  if (out_of_range) text << "\nrange: the parts of a shortcut may overflow where the parameters do not";
  text << "\nproblem: " << rank << (rank == 1 ? " direction, " : " directions, ") << points << " points, " << samples
       << " samples, " << name(precision);
  if (!sample_chain.empty()) text << "\nonce per sample: layers " << layers_text(sample_chain);
  if (kind == PlanKind::joint || kind == PlanKind::quadratic) {
    text << "\nonce per sample: layer " << joint_index + 1 << " affine in α, " << joint_sample.in << "→"
         << joint_sample.out << ", " << 1 + joint_sample.weight_directions.size() << " products";
  }
  if (!point_chain.empty()) text << "\nonce per point: layers " << layers_text(point_chain);
  if (kind == PlanKind::joint && joint_point.in > 0) {
    text << "\nonce per point: layer " << joint_index + 1 << ", " << joint_point.in << "→" << joint_point.out
         << ", the part that does not depend on the sample";
  }
  if (kind == PlanKind::joint && joint_sample.activation != Activation::identity) {
    text << "\nper point and sample: layer " << joint_index + 1 << ", " << joint_sample.out << ' '
         << name(joint_sample.activation);
  }
  if (!later.empty()) text << "\nper point and sample: layers " << layers_text(later);
  text << "\nwork: " << quantity(work.once_flop, "FLOP") << " once + " << quantity(work.point_flop * g, "FLOP")
       << " over points + " << quantity(work.pair_flop * g * n, "FLOP") << " over points and samples";
  const double flop = work.flop(samples, points), special = work.special(samples, points);
  if (kind != PlanKind::direct) {
    const double direct = g * n * network_flop;
    text << "\ndirect plan: at least " << quantity(direct, "FLOP") << ", " << std::setprecision(3) << direct / flop
         << " times as many";
  }
  text << "\nspecial functions: " << quantity(special, "") << "\nbytes at least: " << quantity(work.bytes, "B")
       << ", for each " << quantity(flop / work.bytes, "FLOP");
  if (rates) text << "\nfloor: " << floor_text(total(samples, points, precision), *rates);
  text << "\nworkspace: " << quantity(static_cast<double>(work.workspace), "B");
  return text.str();
}

}  // namespace lossatlas
