// Counts the work of a plan and explains it in words.
#include <iomanip>

#include "base/check.hpp"
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

double PlanCost::transcendental(std::int64_t samples, std::int64_t points) const {
  const auto n = static_cast<double>(samples), g = static_cast<double>(points);
  return once_transcendental + g * point_transcendental + g * n * pair_transcendental;
}

PlanCost SectionPlan::cost(std::int64_t samples, std::int64_t points, Precision precision) const {
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
  if (kind == PlanKind::quadratic) precision = Precision::f64;
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
