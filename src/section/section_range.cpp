#include "section/section_range.hpp"

#include <algorithm>
#include <cmath>

#include "base/parallel.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas {
namespace {

// Far enough below the largest f64 and f32 that the kernels' sums, over samples too, stay finite.
constexpr double kLargest = 0x1p1000, kLargestSingle = 0x1p120;

double limit_of(const SectionPlan& plan, Precision precision) {
  return precision == Precision::f64 || plan.kind == PlanKind::quadratic ? kLargest : kLargestSingle;
}

double magnitude(double value) { return std::isfinite(value) ? std::abs(value) : 0; }

/// |α_d|; 1 for θ₀.
double factor(std::int32_t direction, std::span<const double> magnitudes) {
  return direction < 0 ? 1 : magnitudes[static_cast<std::size_t>(direction)];
}

std::int32_t direction_of(const std::vector<std::int32_t>& directions, std::size_t part) {
  return part == 0 ? -1 : directions[part - 1];
}

/// max_n |x_n| of each feature.
std::vector<double> largest_inputs(const Dataset& data) {
  std::vector<double> largest(static_cast<std::size_t>(data.features()), 0.0);
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const std::span<const double> x = data.input(n);
    for (std::size_t j = 0; j < x.size(); ++j) largest[j] = std::max(largest[j], std::abs(x[j]));
  }
  return largest;
}

/// Σ_j |W_ij| a_j of each unit i, for one part of a layer's weights.
std::vector<double> product_bounds(const ChainLayer& layer, std::size_t part, std::span<const double> inputs,
                                   const Control& control) {
  std::vector<double> sums(static_cast<std::size_t>(layer.out), 0.0);
  const double* weight = layer.weights.data() + part * static_cast<std::size_t>(layer.out * layer.in);
  for (double& sum : sums) {
    check_stop(control);
    for (std::int64_t j = 0; j < layer.in; ++j, ++weight) {
      const double input = inputs[static_cast<std::size_t>(j)];
      if (*weight != 0 || !std::isfinite(input)) sum += std::isfinite(input) ? magnitude(*weight) * input : input;
    }
  }
  return sums;
}

/// Σ_d |α_d| (|W_d| a + |b_d|) of each unit: bounds W(α) a + b(α) whatever the order in which its parts are added.
std::vector<double> layer_bounds(const ChainLayer& layer, std::span<const double> inputs,
                                 std::span<const double> magnitudes, const Control& control) {
  std::vector<double> sums(static_cast<std::size_t>(layer.out), 0.0);
  for (std::size_t part = 0; part <= layer.weight_directions.size(); ++part) {
    const std::vector<double> products = product_bounds(layer, part, inputs, control);
    const double times = factor(direction_of(layer.weight_directions, part), magnitudes);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] += std::isfinite(products[i]) ? times * products[i] : products[i];
    }
  }
  for (std::size_t part = 0; !layer.biases.empty() && part <= layer.bias_directions.size(); ++part) {
    const double times = factor(direction_of(layer.bias_directions, part), magnitudes);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += times * magnitude(layer.biases[part * sums.size() + i]);
  }
  return sums;
}

/// Bounds of |φ(z)| from those of |z|.
void activate(Activation activation, std::vector<double>& bounds) {
  for (double& bound : bounds) {
    switch (activation) {
      case Activation::tanh:
      case Activation::sigmoid:
      case Activation::sine:
        bound = 1;
        break;
      case Activation::softplus:
        bound += 1;
        break;
      case Activation::identity:
      case Activation::relu:
      case Activation::leaky_relu:
      case Activation::gelu:
        break;
    }
  }
}

double largest(const std::vector<double>& bounds) {
  return bounds.empty() ? 0 : *std::max_element(bounds.begin(), bounds.end());
}

/// Bounds of z of a step from those of the values that it takes: earlier ones of its list, or `inputs`.
std::vector<double> step_bounds(const PlanStep& step, const std::vector<std::vector<double>>& values,
                                const std::vector<double>& inputs, std::span<const double> magnitudes,
                                const Control& control) {
  const auto value = [&](std::int32_t index) -> const std::vector<double>& {
    return index < 0 ? inputs : values[static_cast<std::size_t>(index)];
  };
  if (step.adds()) {
    std::vector<double> sums(static_cast<std::size_t>(step.out), 0.0);
    for (const std::int32_t input : step.inputs) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += value(input)[i];
    }
    return sums;
  }
  const std::vector<double> none;
  const std::vector<double>& below = step.inputs.empty() ? none : value(step.inputs.front());
  if (step.part >= 0) return product_bounds(*step.layer, static_cast<std::size_t>(step.part), below, control);
  return layer_bounds(*step.layer, below, magnitudes, control);
}

double largest_entry(const std::vector<double>& values, std::size_t part, std::size_t size) {
  double top = 0;
  for (std::size_t i = part * size; i < (part + 1) * size; ++i) top = std::max(top, magnitude(values[i]));
  return top;
}

}  // namespace

SectionRange::SectionRange(const SectionPlan& plan, const Dataset& data, Precision precision, const Control& control)
    : lists_(lists_of(plan)), rank_(plan.rank), limit_(limit_of(plan, precision)) {
  std::vector<std::vector<double>> bounds;
  const std::vector<double> inputs = plan.kind == PlanKind::sample_free ? std::vector<double>{} : largest_inputs(data);
  for (const PlanStep& step : lists_.sample) {
    bounds.push_back(step_bounds(step, bounds, inputs, {}, control));
    activate(step.activation, bounds.back());
  }
  for (const Crossing& crossing : lists_.crossings) {
    Parts& parts = samples_.emplace_back();
    for (std::size_t part = 0; part < crossing.parts.size(); ++part) {
      const std::int32_t value = crossing.parts[part];
      parts.push_back({direction_of(crossing.directions, part),
                       largest(value < 0 ? inputs : bounds[static_cast<std::size_t>(value)])});
    }
  }
  if (limit_ == kLargest) return;  // in f64 the weights overflow only where θ(α) does
  for (const std::vector<PlanStep>* list : {&lists_.point, &lists_.pair}) {
    for (const PlanStep& step : *list) {
      if (!step.adds()) add_formed(*step.layer, control);
    }
  }
}

void SectionRange::add_formed(const ChainLayer& layer, const Control& control) {
  const auto add = [&](const std::vector<double>& values, const std::vector<std::int32_t>& directions) {
    if (values.empty()) return;
    Parts& parts = formed_.emplace_back();
    const std::size_t size = values.size() / (1 + directions.size());
    for (std::size_t part = 0; part <= directions.size(); ++part) {
      check_stop(control);
      parts.push_back({direction_of(directions, part), largest_entry(values, part, size)});
    }
  };
  add(layer.weights, layer.weight_directions);
  add(layer.biases, layer.bias_directions);
}

bool SectionRange::sum_fits(const Parts& parts, std::span<const double> magnitudes, double beside) const {
  double sum = beside;
  for (const Part& part : parts) {
    if (part.bound > limit_) return false;
    sum += factor(part.direction, magnitudes) * part.bound;
  }
  return sum <= limit_;
}

bool SectionRange::holds(std::span<const double> magnitudes) const {
  if (std::ranges::any_of(magnitudes, [&](double alpha) { return alpha > limit_; })) return false;
  std::vector<std::vector<double>> bounds;  // of the values that depend only on the point
  for (const PlanStep& step : lists_.point) {
    bounds.push_back(step_bounds(step, bounds, {}, magnitudes, {}));
    const double limit = step.part == PlanStep::kWhole ? limit_ : kLargest;  // offsets are computed in f64
    if (!(largest(bounds.back()) <= limit)) return false;
    activate(step.activation, bounds.back());
  }
  for (std::size_t k = 0; k < samples_.size(); ++k) {
    const std::int32_t offset = lists_.crossings[k].offset;
    const double beside = offset == kNoValue ? 0 : largest(bounds[static_cast<std::size_t>(offset)]);
    if (!sum_fits(samples_[k], magnitudes, beside)) return false;
  }
  return std::ranges::all_of(formed_, [&](const Parts& parts) { return sum_fits(parts, magnitudes, 0); });
}

bool SectionRange::holds_somewhere() const { return holds(std::vector<double>(static_cast<std::size_t>(rank_), 0.0)); }

}  // namespace lossatlas
