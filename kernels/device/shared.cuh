// Dynamic shared memory, typed. (Seam: the emulated device has a twin of this file, found first.)
#pragma once

#ifndef __CUDACC__
#error "include <device/shared.cuh> with angle brackets: quotes find this file instead of the emulated device's"
#endif

#include <cuda_runtime.h>

namespace lossatlas::device {

/// The block's dynamic shared memory. One untyped declaration serves every kernel, because `extern __shared__` arrays
/// of one name but different types do not compile together.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

}  // namespace lossatlas::device
