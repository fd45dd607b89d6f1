// What the machine can do, measured beside each benchmark: the numbers that floors are made of.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <thread>
#include <type_traits>
#include <vector>

#include <lossatlas/activation.hpp>

// Highway's header includes the file once for every target, and finds it by the include path of src/.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "../bench/fma_rate-inl.hpp"
#include <hwy/foreach_target.h>

#include "fma_rate-inl.hpp"

#include "cpu/section_kernel.hpp"
#include "cpu/section_pack.hpp"
#include "random.hpp"

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*, std::size_t, std::size_t);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*, std::size_t, std::size_t);
void openblas_set_num_threads(int);
}

namespace lossatlas::bench {

HWY_EXPORT(fma_rounds_f32);
HWY_EXPORT(fma_rounds_f64);

/// Seconds of the wall clock, and of all of the process's threads together.
struct Seconds {
  double wall = 0;
  double cpu = 0;
};

template <class Work>
Seconds seconds_of(Work&& work) {
  const auto wall = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count(),
          static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC};
}

inline constexpr int kProductSize = 2048;
inline constexpr double kProductFlop = 2.0 * kProductSize * kProductSize * kProductSize;

/// work() on `threads` threads at once, the caller's among them.
template <class Work>
Seconds team_seconds(int threads, Work&& work) {
  return seconds_of([&] {
    std::vector<std::jthread> team;
    for (int thread = 1; thread < threads; ++thread) team.emplace_back(work);
    work();
  });
}

/// FLOP/s of multiply-adds in registers on `threads` threads.
template <class T>
double fma_rate(int threads) {
  constexpr std::int64_t rounds = 4'000'000;
  std::atomic<double> flop{0};
  const Seconds seconds = team_seconds(threads, [&] {
    T result = 0;
    if constexpr (std::is_same_v<T, float>) {
      flop = HWY_DYNAMIC_DISPATCH(fma_rounds_f32)(rounds, &result);
    } else {
      flop = HWY_DYNAMIC_DISPATCH(fma_rounds_f64)(rounds, &result);
    }
    benchmark::DoNotOptimize(result);
  });
  return flop * threads / seconds.wall;
}

template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t stream) {
  std::vector<T> values(static_cast<std::size_t>(count));
  Random random(1, stream);
  for (T& value : values) value = static_cast<T>(random.normal());
  return values;
}

/// One product of random 2048 × 2048 matrices by OpenBLAS on `threads` threads.
template <class T>
Seconds product_seconds(int threads) {
  static const std::vector<T> a = random_values<T>(kProductSize * kProductSize, 1);
  static const std::vector<T> b = random_values<T>(kProductSize * kProductSize, 2);
  static std::vector<T> c(a.size());
  const auto multiply = [&] {
    const T one = 1, zero = 0;
    const int n = kProductSize;
    if constexpr (std::is_same_v<T, float>) {
      sgemm_("N", "N", &n, &n, &n, &one, a.data(), &n, b.data(), &n, &zero, c.data(), &n, 1, 1);
    } else {
      dgemm_("N", "N", &n, &n, &n, &one, a.data(), &n, b.data(), &n, &zero, c.data(), &n, 1, 1);
    }
  };
  openblas_set_num_threads(threads);
  static const bool warm = (multiply(), true);
  static_cast<void>(warm);
  const Seconds seconds = seconds_of(multiply);
  std::this_thread::sleep_for(std::chrono::milliseconds(80));  // until OpenBLAS's threads no longer spin
  return seconds;
}

/// Bytes a second, read and written, of copies between arrays that no cache holds, on `threads` threads.
inline double copy_rate(int threads) {
  constexpr std::size_t size = std::size_t{1} << 26;
  constexpr int copies = 2;
  static std::vector<std::vector<char>> from, to;
  while (from.size() < static_cast<std::size_t>(threads)) from.emplace_back(size, 1), to.emplace_back(size, 2);
  std::atomic<std::size_t> next{0};
  const Seconds seconds = team_seconds(threads, [&] {
    const std::size_t mine = next++;
    for (int copy = 0; copy < copies; ++copy) {
      std::copy(from[mine].begin(), from[mine].end(), to[mine].begin());
      benchmark::ClobberMemory();
    }
  });
  return 2.0 * copies * static_cast<double>(size) * threads / seconds.wall;
}

inline constexpr std::int64_t kTanhUnits = 64;
inline constexpr std::int64_t kTanhCalls = 20000;

/// Values of tanh that tanh_seconds() computes.
template <class T>
double tanh_count(int threads) {
  return static_cast<double>(kTanhUnits * cpu::section_kernels<T>().rows * kTanhCalls) * threads;
}

/// The library's own tanh on `threads` threads, of values that stay in the first-level cache, with nothing beside it.
template <class T>
Seconds tanh_seconds(int threads) {
  const cpu::SectionKernels<T>& kernels = cpu::section_kernels<T>();
  const std::int64_t size = kTanhUnits * kernels.rows;
  const std::vector<T> values = random_values<T>(size, 3), bias(static_cast<std::size_t>(kTanhUnits));
  const auto work = [&] {
    cpu::AlignedBuffer<T> input(size), output(size);
    std::copy(values.begin(), values.end(), input.data());
    const cpu::JointTile<T> tile{kTanhUnits, 0, input.data(), nullptr, bias.data(), Activation::tanh};
    for (std::int64_t call = 0; call < kTanhCalls; ++call) kernels.joint(tile, output.data());
  };
  return team_seconds(threads, work);
}

}  // namespace lossatlas::bench
