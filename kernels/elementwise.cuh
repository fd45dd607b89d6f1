// A kernel that calls a function object once per index.
#pragma once

#include <algorithm>
#include <cstdint>

#include <cuda_runtime.h>
#include <device/launch.cuh>

namespace lossatlas::kernels {

inline constexpr int kElementThreads = 256;
inline constexpr std::int64_t kMostBlocks = 1 << 16;

template <class Body>
__global__ void __launch_bounds__(kElementThreads, 2) for_each_index(std::int64_t count, const Body body) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kElementThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x; i < count; i += step) {
    body(i);
  }
}

/// body(i) for i < count; Body has a const __device__ operator()(std::int64_t).
template <class Body>
cudaError_t launch_for_each(std::int64_t count, const Body& body, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  const std::int64_t blocks = std::min(kMostBlocks, (count + kElementThreads - 1) / kElementThreads);
  return device::launch(for_each_index<Body>, {dim3(static_cast<unsigned>(blocks)), dim3(kElementThreads), 0, stream},
                        count, body);
}

}  // namespace lossatlas::kernels
