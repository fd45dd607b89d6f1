// Options of the benchmark programs besides Google Benchmark's.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "rates.hpp"

namespace lossatlas::bench {

/// Removes `--name VALUE` or `--name=VALUE` from the arguments; returns VALUE, or empty if it is not there.
inline std::string take_option(std::vector<char*>& arguments, std::string_view name) {
  for (auto at = arguments.begin() + 1; at < arguments.end(); ++at) {
    const std::string_view text = *at;
    if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) {
      std::string value(text.substr(name.size() + 1));
      arguments.erase(at);
      return value;
    }
    if (text == name && at + 1 < arguments.end()) {
      std::string value = *(at + 1);
      arguments.erase(at, at + 2);
      return value;
    }
  }
  return {};
}

/// Removes `--device cpu|cuda` and `--threads N` from the arguments.
inline Device take_device(std::vector<char*>& arguments) {
  const std::string kind = take_option(arguments, "--device");
  const std::string threads = take_option(arguments, "--threads");
  if (kind == "cuda") return Device::cuda();
  if (!kind.empty() && kind != "cpu")
    throw std::invalid_argument("--device: received " + kind + ", expected cpu or cuda");
  return Device::cpu({.threads = std::atoi(threads.c_str())});
}

/// FLOP/s of 2048³ products, median of five.
template <class T>
double median_product_rate(int threads) {
  std::vector<double> seconds;
  for (int k = 0; k < 5; ++k) seconds.push_back(product_seconds<T>(threads).wall);
  std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
  return kProductFlop / seconds[2];
}

inline void print_rates(const Device& device) {
  const nlohmann::json rates = {{"blas", blas_library()},
                                {"f32", median_product_rate<float>(device.threads())},
                                {"f64", median_product_rate<double>(device.threads())}};
  std::printf("%s\n", rates.dump().c_str());
}

/// Runs the registered benchmarks; returns 2 if an argument is unknown.
inline int run_benchmarks(std::vector<char*> arguments, const Device& device) {
  auto count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::AddCustomContext("device", device.describe());
  benchmark::AddCustomContext("threads", std::to_string(device.threads()));
  benchmark::AddCustomContext("blas", blas_library());
  benchmark::AddCustomContext("compiler", "g++ " __VERSION__);
  benchmark::AddCustomContext("lossatlas", version());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

/// Runs a program's main and prints its errors as one line.
template <class Run>
int guarded(const char* program, Run&& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace lossatlas::bench
