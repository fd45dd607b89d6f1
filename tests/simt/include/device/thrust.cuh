// The emulated twin of kernels/device/thrust.cuh: Thrust's CPP back end, in stream order.
#pragma once

#include "simt/cuda.hpp"

#include <thrust/copy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system_error.h>

namespace lossatlas::device {

constexpr std::int64_t index_workspace(std::int64_t count) { return 16 * count + 4096; }

/// Touches the last byte of the workspace too, so that one that is too small shows.
template <class T, class Predicate>
std::int64_t indices_if(cudaStream_t stream, const T* values, std::int64_t count, std::int32_t* to, void* workspace,
                        Predicate predicate, simt::Site site = simt::Site::current()) {
  const auto require_success = [](cudaError_t status) {
    if (status != cudaSuccess) throw thrust::system_error(status, thrust::generic_category());
  };
  require_success(cudaMemsetAsync(static_cast<unsigned char*>(workspace) + index_workspace(count) - 1, 0, 1, stream));
  std::int64_t kept = 0;
  const auto work = [=, &kept] {
    const thrust::counting_iterator<std::int32_t> first(0);
    kept = thrust::copy_if(thrust::cpp::par, first, first + count, values, to, predicate) - to;
  };
  require_success(simt::enqueue(work, {values, to}, stream, site));
  require_success(cudaStreamSynchronize(stream));
  return kept;
}

}  // namespace lossatlas::device
