// Compaction by Thrust, off the hot path. (Seam: the emulated device has a twin of this file, found first.) Takes half
// a minute to compile, so only one source includes it.
#pragma once

#ifndef __CUDACC__
#error "include <device/thrust.cuh> with angle brackets: quotes find this file instead of the emulated device's"
#endif

#include <cuda_runtime.h>
#include <thrust/copy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/cuda/execution_policy.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

namespace lossatlas::device {

/// Bytes of device memory sufficient to find indices among `count`: at most 16 bytes of state per group of elements.
constexpr std::int64_t index_workspace(std::int64_t count) { return 16 * count + 4096; }

/// Hands out consecutive pieces of one memory block.
class WorkspaceAllocator {
 public:
  using value_type = unsigned char;

  WorkspaceAllocator(void* memory, std::int64_t bytes) : memory_(static_cast<value_type*>(memory)), bytes_(bytes) {}
  value_type* allocate(std::ptrdiff_t bytes) {
    if (bytes > bytes_) throw std::bad_alloc();
    value_type* const piece = memory_;
    const std::int64_t taken = std::min<std::int64_t>((bytes + kAlign - 1) / kAlign * kAlign, bytes_);
    memory_ += taken;
    bytes_ -= taken;
    return piece;
  }
  void deallocate(value_type*, std::size_t) {}

 private:
  static constexpr std::int64_t kAlign = 256;  // as cudaMalloc gives

  value_type* memory_;
  std::int64_t bytes_;
};

/// Writes the indices, ascending, of the elements of `values` (count) that satisfy the predicate, a functor for host
/// and device, to `to`; waits for the stream and returns how many there are. `workspace` is index_workspace(count)
/// bytes of device memory. Throws thrust::system_error.
template <class T, class Predicate>
std::int64_t indices_if(cudaStream_t stream, const T* values, std::int64_t count, std::int32_t* to, void* workspace,
                        Predicate predicate) {
  WorkspaceAllocator allocator(workspace, index_workspace(count));
  const thrust::counting_iterator<std::int32_t> first(0);
  return thrust::copy_if(thrust::cuda::par(allocator).on(stream), first, first + count, values, to, predicate) - to;
}

}  // namespace lossatlas::device
