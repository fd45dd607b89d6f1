// Sums in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace lossatlas::kernels {

/// The sum over the warp, in every lane: a butterfly, so every lane sums in the same order.
template <class T>
__device__ T warp_sum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

/// The sum over a block of kThreads, valid in its first warp. `partial` is shared memory; a barrier must lie between
/// two calls with the same one.
template <int kThreads, class T>
__device__ T block_sum(T value, T (&partial)[kThreads / 32]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  value = warp_sum(value);
  if (lane == 0) partial[warp] = value;
  __syncthreads();  // partial is complete
  if (warp == 0) value = warp_sum(lane < kThreads / 32 ? partial[lane] : T(0));
  return value;
}

}  // namespace lossatlas::kernels
