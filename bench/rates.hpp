// What is measured beside each benchmark: OpenBLAS's products, and seconds. Floors use measure_rates().
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/random.hpp"

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*, std::size_t, std::size_t);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*, std::size_t, std::size_t);
void openblas_set_num_threads(int);
}

namespace lossatlas::bench {

/// Seconds on the wall clock, and the sum over all of the process's threads.
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

}  // namespace lossatlas::bench
