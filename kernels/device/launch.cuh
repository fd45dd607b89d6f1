// Kernel launches. (Seam: the emulated device has a twin of this file, found first.)
#pragma once

#ifndef __CUDACC__
#error "include <device/launch.cuh> with angle brackets: quotes find this file instead of the emulated device's"
#endif

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

namespace lossatlas::device {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory per block
  cudaStream_t stream = nullptr;
};

/// The shared memory that every kernel may use without asking for more.
inline constexpr std::size_t kDefaultSharedBytes = 48 * 1024;

/// Always raises the kernel's limit to all that the device allows. The limit belongs to the kernel, so launches from
/// several threads must not lower it for each other.
template <class... Params>
[[nodiscard]] cudaError_t allow_shared(void (*kernel)(Params...), std::size_t bytes) {
  if (bytes <= kDefaultSharedBytes) return cudaSuccess;
  int device = 0, most = 0;
  if (const cudaError_t status = cudaGetDevice(&device); status != cudaSuccess) return status;
  const cudaError_t status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (status != cudaSuccess) return status;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

/// kernel<<<grid, block, shared_bytes, stream>>>(args...).
template <class... Params, class... Args>
[[nodiscard]] cudaError_t launch(void (*kernel)(Params...), const LaunchShape& shape, Args&&... args) {
  if (const cudaError_t status = allow_shared(kernel, shape.shared_bytes); status != cudaSuccess) return status;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...);
}

/// How many blocks of this shape one multiprocessor holds at a time.
template <class... Params>
[[nodiscard]] cudaError_t blocks_per_multiprocessor(void (*kernel)(Params...), int threads, std::size_t shared_bytes,
                                                    int* blocks) {
  if (const cudaError_t status = allow_shared(kernel, shared_bytes); status != cudaSuccess) return status;
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, threads, shared_bytes);
}

}  // namespace lossatlas::device
