// CUDA's device language for a host compiler. Included ahead of every kernel source (g++ -include).
#pragma once

#ifdef __CUDACC__
#error "nvcc has the real thing"
#endif

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>

#include "simt/runtime.hpp"

// A plain static is the block's own, and AddressSanitizer guards it.
#undef __shared__
#define __shared__ static SIMT_BLOCK_LOCAL
#undef __launch_bounds__
#define __launch_bounds__(...)

extern constinit SIMT_BLOCK_LOCAL uint3 threadIdx;
extern constinit SIMT_BLOCK_LOCAL uint3 blockIdx;
extern constinit SIMT_BLOCK_LOCAL dim3 blockDim;
extern constinit SIMT_BLOCK_LOCAL dim3 gridDim;
inline constexpr int warpSize = simt::detail::kWarpSize;

// ---- Barriers and fences

inline void __syncthreads(simt::Site site = simt::Site::current()) { simt::detail::block_barrier(site); }
inline int __syncthreads_count(int p, simt::Site site = simt::Site::current()) {
  return simt::detail::block_vote(
      p, [](int trues, int) { return trues; }, site);
}
inline int __syncthreads_and(int p, simt::Site site = simt::Site::current()) {
  return simt::detail::block_vote(
      p, [](int trues, int threads) -> int { return trues == threads; }, site);
}
inline int __syncthreads_or(int p, simt::Site site = simt::Site::current()) {
  return simt::detail::block_vote(
      p, [](int trues, int) -> int { return trues > 0; }, site);
}
inline void __threadfence() { simt::detail::fence(); }
inline void __threadfence_block() { simt::detail::fence(); }
inline void __threadfence_system() { simt::detail::fence(); }

// ---- Warp collectives

#define SIMT_UNTRACED __attribute__((no_sanitize("thread")))  // touches other lanes' registers

namespace simt::detail {

template <class T>
struct Shuffle {
  T value;
  int source;  // a lane, or -1: keep the own value
};

template <class T>
SIMT_UNTRACED void run_shuffle(unsigned mask, const Shuffle<T>* const* in, T* const* out) {
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const int from = in[lane]->source < 0 ? lane : in[lane]->source;
    if (!(mask >> from & 1)) fail("shuffle", "the source lane is not in the mask");
    *out[lane] = in[from]->value;
  }
}

template <class T>
T shuffle(const char* name, unsigned mask, T value, int source, Site site) {
  return collective<T, Shuffle<T>, run_shuffle<T>>(name, mask, {value, source}, site);
}

inline int lane() { return linear_thread() % kWarpSize; }

SIMT_UNTRACED inline void run_ballot(unsigned mask, const int* const* in, unsigned* const* out) {
  unsigned ballot = 0;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    if (*in[std::countr_zero(rest)]) ballot |= rest & -rest;
  }
  for (unsigned rest = mask; rest; rest &= rest - 1) *out[std::countr_zero(rest)] = ballot;
}

SIMT_UNTRACED inline void run_nothing(unsigned, const char* const*, char* const*) {}

}  // namespace simt::detail

inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Site site = simt::Site::current()) {
  simt::detail::collective<char, char, simt::detail::run_nothing>("__syncwarp", mask, 0, site, true);
}
inline unsigned __ballot_sync(unsigned mask, int p, simt::Site site = simt::Site::current()) {
  return simt::detail::collective<unsigned, int, simt::detail::run_ballot>("__ballot_sync", mask, p, site);
}
inline int __any_sync(unsigned mask, int p, simt::Site site = simt::Site::current()) {
  return __ballot_sync(mask, p, site) != 0;
}
inline int __all_sync(unsigned mask, int p, simt::Site site = simt::Site::current()) {
  return __ballot_sync(mask, !p, site) == 0;
}
inline unsigned __activemask() { return simt::detail::active_lanes(); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, simt::Site site = simt::Site::current()) {
  const int base = simt::detail::lane() & ~(width - 1);
  return simt::detail::shuffle("__shfl_sync", mask, value, base + (source & (width - 1)), site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, simt::Site site = simt::Site::current()) {
  const int lane = simt::detail::lane(), from = lane ^ bits;
  return simt::detail::shuffle("__shfl_xor_sync", mask, value, from < (lane | (width - 1)) + 1 ? from : -1, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, simt::Site site = simt::Site::current()) {
  const int lane = simt::detail::lane(), from = lane + static_cast<int>(by);
  return simt::detail::shuffle("__shfl_down_sync", mask, value, from <= (lane | (width - 1)) ? from : -1, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, simt::Site site = simt::Site::current()) {
  const int lane = simt::detail::lane(), from = lane - static_cast<int>(by);
  return simt::detail::shuffle("__shfl_up_sync", mask, value, from >= (lane & ~(width - 1)) ? from : -1, site);
}

// ---- Atomics: relaxed, as in CUDA

template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref(*p).fetch_add(v, std::memory_order_relaxed);
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref(*p).exchange(v, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  std::atomic_ref(*p).compare_exchange_strong(expected, v, std::memory_order_relaxed);
  return expected;
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> v) {
  T old = std::atomic_ref(*p).load(std::memory_order_relaxed);
  while (old < v && !std::atomic_ref(*p).compare_exchange_weak(old, v, std::memory_order_relaxed)) {
  }
  return old;
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> v) {
  T old = std::atomic_ref(*p).load(std::memory_order_relaxed);
  while (v < old && !std::atomic_ref(*p).compare_exchange_weak(old, v, std::memory_order_relaxed)) {
  }
  return old;
}

// ---- Arithmetic and bits

template <class T>
T __ldg(const T* p) {
  return *p;
}

inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
// The hardware functions round otherwise; these are exact to the last bits.
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
using std::fma;
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x ? std::countr_zero(static_cast<unsigned>(x)) + 1 : 0; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }

// ---- Cooperative groups (the toolkit's header is empty outside nvcc)

namespace cooperative_groups {

struct thread_block {
  void sync(simt::Site site = simt::Site::current()) const { simt::detail::block_barrier(site); }
  unsigned thread_rank() const { return static_cast<unsigned>(simt::detail::linear_thread()); }
  unsigned size() const { return blockDim.x * blockDim.y * blockDim.z; }
};
inline thread_block this_thread_block() { return {}; }

template <unsigned Size>
struct thread_block_tile {
  static_assert(Size <= 32 && (Size & (Size - 1)) == 0);
  unsigned thread_rank() const { return static_cast<unsigned>(simt::detail::lane()) % Size; }
  static constexpr unsigned size() { return Size; }
  unsigned mask() const {
    return (Size == 32 ? 0xffffffffu : (1u << Size % 32) - 1) << (simt::detail::lane() & ~(int(Size) - 1));
  }
  void sync(simt::Site s = simt::Site::current()) const { __syncwarp(mask(), s); }
  template <class T>
  T shfl(T v, int source, simt::Site s = simt::Site::current()) const {
    return __shfl_sync(mask(), v, source, Size, s);
  }
  template <class T>
  T shfl_xor(T v, int bits, simt::Site s = simt::Site::current()) const {
    return __shfl_xor_sync(mask(), v, bits, Size, s);
  }
  template <class T>
  T shfl_down(T v, unsigned by, simt::Site s = simt::Site::current()) const {
    return __shfl_down_sync(mask(), v, by, Size, s);
  }
};
template <unsigned Size>
thread_block_tile<Size> tiled_partition(const thread_block&) {
  return {};
}

}  // namespace cooperative_groups
