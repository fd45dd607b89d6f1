// The exact Hessian of networks 2-m-1 (tanh, mean squared error, N = 1000), and all of its eigenvalues.
//
// Floor of the assembly: N·M² FLOP, half of a product of (M, N) and (N, M), at the rate of dgemm (2048³, same threads)
// measured around it: of_dgemm. The spectrum is the Hessian and its eigenvalues by LAPACK on one thread; its floor is
// the 4/3·M³ FLOP of the tridiagonal form at the rate of dgemm on one thread, of which half are bound by memory.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "rates.hpp"

namespace lossatlas::bench {
namespace {

constexpr std::int64_t kSamples = 1000;

struct Case {
  Landscape landscape;
  std::vector<double> theta;
};

Case regression(std::vector<std::int64_t> widths) {
  const std::int64_t in = widths.front(), out = widths.back();
  Network network = mlp(std::move(widths), Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 1, .scale = {}});
  Dataset data =
      Dataset::regression(random_values<double>(kSamples * in, 4), in, random_values<double>(kSamples * out, 5), out);
  return {Landscape(std::move(network), std::move(data), Loss::mean_squared_error, Device::cpu()), std::move(theta)};
}

double gemm_rate(int threads) { return kProductFlop / product_seconds<double>(threads).wall; }

void assemble(benchmark::State& state, std::vector<std::int64_t> widths) {
  const Case one = regression(std::move(widths));
  const int threads = one.landscape.device().threads();
  const double before = gemm_rate(threads);
  for (auto _ : state) benchmark::DoNotOptimize(hessian(one.landscape, one.theta));
  const double rate = (before + gemm_rate(threads)) / 2;
  const auto size = static_cast<double>(one.theta.size());
  const double flop = static_cast<double>(kSamples) * size * size;
  state.counters["M"] = size;
  state.counters["flop/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["gemm_flop/s"] = rate;
  state.counters["of_dgemm"] = benchmark::Counter(flop / rate, benchmark::Counter::kIsIterationInvariantRate);
}

void multiply(benchmark::State& state, std::vector<std::int64_t> widths) {
  const Case one = regression(std::move(widths));
  const HessianOperator product(one.landscape, one.theta);
  const std::vector<double> vectors = random_values<double>(state.range(0) * product.size(), 6);
  for (auto _ : state) benchmark::DoNotOptimize(product.multiply(vectors));
  state.counters["vectors/s"] =
      benchmark::Counter(static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate);
}

void spectrum(benchmark::State& state, std::vector<std::int64_t> widths, SpectrumOptions options) {
  const Case one = regression(std::move(widths));
  const double rate = gemm_rate(1);
  for (auto _ : state) {
    const Spectrum result = hessian_spectrum(one.landscape, one.theta, options);
    const double allowed = 20 * static_cast<double>(one.theta.size()) * 0x1p-52 * std::abs(result.eigenvalues.back());
    if (options.vectors && !(result.residual <= allowed)) state.SkipWithError("the eigenpairs leave a residual");
  }
  state.counters["M"] = static_cast<double>(one.theta.size());
  state.counters["of_floor"] = benchmark::Counter(4.0 / 3 * std::pow(static_cast<double>(one.theta.size()), 3) / rate,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void wall_time(benchmark::internal::Benchmark* benchmark) {
  benchmark->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
}

using Widths = std::vector<std::int64_t>;

BENCHMARK_CAPTURE(assemble, 2_100_1, Widths{2, 100, 1})->Apply(wall_time);
BENCHMARK_CAPTURE(assemble, 2_1250_1, Widths{2, 1250, 1})->Apply(wall_time);
BENCHMARK_CAPTURE(assemble, 20_60_60_10, Widths{20, 60, 60, 10})->Apply(wall_time);
BENCHMARK_CAPTURE(multiply, 2_1250_1, Widths{2, 1250, 1})->Arg(1)->Arg(64)->Apply(wall_time);
BENCHMARK_CAPTURE(spectrum, 2_100_1, Widths{2, 100, 1}, SpectrumOptions{})->Apply(wall_time);
BENCHMARK_CAPTURE(spectrum, 2_100_1_vectors, Widths{2, 100, 1}, SpectrumOptions{.vectors = true})->Apply(wall_time);
BENCHMARK_CAPTURE(spectrum, 2_250_1, Widths{2, 250, 1}, SpectrumOptions{})->Apply(wall_time);
BENCHMARK_CAPTURE(spectrum, 2_500_1, Widths{2, 500, 1}, SpectrumOptions{})->Apply(wall_time);
BENCHMARK_CAPTURE(spectrum, 2_1250_1, Widths{2, 1250, 1}, SpectrumOptions{})->Iterations(1)->Apply(wall_time);

}  // namespace
}  // namespace lossatlas::bench
