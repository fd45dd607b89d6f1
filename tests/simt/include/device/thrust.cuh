// The emulated twin of kernels/device/thrust.cuh: Thrust's CPP back end, in stream order.
#pragma once

#include "simt/cuda.hpp"

#include <thrust/copy.h>
#include <thrust/sort.h>
#include <thrust/system/cpp/execution_policy.h>

namespace lossatlas::device {

namespace emulated {

inline void require_success(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

}  // namespace emulated

template <class Key, class Value>
void sort_by_key(cudaStream_t stream, Key* keys, Value* values, std::int64_t count,
                 simt::Site site = simt::Site::current()) {
  const auto work = [=] { thrust::stable_sort_by_key(thrust::cpp::par, keys, keys + count, values); };
  emulated::require_success(simt::enqueue(work, {keys, values}, stream, site));
}

template <class T, class Predicate>
std::int64_t copy_if(cudaStream_t stream, const T* in, std::int64_t count, T* out, Predicate predicate,
                     simt::Site site = simt::Site::current()) {
  std::int64_t kept = 0;
  const auto work = [=, &kept] { kept = thrust::copy_if(thrust::cpp::par, in, in + count, out, predicate) - out; };
  emulated::require_success(simt::enqueue(work, {in, out}, stream, site));
  emulated::require_success(cudaStreamSynchronize(stream));
  return kept;
}

}  // namespace lossatlas::device
