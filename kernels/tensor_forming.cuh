// Forms the weights of a moving layer, packed as the tensor cores take them.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "layer_parts.hpp"
#include "tensor_arithmetic.cuh"

namespace lossatlas::kernels {

/// parts_0[i] + Σ_d α[directions[d]] parts_{d+1}[i]; each part has `count` values.
template <class T>
__device__ T formed_value(const T* parts, const std::int32_t* directions, int moving, std::int64_t count,
                          const double* alpha, std::int64_t i) {
  T sum = parts[i];
  for (int d = 0; d < moving; ++d) sum += static_cast<T>(alpha[directions[d]]) * parts[(d + 1) * count + i];
  return sum;
}

/// A lane's share of a fragment (block · tiles + tile) of scale · W(α); matrices (out, in).
template <class Arithmetic>
__device__ __forceinline__ void form_fragment(const LayerParts<typename Arithmetic::Value>& parts, int tiles,
                                              const double* alpha, typename Arithmetic::Value scale, int fragment,
                                              int lane, typename Arithmetic::Weight* to) {
  const auto weight = [&](int input, int output) {
    return scale * formed_value(parts.weights, parts.weight_directions, parts.moving_weights, parts.out * parts.in,
                                alpha, output * parts.in + input);
  };
  pack_fragment<Arithmetic>(parts.in, parts.out, tiles, fragment, lane, weight, to);
}

/// Forms all fragments of a layer, with all warps of a block.
template <class Arithmetic>
__device__ void form_layer(const LayerParts<typename Arithmetic::Value>& parts, int tiles, int fragments,
                           const double* alpha, typename Arithmetic::Value scale, typename Arithmetic::Weight* to) {
  const int warps = static_cast<int>(blockDim.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < fragments; i += warps) {
    form_fragment<Arithmetic>(parts, tiles, alpha, scale, i, lane, to);
  }
}

}  // namespace lossatlas::kernels
