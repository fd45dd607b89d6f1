// The emulated twin of kernels/device/intrinsics.cuh: the same signatures, as warp collectives.
#pragma once

#include "simt/cuda.hpp"

namespace lossatlas::device {

namespace emulated {

/// Where a lane's i-th element lies in a column-major tile, as strides over lane % 4, lane / 4 and the bits of i: an
/// independent statement of the PTX layouts (CuTe's form), not shared with any kernel.
struct Layout {
  int member, group, bit[3];
  constexpr int operator()(int lane, int i) const {
    return lane % 4 * member + lane / 4 * group + (i & 1) * bit[0] + (i >> 1 & 1) * bit[1] + (i >> 2 & 1) * bit[2];
  }
};

template <class In, class Acc>
struct Operands {
  const In* a;
  const In* b;
  Acc* d;
};

template <class T>
SIMT_UNTRACED inline T element(const T* registers, int i) {
  return registers[i];
}
struct Tf32 {
  std::uint32_t bits;
};
SIMT_UNTRACED inline float element(const Tf32* registers, int i) {
  return std::bit_cast<float>(registers[i].bits & ~0x1fffu);  // the hardware ignores the low 13 bits
}
struct HalfPair {
  std::uint32_t bits;
};
SIMT_UNTRACED inline float element(const HalfPair* registers, int i) {
  return static_cast<float>(std::bit_cast<_Float16>(static_cast<std::uint16_t>(registers[i / 2].bits >> 16 * (i % 2))));
}

/// Sums in float are truncated, as those of tensor cores are; beyond the range they become infinite.
SIMT_UNTRACED inline double to_accumulator(double sum, const double*) { return sum; }
SIMT_UNTRACED inline float to_accumulator(double sum, const float*) {
  const auto nearest = static_cast<float>(sum);
  return std::isfinite(nearest) && std::fabs(nearest) > std::fabs(sum) ? std::nextafter(nearest, 0.0f) : nearest;
}

/// d += a·b over the warp, products and sums in double, then one rounding per element: hardware, which also truncates
/// the terms of a sum, differs in the last bits. The tile of b is n×k with n first, as in CuTe.
template <int M, int N, int K, Layout A, Layout B, Layout C, class In, class Acc>
SIMT_UNTRACED void run_mma(unsigned, const Operands<In, Acc>* const* in, char* const*) {
  double a[M * K], b[N * K], d[M * N];
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < M * K / 32; ++i) a[A(lane, i)] = element(in[lane]->a, i);
    for (int i = 0; i < N * K / 32; ++i) b[B(lane, i)] = element(in[lane]->b, i);
    for (int i = 0; i < M * N / 32; ++i) d[C(lane, i)] = in[lane]->d[i];
  }
  for (int n = 0; n < N; ++n) {
    for (int k = 0; k < K; ++k) {
      for (int m = 0; m < M; ++m) d[m + M * n] += a[m + M * k] * b[n + N * k];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < M * N / 32; ++i) in[lane]->d[i] = to_accumulator(d[C(lane, i)], in[lane]->d);
  }
}

template <int M, int N, int K, Layout A, Layout B, Layout C, class In, class Acc>
void mma(const char* name, const In* a, const In* b, Acc* d, simt::Site site) {
  simt::detail::collective<char, Operands<In, Acc>, run_mma<M, N, K, A, B, C, In, Acc>>(name, 0xffffffffu, {a, b, d},
                                                                                        site);
}

}  // namespace emulated

inline std::uint32_t to_tf32(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::isfinite(x) ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline std::uint32_t pack_half(float low, float high) {
  const auto bits = [](float x) { return std::uint32_t{std::bit_cast<std::uint16_t>(static_cast<_Float16>(x))}; };
  return bits(low) | bits(high) << 16;
}

/// Rounded to 11 bits, so that its error is as large as the hardware's.
inline float tanh_approx(float x) { return std::bit_cast<float>(to_tf32(std::tanh(x))); }

inline void mma_m8n8k4(double (&d)[2], double a, double b, simt::Site site = simt::Site::current()) {
  using namespace emulated;
  mma<8, 8, 4, Layout{8, 1, {}}, Layout{8, 1, {}}, Layout{16, 1, {8}}>("mma.m8n8k4", &a, &b, d, site);
}

inline void mma_m16n8k16(double (&d)[4], const double (&a)[8], const double (&b)[4],
                         simt::Site site = simt::Site::current()) {
  using namespace emulated;
  mma<16, 8, 16, Layout{16, 1, {8, 64, 128}}, Layout{8, 1, {32, 64}}, Layout{32, 1, {16, 8}}>("mma.m16n8k16", a, b, d,
                                                                                              site);
}

inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                             simt::Site site = simt::Site::current()) {
  using namespace emulated;
  mma<16, 8, 8, Layout{16, 1, {8, 64}}, Layout{8, 1, {32}}, Layout{32, 1, {16, 8}}>(
      "mma.m16n8k8", reinterpret_cast<const Tf32*>(a), reinterpret_cast<const Tf32*>(b), d, site);
}

inline void mma_m16n8k16_half(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              simt::Site site = simt::Site::current()) {
  using namespace emulated;
  mma<16, 8, 16, Layout{32, 1, {16, 8, 128}}, Layout{16, 1, {8, 64}}, Layout{32, 1, {16, 8}}>(
      "mma.m16n8k16", reinterpret_cast<const HalfPair*>(a), reinterpret_cast<const HalfPair*>(b), d, site);
}

/// The source is read now, the destination written only by copy_async_wait: reading it earlier shows.
template <int Bytes>
void copy_async(void* shared, const void* global, int valid_bytes = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if ((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global)) % Bytes) {
    simt::detail::fail("cp.async", "an address is not aligned to the size of the copy");
  }
  if (valid_bytes < 0 || valid_bytes > Bytes) simt::detail::fail("cp.async", "valid_bytes is not in 0..Bytes");
  simt::detail::CopyAsync copy{shared, Bytes, {}};
  for (int i = 0; i < valid_bytes; ++i) copy.bytes[i] = static_cast<const unsigned char*>(global)[i];
  simt::detail::copy_async_add(copy);
}

inline void copy_async_commit() { simt::detail::copy_async_commit(); }

template <int Pending>
void copy_async_wait() {
  simt::detail::CopyAsync copy;
  while (simt::detail::copy_async_take(Pending, copy)) {
    for (int i = 0; i < copy.count; i += 4) {
      std::uint32_t word;
      std::memcpy(&word, &copy.bytes[static_cast<std::size_t>(i)], 4);
      static_cast<std::uint32_t*>(copy.to)[i / 4] = word;
    }
  }
}

}  // namespace lossatlas::device
