// The emulated twin of kernels/device/launch.cuh.
#pragma once

#include "simt/cuda.hpp"

namespace lossatlas::device {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
  simt::Site site = simt::Site::current();
};

/// The shared memory that a kernel gets without asking.
inline constexpr std::size_t kDefaultSharedBytes = 48 * 1024;

template <class... Params>
[[nodiscard]] cudaError_t allow_shared(void (*kernel)(Params...), std::size_t bytes) {
  if (bytes <= kDefaultSharedBytes) return cudaSuccess;
  int device = 0, most = 0;
  if (const cudaError_t status = cudaGetDevice(&device); status != cudaSuccess) return status;
  const cudaError_t status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (status != cudaSuccess) return status;
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

template <class... Params, class... Args>
[[nodiscard]] cudaError_t launch(void (*kernel)(Params...), const LaunchShape& shape, Args&&... args) {
  if (const cudaError_t status = allow_shared(kernel, shape.shared_bytes); status != cudaSuccess) return status;
  return simt::enqueue(
      simt::make_call(kernel, shape.grid, shape.block, shape.shared_bytes, shape.site, std::forward<Args>(args)...),
      shape.stream);
}

template <class... Params>
[[nodiscard]] cudaError_t blocks_per_multiprocessor(void (*kernel)(Params...), int threads, std::size_t shared_bytes,
                                                    int* blocks) {
  if (const cudaError_t status = allow_shared(kernel, shared_bytes); status != cudaSuccess) return status;
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reinterpret_cast<const void*>(kernel), threads,
                                                       shared_bytes);
}

}  // namespace lossatlas::device
