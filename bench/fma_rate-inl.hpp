// Multiply-adds in registers alone: what the vector units of a core can do at most, for every SIMD target.
#if defined(LOSSATLAS_BENCH_FMA_RATE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOSSATLAS_BENCH_FMA_RATE_INL_HPP_
#undef LOSSATLAS_BENCH_FMA_RATE_INL_HPP_
#else
#define LOSSATLAS_BENCH_FMA_RATE_INL_HPP_
#endif

#include <cstdint>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lossatlas::bench::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kChains = 12;  // more than latency times units, and few enough for 16 registers

/// FLOP of `rounds` rounds; `result` keeps them from being optimised away.
template <class T>
double fma_rounds(std::int64_t rounds, T* result) {
  const hn::ScalableTag<T> d;
  const auto factor = hn::Set(d, T(0.5)), term = hn::Set(d, T(1));
  hn::Vec<hn::ScalableTag<T>> chains[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) chains[i] = hn::Set(d, static_cast<T>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) chains[i] = hn::MulAdd(chains[i], factor, term);
  }
  auto sum = chains[0];
#pragma GCC unroll 12
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, chains[i]);
  *result = hn::GetLane(sum);
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

inline double fma_rounds_f32(std::int64_t rounds, float* result) { return fma_rounds(rounds, result); }
inline double fma_rounds_f64(std::int64_t rounds, double* result) { return fma_rounds(rounds, result); }

}  // namespace lossatlas::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
