#include "compaction.hpp"

#include <new>

#include <cuda_runtime.h>
#include <thrust/system_error.h>
#include <device/thrust.cuh>

#include "elementwise.cuh"

namespace lossatlas::kernels {
namespace {

struct IsRaised {
  __host__ __device__ bool operator()(std::int32_t flag) const { return flag != 0; }
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

std::int64_t compaction_workspace(std::int64_t points) { return device::index_workspace(points); }

cudaError_t compact_flagged(const std::int32_t* flags, std::int64_t points, void* workspace, std::int32_t* chosen,
                            std::int64_t* count, cudaStream_t stream) {
  try {
    *count = device::indices_if(stream, flags, points, chosen, workspace, IsRaised());
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
