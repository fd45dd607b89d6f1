// The PTX of this library, one instruction per function. (Seam: the emulated device has a twin of this file, found
// first.)
//
// Fragments as in the PTX ISA, "Matrix fragments for mma": a warp holds A (M×K), B (K×N) and D (M×N); lane l is member
// l % 4 of group l / 4; comments give the row and column of a lane's i-th register.
#pragma once

#ifndef __CUDACC__
#error "include <device/intrinsics.cuh> with angle brackets: quotes find this file instead of the emulated device's"
#endif

#include <cuda_runtime.h>

#include <cstdint>

namespace lossatlas::device {

/// Rounds to TF32 (nearest, ties away); the low 13 bits of the result are zero.
__device__ __forceinline__ std::uint32_t to_tf32(float x) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits & 0xffffe000u;  // the ISA does not say what they are
}

/// Two floats rounded to half precision (nearest, ties to even).
__device__ __forceinline__ std::uint32_t pack_half(float low, float high) {
  std::uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/// tanh x to a relative error of about 2⁻¹¹.
__device__ __forceinline__ float tanh_approx(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// d += a·b, 8×8×4 in double. a: (group, member); b: (member, group); d[i]: (group, 2 member + i).
__device__ __forceinline__ void mma_m8n8k4(double (&d)[2], double a, double b) {
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(d[0]), "+d"(d[1])
               : "d"(a), "d"(b));
}

/// d += a·b, 16×8×16 in double. a[i]: (group + 8 (i % 2), member + 4 (i / 2)); b[i]: (member + 4 i, group);
/// d[i]: (group + 8 (i / 2), 2 member + i % 2).
__device__ __forceinline__ void mma_m16n8k16(double (&d)[4], const double (&a)[8], const double (&b)[4]) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7, %8, %9, %10, %11}, {%12, %13, %14, %15}, {%0, %1, %2, %3};"
      : "+d"(d[0]), "+d"(d[1]), "+d"(d[2]), "+d"(d[3])
      : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(a[4]), "d"(a[5]), "d"(a[6]), "d"(a[7]), "d"(b[0]), "d"(b[1]),
        "d"(b[2]), "d"(b[3]));
#else
  double upper[2] = {d[0], d[1]}, lower[2] = {d[2], d[3]};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    mma_m8n8k4(upper, a[2 * i], b[i]);
    mma_m8n8k4(lower, a[2 * i + 1], b[i]);
  }
  d[0] = upper[0], d[1] = upper[1], d[2] = lower[0], d[3] = lower[1];
#endif
}

/// d += a·b, 16×8×8 in TF32. a[i]: (group + 8 (i % 2), member + 4 (i / 2)); b[i]: (member + 4 i, group);
/// d[i]: (group + 8 (i / 2), 2 member + i % 2).
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a·b, 16×8×16 in half precision, summed in float. a[i]: (group + 8 (i % 2), 2 member + 8 (i / 2)) and the next
/// column; b[i]: (2 member + 8 i, group) and the next row; d[i]: (group + 8 (i / 2), 2 member + i % 2).
__device__ __forceinline__ void mma_m16n8k16_half(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Starts a copy of 4, 8 or 16 bytes to shared memory, both sides aligned to it; bytes from `valid_bytes` on become 0.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, int valid_bytes = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (Bytes == 16) {  // .cg keeps streamed data out of L1 and takes 16 bytes only
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid_bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(Bytes), "r"(valid_bytes)
                 : "memory");
  }
}

/// Closes the group of this thread's copies since the last commit.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most `Pending` of this thread's newest groups are unfinished. Other threads need a barrier after it.
template <int Pending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace lossatlas::device
