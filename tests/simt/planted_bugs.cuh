// Kernels with one bug each, and correct ones that a naive checker would flag. Ordinary CUDA.
#pragma once

#include <cuda_runtime.h>

#include <device/intrinsics.cuh>
#include <device/shared.cuh>

namespace planted {

inline constexpr int kThreads = 128;

__global__ void correct_rotate(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = s[(threadIdx.x + 1) % kThreads];
}

__global__ void missing_barrier(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  s[threadIdx.x] = threadIdx.x;
  y[threadIdx.x] = s[(threadIdx.x + 1) % kThreads];
}

// Neighbours are one lane apart, so that lockstep hardware would mostly get away with it.
__global__ void missing_syncwarp(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  s[threadIdx.x] = threadIdx.x;
  const int zero = __shfl_xor_sync(~0u, 0, 1);  // a shuffle does not order memory
  y[threadIdx.x] = s[threadIdx.x ^ 1] + zero;
}

__global__ void correct_syncwarp(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  s[threadIdx.x] = threadIdx.x;
  __syncwarp();
  y[threadIdx.x] = s[threadIdx.x ^ 1];
}

// Write after read: the buffer is refilled while slower threads still read it.
__global__ void missing_barrier_at_loop_end(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  float sum = 0;
  for (int i = 0; i < 4; ++i) {
    s[threadIdx.x] = threadIdx.x + i;
    __syncthreads();
    sum += s[(threadIdx.x + 64) % kThreads];
  }
  y[threadIdx.x] = sum;
}

__device__ inline void start_copy(float* s, const float* x) {
  if (threadIdx.x < kThreads / 4) lossatlas::device::copy_async<16>(s + 4 * threadIdx.x, x + 4 * threadIdx.x);
  lossatlas::device::copy_async_commit();
}

__global__ void correct_copy(const float* x, float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  start_copy(s, x);
  lossatlas::device::copy_async_wait<0>();
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

__global__ void missing_copy_wait(const float* x, float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  start_copy(s, x);
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
  lossatlas::device::copy_async_wait<0>();
}

__global__ void copy_wait_without_barrier(const float* x, float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  start_copy(s, x);
  lossatlas::device::copy_async_wait<0>();
  y[threadIdx.x] = s[threadIdx.x];
}

__global__ void uninitialised_shared(float* y) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  if (threadIdx.x != 5) s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

__global__ void copy_values(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

__global__ void static_shared_overflow(float* y, int n) {
  __shared__ float s[kThreads];
  float* p = s;
  p[threadIdx.x + n] = 1;
  __syncthreads();
  y[threadIdx.x] = p[threadIdx.x];
}

__global__ void dynamic_shared_overflow(float* y, int n) {
  auto* s = lossatlas::device::dynamic_shared<float>();
  s[threadIdx.x + n] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

struct Two {
  float a[kThreads], b[kThreads];
};
__global__ void member_overflow(float* y, int n) {
  auto& s = *lossatlas::device::dynamic_shared<Two>();
  s.b[threadIdx.x] = 0;
  s.a[threadIdx.x + n] = 1;  // runs into b
  __syncthreads();
  y[threadIdx.x] = s.b[threadIdx.x];
}

__global__ void global_overflow(float* y, int n) { y[threadIdx.x + n] = 1; }

__global__ void misaligned_vector(const float* x, float* y) {
  const float4 v = *reinterpret_cast<const float4*>(x + 4 * (threadIdx.x % 8) + 1);
  y[threadIdx.x] = v.x;
}

__global__ void barrier_in_branch(float* y) {
  if (threadIdx.x < 64) __syncthreads();
  y[threadIdx.x] = 1;
}

__global__ void barrier_in_both_branches(float* y) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

__global__ void early_return(float* y, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  __syncthreads();
  y[threadIdx.x] = 1;
}

__global__ void shuffle_in_branch(float* y) {
  float v = 1;
  if (threadIdx.x % 32 < 16) v += __shfl_xor_sync(~0u, v, 1);
  y[threadIdx.x] = v;
}

__global__ void shuffle_from_absent_lane(float* y) {
  float v = 1;
  if (threadIdx.x % 32 < 16) v += __shfl_xor_sync(0xffffu, v, 16);
  y[threadIdx.x] = v;
}

__global__ void race_between_blocks(float* y) {
  if (threadIdx.x == 0) y[0] += 1;
}

// Correct: the last block to finish sums up.
__global__ void correct_last_block(double* parts, unsigned* ticket, double* out) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = blockIdx.x + 1;
    __threadfence();
    last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    double sum = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b];
    *out = sum;
  }
}

__global__ void write_value(float* y, float value) { y[threadIdx.x] = value; }

}  // namespace planted
