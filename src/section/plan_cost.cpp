// Counts the work of a plan and explains it in words.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iomanip>
#include <set>

#include "base/check.hpp"
#include "section/graph_plan.hpp"
#include "section/plan.hpp"
#include "section/section_cost.hpp"

namespace lossatlas {
namespace {

double product_flop(const ChainLayer& layer) {
  return 2.0 * static_cast<double>(layer.in) * static_cast<double>(layer.out);
}

/// Work of φ at every unit of a layer.
struct ActivationCost {
  double flop = 0, transcendental = 0;
};

ActivationCost activations(Activation activation, std::int64_t out) {
  const auto units = static_cast<double>(out);
  switch (activation) {
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

ActivationCost activations(const ChainLayer& layer) { return activations(layer.activation, layer.out); }

/// Exponentials and logarithms of one evaluation of the loss.
double loss_transcendental(const SectionPlan& plan) {
  return plan.loss == Loss::cross_entropy ? static_cast<double>(plan.outputs + plan.heads) : 0;
}

double forming_flop(const ChainLayer& layer) {
  return product_flop(layer) * static_cast<double>(layer.weight_directions.size()) +
         2.0 * static_cast<double>(layer.out) * static_cast<double>(layer.bias_directions.size());
}

double size_of(const ChainLayer& layer) { return static_cast<double>(layer.weights.size() + layer.biases.size()); }

/// Words read once: the inputs, and the parameters of everything computed once per sample.
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

/// FLOP of a step's sums where its weights have been formed; those of a point list's layer are never formed.
double step_flop(const PlanStep& step) {
  if (step.adds()) return static_cast<double>(step.out) * static_cast<double>(step.inputs.size() - 1);
  return product_flop(*step.layer);
}

/// Words of the layers of some steps, each counted once.
double words_of(std::initializer_list<std::span<const PlanStep>> lists) {
  std::set<const ChainLayer*> layers;
  for (const std::span<const PlanStep> steps : lists) {
    for (const PlanStep& step : steps) layers.insert(step.layer);
  }
  double words = 0;
  for (const ChainLayer* layer : layers) words += layer ? size_of(*layer) : 0;
  return words;
}

std::string steps_text(std::span<const PlanStep> steps) {
  TextStream text;
  const char* separator = "";
  for (const PlanStep& step : steps) {
    if (step.part >= 0) continue;
    text << separator;
    separator = ", ";
    if (step.adds()) {
      text << "sum of " << step.inputs.size() << "×" << step.out;
    } else {
      text << step.layer->in << "→" << step.out << (step.layer->shared() ? "" : " interpolated");
    }
    if (step.activation != Activation::identity) text << ' ' << name(step.activation);
  }
  return text.str();
}

/// The stages of a network that is no chain.
std::string graph_text(const SectionPlan& plan) {
  const PlanLists& lists = plan.graph->lists;
  TextStream text;
  const std::string sample = steps_text(lists.sample), point = steps_text(lists.point), pair = steps_text(lists.pair);
  if (!sample.empty()) text << "\nonce per sample: layers " << sample;
  for (const Crossing& crossing : lists.crossings) {
    if (crossing.node < 0) continue;  // x itself
    text << "\nonce per sample: node " << crossing.node << ", " << crossing.units << " units";
    if (crossing.is_plain()) continue;
    text << ", affine in α, " << crossing.parts.size() << (crossing.parts.size() == 1 ? " part" : " parts");
    if (crossing.activation != Activation::identity) text << ", then " << name(crossing.activation) << " per point";
  }
  if (!point.empty()) text << "\nonce per point: layers " << point;
  if (!pair.empty()) text << "\nper point and sample: layers " << pair;
  return text.str();
}

/// cost() of a network that is no chain.
PlanCost graph_cost(const SectionPlan& plan, std::int64_t samples, std::int64_t points, Precision precision) {
  const PlanLists& lists = plan.graph->lists;
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  const double word = precision == Precision::f64 || plan.kind == PlanKind::quadratic ? 8 : 4;
  PlanCost cost;
  double inputs = 0, stored = 0;
  const auto takes_x = [](const PlanStep& step) { return std::ranges::find(step.inputs, -1) != step.inputs.end(); };
  for (const PlanStep& step : lists.sample) {
    const ActivationCost activation = activations(step.activation, step.out);
    cost.once_flop += n * (step_flop(step) + activation.flop);
    cost.once_transcendental += n * activation.transcendental;
    if (takes_x(step)) inputs = n * static_cast<double>(step.adds() ? step.out : step.layer->in);
  }
  for (const PlanStep& step : lists.point) {
    const ActivationCost activation = activations(step.activation, step.out);
    cost.point_flop += step_flop(step) + activation.flop + (step.adds() ? 0 : forming_flop(*step.layer));
    cost.point_transcendental += activation.transcendental;
  }
  for (const Crossing& crossing : lists.crossings) {
    stored += n * static_cast<double>(crossing.units) * static_cast<double>(crossing.parts.size());
    if (crossing.is_plain() || plan.kind == PlanKind::quadratic) continue;
    const ActivationCost activation = activations(crossing.activation, crossing.units);
    const double sums = 2 * static_cast<double>(crossing.directions.size()) + (crossing.offset == kNoValue ? 0 : 1);
    cost.pair_flop += sums * static_cast<double>(crossing.units) + activation.flop;
    cost.pair_transcendental += activation.transcendental;
  }
  for (const PlanStep& step : lists.pair) {
    const ActivationCost activation = activations(step.activation, step.out);
    cost.pair_flop += step_flop(step) + activation.flop;
    cost.pair_transcendental += activation.transcendental;
    if (!step.adds()) cost.point_flop += forming_flop(*step.layer);
  }
  const double held = words_of({lists.point, lists.pair});
  cost.bytes = word * (inputs + held + words_of({lists.sample}) + 2 * stored) +
               8 * g * static_cast<double>(plan.heads + plan.rank);
  cost.workspace = static_cast<std::int64_t>(word * (held + stored));
  if (plan.kind == PlanKind::sample_free) {
    cost.point_transcendental += loss_transcendental(plan);
  } else if (plan.kind == PlanKind::quadratic) {
    const double squares = 2 * std::pow(1 + static_cast<double>(plan.rank), 2);
    cost.once_flop += squares * n * static_cast<double>(plan.outputs);
    cost.point_flop = squares * static_cast<double>(plan.heads);
  } else {
    cost.pair_transcendental += loss_transcendental(plan);
  }
  return cost;
}

const char* title(PlanKind kind) {
  switch (kind) {
    case PlanKind::joint:
      return "joint";
    case PlanKind::sample_free:
      return "sample-free (the output does not depend on the input; label statistics)";
    case PlanKind::quadratic:
      return "quadratic (the outputs are affine in α: an exact quadratic form)";
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

double PlanCost::transcendental(std::int64_t samples, std::int64_t points) const {
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  return once_transcendental + g * point_transcendental + g * n * pair_transcendental;
}

PlanCost SectionPlan::cost(std::int64_t samples, std::int64_t points, Precision precision) const {
  if (graph) return graph_cost(*this, samples, points, precision);
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  const double word = precision == Precision::f64 ? 8 : 4;
  PlanCost cost;
  for (const ChainLayer& layer : sample_chain) {
    cost.once_flop += n * (product_flop(layer) + activations(layer).flop);
    cost.once_transcendental += n * activations(layer).transcendental;
  }
  for (const ChainLayer& layer : point_chain) {
    cost.point_flop += product_flop(layer) * static_cast<double>(1 + layer.weight_directions.size());
    cost.point_flop += activations(layer).flop;
    cost.point_transcendental += activations(layer).transcendental;
  }
  double held = 0;
  for (const ChainLayer& layer : later) held += size_of(layer);
  for (const ChainLayer& layer : point_chain) held += size_of(layer);
  const double once_word = kind == PlanKind::quadratic ? 8 : word;
  cost.bytes = word * held + once_word * once_read(*this, n) + 8 * g * static_cast<double>(heads + rank);
  if (kind == PlanKind::sample_free) {
    cost.point_transcendental += loss_transcendental(*this);
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
    cost.pair_transcendental += activations(layer).transcendental;
  }
  cost.pair_flop += 2 * (products - 1) * static_cast<double>(joint_sample.out) + static_cast<double>(joint_sample.out);
  cost.pair_flop += activations(joint_sample).flop;
  cost.pair_transcendental += activations(joint_sample).transcendental + loss_transcendental(*this);
  const double stored = kind == PlanKind::direct ? n * static_cast<double>(later.front().in) : rows;
  cost.bytes += word * (stored + rows);
  cost.workspace = static_cast<std::int64_t>(word * (held + stored));
  return cost;
}

SectionCost SectionPlan::total(std::int64_t samples, std::int64_t points, Precision precision) const {
  const PlanCost work = cost(samples, points, precision);
  return {work.flop(samples, points), work.transcendental(samples, points), work.bytes, work.workspace, precision};
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
  if (graph) text << graph_text(*this);
  if (!sample_chain.empty()) text << "\nonce per sample: layers " << layers_text(sample_chain);
  if (!graph && (kind == PlanKind::joint || kind == PlanKind::quadratic)) {
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
  const double flop = work.flop(samples, points), transcendental = work.transcendental(samples, points);
  if (kind != PlanKind::direct) {
    const double direct = g * n * network_flop;
    text << "\ndirect plan: at least " << quantity(direct, "FLOP") << ", " << std::setprecision(3) << direct / flop
         << " times as many";
  }
  text << "\ntranscendental functions: " << quantity(transcendental, "")
       << "\nbytes at least: " << quantity(work.bytes, "B") << ", for each " << quantity(flop / work.bytes, "FLOP");
  if (rates) text << "\nfloor: " << floor_text(total(samples, points, precision), *rates);
  text << "\nworkspace: " << quantity(static_cast<double>(work.workspace), "B");
  return text.str();
}

}  // namespace lossatlas
