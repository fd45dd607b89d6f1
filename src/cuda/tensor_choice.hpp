// Which joint plans the tensor kernel takes. Depends only on the plan, the precision and the device, so that results do
// not depend on batches or free memory. Plain C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "../kernels/tensor_shape.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// The largest |weight| of a layer, at least 0; NaN if a weight is not finite.
inline double largest_weight(const ChainLayer& layer) {
  double top = 0;
  for (const double weight : layer.weights) {
    if (!std::isfinite(weight)) return std::numeric_limits<double>::quiet_NaN();
    top = std::max(top, std::abs(weight));
  }
  return top;
}

inline kernels::TensorShape tensor_shape(const SectionPlan& plan, kernels::Operands operands,
                                         std::int64_t shared_limit) {
  kernels::TensorShape shape;
  shape.operands = operands;
  shape.moving = static_cast<std::int64_t>(plan.joint_sample.weight_directions.size());
  shape.heads = plan.heads;
  for (const ChainLayer& layer : plan.later) shape.add_layer(layer.in, layer.out);
  shape.choose_stages(shared_limit);
  return shape;
}

/// Whether the tensor cores can take a layer's weights: finite and, except in f64, no larger than the largest TF32
/// number.
inline bool weights_fit(const ChainLayer& layer, kernels::Operands operands) {
  constexpr double kLargestTf32 = 0x1.ffcp127;
  return largest_weight(layer) <=
         (operands == kernels::Operands::f64 ? std::numeric_limits<double>::max() : kLargestTf32);
}

/// Operands of a tensor kernel for a precision, or nothing if it does not take the plan; takes(operands) tells. Half
/// precision also needs f32, for points that leave its range.
template <class Takes>
std::optional<kernels::Operands> operands_for(Precision precision, const Takes& takes) {
  using kernels::Operands;
  const Operands full = precision == Precision::f64 ? Operands::f64 : Operands::tf32x2;
  if (!takes(full)) return std::nullopt;
  return precision == Precision::fast && takes(Operands::half) ? Operands::half : full;
}

/// Operands of the kernel for later layers that are the same at every point.
inline std::optional<kernels::Operands> tensor_operands(const SectionPlan& plan, Precision precision,
                                                        std::int64_t shared_limit) {
  return operands_for(precision, [&](kernels::Operands operands) {
    const auto fine = [&](const ChainLayer& layer) { return layer.shared() && weights_fit(layer, operands); };
    return plan.kind == PlanKind::joint && std::all_of(plan.later.begin(), plan.later.end(), fine) &&
           tensor_shape(plan, operands, shared_limit).stages > 0;
  });
}

/// For each later layer, the power of two that its weights are divided by, so that the largest is in [2¹⁴, 2¹⁵): half
/// precision ends at 2¹⁶, and small weights keep their digits.
inline std::vector<float> tensor_weight_scales(const SectionPlan& plan) {
  constexpr int kTop = 15;
  constexpr int kMost = 126;  // 2¹²⁶ and its inverse are normal
  std::vector<float> weight_scales;
  for (const ChainLayer& layer : plan.later) {
    int exponent = 0;
    std::frexp(largest_weight(layer), &exponent);
    weight_scales.push_back(std::ldexp(1.0f, std::clamp(exponent - kTop, -kMost, kMost)));
  }
  return weight_scales;
}

}  // namespace lossatlas::cuda
