// The loss of a sample whose outputs are spread over the four lanes of a row.
#pragma once

#include <cmath>
#include <cstdint>

#include <cuda_runtime.h>
#include <lossatlas/loss.hpp>

#include "layer_parts.hpp"

namespace lossatlas::kernels {

/// What a loss compares the outputs with.
template <class T>
struct LossOfRows {
  Loss loss = Loss::mean_squared_error;
  int classes = 1;
  std::int64_t samples = 0;  ///< N
  SampleTargets<T> targets;
};

/// The sum over the four lanes of a row.
template <class T>
__device__ __forceinline__ T quad_sum(T x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/// The maximum over the four lanes of a row.
template <class T>
__device__ __forceinline__ T quad_max(T x) {
#pragma unroll
  for (int offset = 1; offset < 4; offset *= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, x, offset);
    x = other > x ? other : x;
  }
  return x;
}

/// ℓ(p, y_n), the same in each of the four lanes, by the formulas of scalar.cuh. for_each(f) calls f(p_c, c) for this
/// lane's classes.
template <class T, class ForEach>
__device__ __forceinline__ T quad_loss(const LossOfRows<T>& of, const ForEach& for_each, std::int64_t n) {
  const int label = of.targets.labels != nullptr ? of.targets.labels[n] : -1;
  const T* y = label < 0 ? of.targets.values + n * of.classes : nullptr;
  const auto target = [&](int c) { return label < 0 ? y[c] : c == label ? T(1) : T(0); };
  T sum = 0;
  if (of.loss == Loss::mean_squared_error) {
    for_each([&](T value, int c) {
      const T difference = value - target(c);
      sum += difference * difference;
    });
    return quad_sum(sum);
  }
  T largest = -INFINITY;
  for_each([&](T value, int) { largest = value > largest ? value : largest; });
  largest = quad_max(largest);
  const T shift = std::fabs(largest) < T(INFINITY) ? largest : T(0);
  T product = 0;
  for_each([&](T value, int c) {
    const T weight = target(c);
    sum += std::exp(value - shift);
    product += weight == T(0) ? T(0) : weight * (value - shift);
  });
  sum = quad_sum(sum);
  return std::log(sum) - quad_sum(product);
}

}  // namespace lossatlas::kernels
