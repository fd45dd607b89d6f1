// Sorting and compaction by Thrust, off the hot path. (Seam: the emulated device has a twin of this file, found first.)
// Half a minute of compile time: one source includes it.
#pragma once

#ifndef __CUDACC__
#error "include <device/thrust.cuh> with angle brackets: quotes find this file instead of the emulated device's"
#endif

#include <cuda_runtime.h>
#include <thrust/copy.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>

#include <cstdint>

namespace lossatlas::device {

/// Sorts keys (count) ascending and values (count) with them, equal keys in their order; on the stream.
/// Throws std::bad_alloc or thrust::system_error.
template <class Key, class Value>
void sort_by_key(cudaStream_t stream, Key* keys, Value* values, std::int64_t count) {
  thrust::stable_sort_by_key(thrust::cuda::par_nosync.on(stream), keys, keys + count, values);
}

/// Copies the elements of in (count) that satisfy the predicate, a functor for host and device, to out in their order;
/// waits for the stream and returns how many. Throws std::bad_alloc or thrust::system_error.
template <class T, class Predicate>
std::int64_t copy_if(cudaStream_t stream, const T* in, std::int64_t count, T* out, Predicate predicate) {
  return thrust::copy_if(thrust::cuda::par.on(stream), in, in + count, out, predicate) - out;
}

}  // namespace lossatlas::device
