#include "cuda/rates.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "../kernels/rates.hpp"
#include "base/parallel.hpp"
#include "base/rate_pace.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kLeastCopyBytes = std::int64_t{1} << 24, kMostCopyBytes = std::int64_t{1} << 30;
constexpr double kLongCopySeconds = 1e-3;

/// Seconds until the work that run(rounds) puts on the stream is done.
template <class Run>
double seconds_of(const Memory& memory, const Run& run, std::int64_t rounds) {
  const auto begin = std::chrono::steady_clock::now();
  run(rounds);
  synchronise(memory);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <class Run>
double seconds_per_round(const Memory& memory, const Run& run) {
  seconds_of(memory, run, 1);  // loads the kernel
  RatePace pace;
  while (!pace.done()) pace.add(seconds_of(memory, run, pace.rounds()));
  return pace.seconds_per_round();
}

/// Grows the arrays until one copy takes long: then no cache of a device that fast holds them.
double copy_rate(Workspace& workspace) {
  Memory& memory = workspace.memory();
  const std::int64_t most = std::min(kMostCopyBytes, memory_budget() / 2);
  for (std::int64_t size = kLeastCopyBytes;; size *= 4) {
    const DeviceBuffer<char> from(memory, size), to(memory, size);
    fill_zero(memory, from.data(), size);
    const auto copy = [&](std::int64_t rounds) {
      for (std::int64_t round = 0; round < rounds; ++round) {
        LOSSATLAS_CUDA(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(size), cudaMemcpyDeviceToDevice,
                                       memory.stream()));
      }
    };
    seconds_of(memory, copy, 1);
    if (4 * size <= most && seconds_of(memory, copy, 1) < kLongCopySeconds) continue;
    return 2 * static_cast<double>(size) / seconds_per_round(memory, copy);
  }
}

}  // namespace

DeviceRates measure_rates(Workspace& workspace, Precision precision, const Control& control) {
  check_stop(control);
  Memory& memory = workspace.memory();
  const std::int64_t multiprocessors = workspace.limits().multiprocessors;
  const DeviceBuffer<double> out(memory, kernels::rate_threads(multiprocessors));
  const auto of = [&](std::int64_t rounds) { return kernels::RateRun{multiprocessors, rounds, out.data()}; };
  const double products = seconds_per_round(memory, [&](std::int64_t rounds) {
    LOSSATLAS_CUDA(kernels::launch_products(precision, of(rounds), memory.stream()));
  });
  check_stop(control);
  const double tanh = seconds_per_round(memory, [&](std::int64_t rounds) {
    LOSSATLAS_CUDA(kernels::launch_tanh(precision, of(rounds), memory.stream()));
  });
  check_stop(control);
  DeviceRates rates{.flop = kernels::products_flop(multiprocessors) / products,
                    .transcendental = kernels::tanh_count(multiprocessors) / tanh,
                    .bytes = copy_rate(workspace),
                    .overlap = true};
  if (precision == Precision::fast) return rates;  // no arithmetic is faster than half precision
  const double ordinary = seconds_per_round(memory, [&](std::int64_t rounds) {
    LOSSATLAS_CUDA(kernels::launch_multiply_adds(precision, of(rounds), memory.stream()));
  });
  rates.flop = std::max(rates.flop, kernels::multiply_adds_flop(multiprocessors) / ordinary);
  return rates;
}

}  // namespace lossatlas::cuda
