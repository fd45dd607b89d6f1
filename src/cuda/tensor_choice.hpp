// Which joint plans the tensor kernel takes: a matter of the plan, the precision and the device alone, so that results
// do not depend on tiles or free memory. Plain C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "../kernels/tensor_shape.hpp"
#include "plan.hpp"

namespace lossatlas::cuda {

/// The largest |weight| of a layer, at least 0; NaN where a weight is not finite.
inline double largest_weight(const ChainLayer& layer) {
  double top = 0;
  for (const double weight : layer.weights) {
    if (!std::isfinite(weight)) return std::numeric_limits<double>::quiet_NaN();
    top = std::max(top, std::abs(weight));
  }
  return top;
}

inline kernels::TensorShape tensor_shape(const SectionPlan& plan, kernels::Operands operands) {
  kernels::TensorShape shape;
  shape.operands = operands;
  shape.moving = static_cast<std::int64_t>(plan.joint_sample.weight_directions.size());
  shape.heads = plan.heads;
  for (const ChainLayer& layer : plan.later) shape.add_layer(layer.in, layer.out);
  return shape;
}

/// Later layers the same at every point, weights finite, and room for a block.
inline bool tensor_takes(const SectionPlan& plan, kernels::Operands operands, std::int64_t shared_limit) {
  const double most = operands == kernels::Operands::f64 ? std::numeric_limits<double>::max()
                                                         : static_cast<double>(std::numeric_limits<float>::max());
  const auto fine = [&](const ChainLayer& layer) { return layer.shared() && largest_weight(layer) <= most; };
  return plan.kind == PlanKind::joint && std::all_of(plan.later.begin(), plan.later.end(), fine) &&
         tensor_shape(plan, operands).fits(shared_limit);
}

/// Operands of the tensor kernel for a precision, or nothing where it does not take the plan. Half precision needs the
/// f32 kernel beside it, for points that leave its range.
inline std::optional<kernels::Operands> tensor_operands(const SectionPlan& plan, Precision precision,
                                                        std::int64_t shared_limit) {
  using kernels::Operands;
  const Operands full = precision == Precision::f64 ? Operands::f64 : Operands::split;
  if (!tensor_takes(plan, full, shared_limit)) return std::nullopt;
  return precision == Precision::fast && tensor_takes(plan, Operands::half, shared_limit) ? Operands::half : full;
}

/// For each later layer the power of two that its weights are divided by, so that the largest is in [1/2, 1).
inline std::vector<float> tensor_unscales(const SectionPlan& plan) {
  constexpr int kMost = 126;  // 2¹²⁶ and its inverse are normal
  std::vector<float> unscales;
  for (const ChainLayer& layer : plan.later) {
    int exponent = 0;
    std::frexp(largest_weight(layer), &exponent);
    unscales.push_back(std::ldexp(1.0f, std::clamp(exponent, -kMost, kMost)));
  }
  return unscales;
}

}  // namespace lossatlas::cuda
