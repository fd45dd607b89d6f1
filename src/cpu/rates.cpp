#include "cpu/rates.hpp"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/rates.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace lossatlas::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr int kChains = 12;  // more than latency times number of units, yet few enough for 16 registers

// Returns the FLOP of a round, which is one multiply-add per chain; `result` keeps the work from being optimised away.
template <class T>
double multiply_add(std::int64_t rounds, T* result) {
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
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d));
}

}  // namespace

double multiply_add_f32(std::int64_t rounds, float* result) { return multiply_add(rounds, result); }
double multiply_add_f64(std::int64_t rounds, double* result) { return multiply_add(rounds, result); }

}  // namespace lossatlas::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "base/random.hpp"
#include "base/rate_pace.hpp"
#include "cpu/section_kernel.hpp"
#include "cpu/section_pack.hpp"

namespace lossatlas::cpu {

HWY_EXPORT(multiply_add_f32);
HWY_EXPORT(multiply_add_f64);

namespace {

constexpr double kMostCopyBytes = 0x1p31;  // of all arrays
constexpr double kMostArrayBytes = 0x1p26;
constexpr std::int64_t kTanhUnits = 64;

double array_bytes(int threads) { return std::min(kMostArrayBytes, kMostCopyBytes / (2.0 * threads)); }

/// Rounds per second of work(thread, rounds), all threads together, each after prepare(thread). Neither may throw.
template <class Prepare, class Work>
double rounds_per_second(int threads, const Prepare& prepare, const Work& work) {
  RatePace pace;
  bool started = false;
  std::chrono::steady_clock::time_point begin;
  const auto measure = [&]() noexcept {
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(started, true)) pace.add(std::chrono::duration<double>(now - begin).count());
    begin = std::chrono::steady_clock::now();
  };
  std::barrier together(threads, measure);
  const auto member = [&](int thread) {
    prepare(thread);
    together.arrive_and_wait();
    while (!pace.done()) {
      work(thread, pace.rounds());
      together.arrive_and_wait();
    }
  };
  const auto team = start_team(threads, member);
  const auto all = 1 + std::ssize(team);
  for (auto missing = threads - all; missing > 0; --missing) together.arrive_and_drop();
  member(0);
  return static_cast<double>(all) / pace.seconds_per_round();
}

template <class T>
double flop_rate(int threads) {
  std::atomic<double> flop{0};  // of a round
  const double rate = rounds_per_second(
      threads, [](int) {},
      [&](int, std::int64_t rounds) {
        T result = 0;
        if constexpr (std::is_same_v<T, float>) {
          flop = HWY_DYNAMIC_DISPATCH(multiply_add_f32)(rounds, &result);
        } else {
          flop = HWY_DYNAMIC_DISPATCH(multiply_add_f64)(rounds, &result);
        }
      });
  return flop * rate;
}

/// Rate of the kernels' own tanh, with nothing else running.
template <class T>
double tanh_rate(int threads) {
  const SectionKernels<T>& kernels = section_kernels<T>();
  const std::int64_t size = kTanhUnits * kernels.rows;
  AlignedBuffer<T> values(size);
  Random random(1);
  for (std::int64_t i = 0; i < size; ++i) values.data()[i] = static_cast<T>(random.normal());
  const std::vector<T> bias(static_cast<std::size_t>(kTanhUnits));
  std::vector<AlignedBuffer<T>> outputs;
  for (int thread = 0; thread < threads; ++thread) outputs.emplace_back(size);
  const JointStrip<T> strip{kTanhUnits, 0, values.data(), nullptr, bias.data(), Activation::tanh};
  const double rate = rounds_per_second(
      threads, [](int) {},
      [&](int thread, std::int64_t rounds) {
        T* output = outputs[static_cast<std::size_t>(thread)].data();
        for (std::int64_t round = 0; round < rounds; ++round) kernels.joint(strip, output);
      });
  return static_cast<double>(size) * rate;
}

/// Copies between arrays that belong to each thread, which has touched them first.
double copy_rate(int threads) {
  double bytes = array_bytes(threads);
  while (bytes > 0x1p20 && !fits_host_memory(2 * bytes * threads)) bytes /= 2;
  const auto size = static_cast<std::int64_t>(bytes);
  std::vector<AlignedBuffer<char>> from, to;
  for (int thread = 0; thread < threads; ++thread) from.emplace_back(size), to.emplace_back(size);
  const auto prepare = [&](int thread) {
    std::fill_n(from[static_cast<std::size_t>(thread)].data(), size, char(1));
    std::fill_n(to[static_cast<std::size_t>(thread)].data(), size, char(2));
  };
  const auto copy = [&](int thread, std::int64_t rounds) {
    const char* source = from[static_cast<std::size_t>(thread)].data();
    for (std::int64_t round = 0; round < rounds; ++round) {
      std::copy_n(source, size, to[static_cast<std::size_t>(thread)].data());
      std::atomic_signal_fence(std::memory_order_seq_cst);  // otherwise one copy would do for all
    }
  };
  return 2 * static_cast<double>(size) * rounds_per_second(threads, prepare, copy);
}

}  // namespace

DeviceRates measure_rates(Precision precision, int threads, const Control& control) {
  const bool f64 = precision == Precision::f64;
  DeviceRates rates;
  check_stop(control);
  rates.flop = f64 ? flop_rate<double>(threads) : flop_rate<float>(threads);
  check_stop(control);
  rates.transcendental = f64 ? tanh_rate<double>(threads) : tanh_rate<float>(threads);
  check_stop(control);
  rates.bytes = copy_rate(threads);
  return rates;
}

double rates_bytes(int threads) { return 2 * array_bytes(threads) * threads; }

}  // namespace lossatlas::cpu
#endif  // HWY_ONCE
