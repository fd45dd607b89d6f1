// fit_pattern of the demo picture (128 × 128, three heads): seconds, and the PSNR that they buy.
//
// Floor of the features (F of them, G pixels, f64): half of the Gram matrix, the features and the Cholesky factor,
//
//   G·F·(F + 1) + 2·G·64·F + F³/3 FLOP at the rate of multiply-adds in registers + G·F tanh at the library's own rate.
//
// of_floor is that floor over the measured time, which also includes the choice of scale and placement. Refinement has
// no such floor: it is judged by its gain over the features of the same width.
//
//   fit_bench [--device cpu|cuda] [--threads N] [Google Benchmark's options]
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "command_line.hpp"
#include "rates.hpp"

namespace lossatlas::bench {
namespace {

constexpr std::int64_t kFirst = 64;

/// The device on which patterns are fitted.
Device& device() {
  static Device device = Device::cpu();
  return device;
}

FitOptions fit_options(const benchmark::State& state, FitMethod method) {
  FitOptions options;
  options.hidden = {kFirst, state.range(0)};
  options.method = method;
  options.device = device();
  return options;
}

/// Whether the error that the fit reports is that of its network on its data.
bool verified(const PatternFit& fit, const Pattern& picture, const Dataset& train) {
  const Landscape landscape(fit.network, train, Loss::cross_entropy, Device::cpu());
  const PatternError error = pattern_error(landscape.evaluate(fit.section, picture.grid()), picture);
  return std::abs(error.psnr_db - fit.error.psnr_db) < 1e-6;
}

void report(benchmark::State& state, const PatternFit& fit, const Pattern& picture, const Dataset& train) {
  if (!verified(fit, picture, train)) state.SkipWithError("the surface does not have the PSNR that the fit reports");
  state.counters["psnr_db"] = fit.error.psnr_db;
  state.counters["features_s"] = fit.seconds.features;
  state.counters["solve_s"] = fit.seconds.solve;
}

void fit_features(benchmark::State& state) {
  const Pattern picture = demo_picture();
  const Dataset train = glyphs(5000, {.seed = 1});
  const FitOptions options = fit_options(state, FitMethod::features);
  PatternFit fit;
  const Seconds seconds = seconds_of([&] {
    for (auto _ : state) fit = fit_pattern(picture, train, options);
  });
  report(state, fit, picture, train);
  if (device().kind() != Device::Kind::cpu) return;
  const DeviceRates rates = measure_rates(device(), Precision::f64);
  const auto pixels = static_cast<double>(picture.size()), features = static_cast<double>(state.range(0));
  const double flop = pixels * features * (features + 1) + 2 * pixels * kFirst * features + std::pow(features, 3) / 3;
  state.counters["flop"] = flop;
  state.counters["fma_flop/s"] = rates.flop;
  state.counters["of_floor"] = (flop / rates.flop + pixels * features / rates.transcendental) / seconds.wall;
}

void fit_refined(benchmark::State& state) {
  const Pattern picture = demo_picture();
  const Dataset train = glyphs(5000, {.seed = 1});
  const double before = fit_pattern(picture, train, fit_options(state, FitMethod::features)).error.psnr_db;
  PatternFit fit;
  for (auto _ : state) fit = fit_pattern(picture, train, fit_options(state, FitMethod::refine));
  report(state, fit, picture, train);
  state.counters["gain_db"] = fit.error.psnr_db - before;
  state.counters["refine_s"] = fit.seconds.refine;
  state.counters["steps"] = static_cast<double>(fit.steps.size());
}

void one_timing(benchmark::internal::Benchmark* benchmark) {
  benchmark->Iterations(1)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kSecond);
}

BENCHMARK(fit_features)->Arg(1024)->Arg(2048)->Arg(4096)->Apply(one_timing);
BENCHMARK(fit_refined)->Arg(1024)->Apply(one_timing);

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  using namespace lossatlas::bench;
  return guarded("fit_bench", [&] {
    std::vector<char*> arguments(argv, argv + argc);
    device() = take_device(arguments);
    return run_benchmarks(std::move(arguments), device());
  });
}
