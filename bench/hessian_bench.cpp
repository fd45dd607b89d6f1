// The exact Hessian of tanh networks (mean squared error, N = 1000), and all of its eigenvalues.
//
// Floor of the assembly: N·M² FLOP, half of a product of (M, N) and (N, M), at the rate of dgemm (2048³, same threads)
// measured around it: of_dgemm. The spectrum is the Hessian and its eigenvalues by LAPACK on one thread; its floor is
// the 4/3·M³ FLOP of the tridiagonal form at the rate of dgemm on one thread, of which half are bound by memory.
//
//   hessian_bench [--device cpu|cuda] [--threads N] [Google Benchmark's options]
//   hessian_bench --export DIR [--cases 2_100_1,...] [--spectra 2_100_1,...]
//                                                       writes cases with their Hessians, and the eigenvalues of some,
//                                                       for bench/peers
//   hessian_bench --rates                               only the machine's rates, as JSON
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "command_line.hpp"
#include "rates.hpp"

namespace lossatlas::bench {
namespace {

constexpr std::int64_t kSamples = 1000;

using Widths = std::vector<std::int64_t>;

struct Case {
  Landscape landscape;
  std::vector<double> theta;
};

Case regression(Widths widths, const Device& device) {
  const std::int64_t in = widths.front(), out = widths.back();
  Network network = mlp(std::move(widths), Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 1, .scale = {}});
  Dataset data =
      Dataset::regression(random_values<double>(kSamples * in, 4), in, random_values<double>(kSamples * out, 5), out);
  return {Landscape(std::move(network), std::move(data), Loss::mean_squared_error, device), std::move(theta)};
}

/// Means of what products took on the CPU, which is no measure of another device.
Seconds mean(Seconds a, Seconds b) { return {(a.wall + b.wall) / 2, (a.cpu + b.cpu) / 2}; }

bool on_cpu(const Case& one) { return one.landscape.device().kind() == Device::Kind::cpu; }

void assemble(benchmark::State& state, const Widths& widths, const Device& device) {
  const Case one = regression(widths, device);
  const Seconds before = on_cpu(one) ? product_seconds<double>(device.threads()) : Seconds{};
  for (auto _ : state) benchmark::DoNotOptimize(hessian(one.landscape, one.theta));
  const auto size = static_cast<double>(one.theta.size());
  const double flop = static_cast<double>(kSamples) * size * size;
  state.counters["M"] = size;
  state.counters["flop"] = flop;
  state.counters["flop/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
  if (!on_cpu(one)) return;
  const Seconds product = mean(before, product_seconds<double>(device.threads()));
  const double rate = kProductFlop / product.wall;
  state.counters["gemm_flop/s"] = rate;
  state.counters["gemm_flop/cpu_s"] = kProductFlop / product.cpu;
  state.counters["of_dgemm"] = benchmark::Counter(flop / rate, benchmark::Counter::kIsIterationInvariantRate);
}

void multiply(benchmark::State& state, const Widths& widths, const Device& device) {
  const Case one = regression(widths, device);
  const HessianOperator product(one.landscape, one.theta);
  const std::vector<double> vectors = random_values<double>(state.range(0) * product.size(), 6);
  for (auto _ : state) benchmark::DoNotOptimize(product.multiply(vectors));
  state.counters["vectors/s"] =
      benchmark::Counter(static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate);
}

void spectrum(benchmark::State& state, const Widths& widths, const SpectrumOptions& options, const Device& device) {
  const Case one = regression(widths, device);
  const double rate = on_cpu(one) ? kProductFlop / product_seconds<double>(1).wall : 0;
  for (auto _ : state) {
    const Spectrum result = hessian_spectrum(one.landscape, one.theta, options);
    const double allowed = 20 * static_cast<double>(one.theta.size()) * 0x1p-52 * std::abs(result.eigenvalues.back());
    if (options.vectors && !(result.residual <= allowed)) state.SkipWithError("the eigenpairs leave a residual");
  }
  state.counters["M"] = static_cast<double>(one.theta.size());
  if (!on_cpu(one)) return;
  state.counters["of_floor"] = benchmark::Counter(4.0 / 3 * std::pow(static_cast<double>(one.theta.size()), 3) / rate,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

Widths widths_of(const std::string& name) {
  Widths widths;
  std::stringstream text(name);
  for (std::string width; std::getline(text, width, '_');) widths.push_back(std::stoll(width));
  return widths;
}

template <class Run, class... Arguments>
benchmark::internal::Benchmark* add(const std::string& name, Run run, Arguments... arguments) {
  const auto call = [=](benchmark::State& state) {
    // A device without the operation says so; the other benchmarks go on.
    try {
      run(state, arguments...);
    } catch (const DeviceError& error) {
      state.SkipWithError(error.what());
    }
  };
  return benchmark::RegisterBenchmark(name.c_str(), call)
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
}

void register_all(const Device& device) {
  for (const char* name : {"2_100_1", "2_1250_1", "20_60_60_10", "784_20_10"}) {
    add(std::string("assemble/") + name, assemble, widths_of(name), device);
  }
  add("multiply/2_1250_1", multiply, widths_of("2_1250_1"), device)->Arg(1)->Arg(64);
  for (const char* name : {"2_100_1", "2_250_1", "2_500_1"}) {
    add(std::string("spectrum/") + name, spectrum, widths_of(name), SpectrumOptions{}, device);
  }
  add("spectrum/2_100_1_vectors", spectrum, widths_of("2_100_1"), SpectrumOptions{.vectors = true}, device);
  add("spectrum/2_1250_1", spectrum, widths_of("2_1250_1"), SpectrumOptions{}, device)->Iterations(1);
}

/// A case as .npy files, and case.json with the shapes.
void export_case(const std::string& name, bool spectrum, const std::filesystem::path& folder, const Device& device) {
  std::filesystem::create_directories(folder);
  const Case one = regression(widths_of(name), device);
  const Dataset& data = one.landscape.data();
  const auto size = static_cast<std::int64_t>(one.theta.size());
  write_npy(folder / "theta.npy", std::vector{size}, one.theta);
  write_npy(folder / "inputs.npy", std::vector{data.size(), data.features()}, data.inputs());
  write_npy(folder / "targets.npy", std::vector{data.size(), data.outputs()}, data.targets());
  write_npy(folder / "hessian.npy", std::vector{size, size}, hessian(one.landscape, one.theta));
  if (spectrum) {
    write_npy(folder / "eigenvalues.npy", std::vector{size}, hessian_spectrum(one.landscape, one.theta).eigenvalues);
  }
  const nlohmann::json about = {
      {"name", name}, {"widths", widths_of(name)}, {"activation", "tanh"}, {"loss", "mse"}, {"samples", kSamples}};
  std::ofstream(folder / "case.json") << about.dump(2) << '\n';
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names;
  std::stringstream text(list);
  for (std::string name; std::getline(text, name, ',');) names.push_back(name);
  return names;
}

int run(std::vector<char*> arguments) {
  const bool rates_only =
      std::erase_if(arguments, [](const char* text) { return std::string_view(text) == "--rates"; });
  const std::string folder = take_option(arguments, "--export"), cases = take_option(arguments, "--cases");
  const std::vector<std::string> spectra = split(take_option(arguments, "--spectra"));
  const Device device = take_device(arguments);
  if (rates_only) {
    print_rates(device);
    return 0;
  }
  if (!folder.empty()) {
    for (const std::string& name : split(cases.empty() ? "2_100_1" : cases)) {
      const bool spectrum = std::find(spectra.begin(), spectra.end(), name) != spectra.end();
      export_case(name, spectrum, std::filesystem::path(folder) / name, device);
    }
    return 0;
  }
  register_all(device);
  return run_benchmarks(std::move(arguments), device);
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  return lossatlas::bench::guarded("hessian_bench", [&] { return lossatlas::bench::run({argv, argv + argc}); });
}
