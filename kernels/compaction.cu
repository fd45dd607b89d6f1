#include "compaction.hpp"

#include <new>

#include <cuda_runtime.h>
#include <thrust/system_error.h>
#include <device/thrust.cuh>

#include "elementwise.cuh"

namespace lossatlas::kernels {
namespace {

// The point itself where any of its chunks has a flag, else −1.
struct MarkFlagged {
  const std::int32_t* flags;
  std::int64_t chunks;
  std::int32_t* marks;

  __device__ void operator()(std::int64_t point) const {
    bool any = false;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) any = any || flags[point * chunks + chunk] != 0;
    marks[point] = any ? static_cast<std::int32_t>(point) : -1;
  }
};

struct IsMarked {
  __host__ __device__ bool operator()(std::int32_t mark) const { return mark >= 0; }
};

struct GatherRows {
  const double* from;
  const std::int32_t* chosen;
  std::int64_t width;
  double* to;

  __device__ void operator()(std::int64_t i) const { to[i] = from[chosen[i / width] * width + i % width]; }
};

struct ScatterRows {
  const double* from;
  const std::int32_t* chosen;
  std::int64_t width;
  double* to;

  __device__ void operator()(std::int64_t i) const { to[chosen[i / width] * width + i % width] = from[i]; }
};

}  // namespace

cudaError_t compact_flagged(const std::int32_t* flags, std::int64_t points, std::int64_t chunks, std::int32_t* marks,
                            std::int32_t* chosen, std::int64_t* count, cudaStream_t stream) {
  if (const cudaError_t status = launch_for_each(points, MarkFlagged{flags, chunks, marks}, stream);
      status != cudaSuccess) {
    return status;
  }
  try {
    *count = device::copy_if(stream, static_cast<const std::int32_t*>(marks), points, chosen, IsMarked());
  } catch (const std::bad_alloc&) {
    return cudaErrorMemoryAllocation;
  } catch (const thrust::system_error& error) {
    return static_cast<cudaError_t>(error.code().value());
  }
  return cudaSuccess;
}

cudaError_t launch_gather_rows(const double* from, const std::int32_t* chosen, std::int64_t count, std::int64_t width,
                               double* to, cudaStream_t stream) {
  return launch_for_each(count * width, GatherRows{from, chosen, width, to}, stream);
}

cudaError_t launch_scatter_rows(const double* from, const std::int32_t* chosen, std::int64_t count, std::int64_t width,
                                double* to, cudaStream_t stream) {
  return launch_for_each(count * width, ScatterRows{from, chosen, width, to}, stream);
}

}  // namespace lossatlas::kernels
