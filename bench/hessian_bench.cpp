// The exact Hessian of tanh networks (mean squared error), and all of its eigenvalues.
//
// A case is named by its widths and, unless it has 1000 samples, their number: 2_100_1, 784_20_10_n60000.
//
// Floor of the assembly: N·M² FLOP, half of a product of (M, N) and (N, M). On the CPU it is compared with dgemm
// (2048³, same threads) measured around it: of_dgemm. On CUDA the matrix stays on the device, as it does for spectra;
// the time runs from the call to the end of the check that all entries are finite, memory included; hessian_run.py
// compares it with the rate of products that the peers reach in the same run. The spectrum is the Hessian (assembly_s)
// and its eigenvalues (eigen_s) by LAPACK on one thread or cuSOLVER; on the CPU its floor is the 4/3·M³ FLOP of the
// tridiagonal form at the rate of dgemm on one thread, half of which are bound by memory.
//
//   hessian_bench [--device cpu|cuda] [--threads N] [Google Benchmark's options]
//                                                       the device's own choice of cases
//   hessian_bench --cases 2_100_1,... [--spectra 2_100_1,...] ...
//                                                       the assembly of these, and the spectra of those
//   hessian_bench --export DIR [--cases 2_100_1,...] [--spectra 2_100_1,...]
//                                                       writes cases with their Hessians, and the eigenvalues of some,
//                                                       for bench/peers
//   hessian_bench --rates                               only the machine's rates, as JSON
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "command_line.hpp"
#include "rates.hpp"

namespace lossatlas::bench {
namespace {

constexpr std::int64_t kSamples = 1000;  // unless the case names another number

struct Profile {
  std::vector<std::int64_t> widths;
  std::int64_t samples = kSamples;
};

/// Parses the name of a case; throws std::invalid_argument.
Profile shape_of(const std::string& name) {
  static const std::regex kName("([1-9][0-9]{0,8}(?:_[1-9][0-9]{0,8})+)(?:_n([1-9][0-9]{0,8}))?");
  std::smatch match;
  if (!std::regex_match(name, match, kName)) {
    throw std::invalid_argument("--cases: received " + name + ", expected widths such as 784_20_10 or, with their " +
                                "samples, 784_20_10_n60000");
  }
  Profile shape;
  std::stringstream text(match[1]);
  for (std::string width; std::getline(text, width, '_');) shape.widths.push_back(std::stoll(width));
  if (match[2].matched) shape.samples = std::stoll(match[2]);
  return shape;
}

struct Case {
  Landscape landscape;
  std::vector<double> theta;

  double parameters() const { return static_cast<double>(theta.size()); }
  double assembly_flop() const { return static_cast<double>(landscape.data().size()) * parameters() * parameters(); }
  double eigen_flop() const { return 4.0 / 3 * std::pow(parameters(), 3); }
};

Case regression(const Profile& shape, const Device& device) {
  const std::int64_t in = shape.widths.front(), out = shape.widths.back();
  Network network = mlp(shape.widths, Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 1, .scale = {}});
  Dataset data = Dataset::regression(random_values<double>(shape.samples * in, 4), in,
                                     random_values<double>(shape.samples * out, 5), out);
  return {Landscape(std::move(network), std::move(data), Loss::mean_squared_error, device), std::move(theta)};
}

/// The mean of two timings of products on the CPU, which measure no other device.
Seconds mean(Seconds a, Seconds b) { return {(a.wall + b.wall) / 2, (a.cpu + b.cpu) / 2}; }

bool on_cpu(const Case& one) { return one.landscape.device().kind() == Device::Kind::cpu; }

/// Calls `done` once the last samples have been added to a Hessian.
template <class Done>
Progress after_assembly(Done done) {
  return [done](const ProgressEvent& event) {
    if (event.stage == "hessian" && event.done == event.total) done();
  };
}

/// Assembles the Hessian where the device keeps it: off the CPU, by a curvature test that is stopped before it factors.
void assemble_once(const Case& one) {
  if (on_cpu(one)) {
    benchmark::DoNotOptimize(hessian(one.landscape, one.theta));
    return;
  }
  std::stop_source stop;
  const Control control{.progress = after_assembly([&] { stop.request_stop(); }), .stop = stop.get_token()};
  try {
    test_curvature(one.landscape, one.theta, {.below = {}, .control = control});
  } catch (const Interrupted&) {
    return;
  }
  throw std::runtime_error("the assembly did not end by the stop that was asked for");
}

void assemble(benchmark::State& state, const std::string& name, const Device& device) {
  const Case one = regression(shape_of(name), device);
  if (!on_cpu(one)) assemble_once(one);  // a device's libraries load their kernels on the first call
  const Seconds before = on_cpu(one) ? product_seconds<double>(device.threads()) : Seconds{};
  for (auto _ : state) assemble_once(one);
  const double flop = one.assembly_flop();
  state.counters["M"] = one.parameters();
  state.counters["N"] = static_cast<double>(one.landscape.data().size());
  state.counters["flop"] = flop;
  state.counters["flop/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
  if (!on_cpu(one)) return;
  const Seconds product = mean(before, product_seconds<double>(device.threads()));
  const double rate = kProductFlop / product.wall;
  state.counters["gemm_flop/s"] = rate;
  state.counters["gemm_flop/cpu_s"] = kProductFlop / product.cpu;
  state.counters["of_dgemm"] = benchmark::Counter(flop / rate, benchmark::Counter::kIsIterationInvariantRate);
}

void multiply(benchmark::State& state, const std::string& name, const Device& device) {
  const Case one = regression(shape_of(name), device);
  const HessianOperator product(one.landscape, one.theta);
  const std::vector<double> vectors = random_values<double>(state.range(0) * product.size(), 6);
  for (auto _ : state) benchmark::DoNotOptimize(product.multiply(vectors));
  state.counters["vectors/s"] =
      benchmark::Counter(static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate);
}

void spectrum(benchmark::State& state, const std::string& name, const SpectrumOptions& options, const Device& device) {
  using Clock = std::chrono::steady_clock;
  const Case one = regression(shape_of(name), device);
  Clock::time_point start, assembled;
  double assembly = 0, eigen = 0;
  const Control control{.progress = after_assembly([&] { assembled = Clock::now(); }), .stop = {}};
  const auto solve = [&] {
    start = Clock::now();
    return hessian_spectrum(one.landscape, one.theta, options, {.control = control});
  };
  if (!on_cpu(one)) solve();
  const double rate = on_cpu(one) ? kProductFlop / product_seconds<double>(1).wall : 0;
  for (auto _ : state) {
    const Spectrum result = solve();
    eigen += std::chrono::duration<double>(Clock::now() - assembled).count();
    assembly += std::chrono::duration<double>(assembled - start).count();
    const double allowed = 20 * one.parameters() * 0x1p-52 * std::abs(result.eigenvalues.back());
    if (options.vectors && !(result.residual <= allowed)) state.SkipWithError("the eigenpairs leave a residual");
  }
  const auto average = benchmark::Counter::kAvgIterations;
  state.counters["M"] = one.parameters();
  state.counters["N"] = static_cast<double>(one.landscape.data().size());
  state.counters["flop"] = one.assembly_flop();
  state.counters["eigen_flop"] = one.eigen_flop();
  state.counters["assembly_s"] = benchmark::Counter(assembly, average);
  state.counters["eigen_s"] = benchmark::Counter(eigen, average);
  if (!on_cpu(one)) return;
  state.counters["of_floor"] =
      benchmark::Counter(one.eigen_flop() / rate, benchmark::Counter::kIsIterationInvariantRate);
}

template <class Run, class... Arguments>
benchmark::internal::Benchmark* add(const std::string& name, Run run, Arguments... arguments) {
  const auto call = [=](benchmark::State& state) {
    // If a device lacks the operation, its benchmark says so; the others go on.
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

/// What is measured unless cases are named. Large ones are for a GPU.
struct Cases {
  std::vector<std::string> assembled, solved;
};

Cases default_cases(const Device& device) {
  if (device.kind() == Device::Kind::cpu) {
    return {{"2_100_1", "2_1250_1", "20_60_60_10", "784_20_10"}, {"2_100_1", "2_250_1", "2_500_1", "2_1250_1"}};
  }
  const std::vector<std::string> large = {"2_1250_1",           "2_1250_1_n60000", "20_60_60_10",
                                          "20_60_60_10_n60000", "784_20_10",       "784_20_10_n60000"};
  Cases cases{{"2_100_1"}, {"2_100_1"}};
  for (auto* list : {&cases.assembled, &cases.solved}) list->insert(list->end(), large.begin(), large.end());
  return cases;
}

void register_cases(const Cases& cases, const Device& device) {
  for (const std::string& name : cases.assembled) add("assemble/" + name, assemble, name, device);
  for (const std::string& name : cases.solved) add("spectrum/" + name, spectrum, name, SpectrumOptions{}, device);
}

void register_all(const Device& device) {
  register_cases(default_cases(device), device);
  add("multiply/2_1250_1", multiply, std::string("2_1250_1"), device)->Arg(1)->Arg(64);
  add("spectrum/2_100_1_vectors", spectrum, std::string("2_100_1"), SpectrumOptions{.vectors = true}, device);
}

/// Writes a case as .npy files, and its shapes as case.json.
void export_case(const std::string& name, bool spectrum, const std::filesystem::path& folder, const Device& device) {
  std::filesystem::create_directories(folder);
  const Profile shape = shape_of(name);
  const Case one = regression(shape, device);
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
      {"name", name}, {"widths", shape.widths}, {"activation", "tanh"}, {"loss", "mse"}, {"samples", shape.samples}};
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
  const std::string folder = take_option(arguments, "--export");
  const Cases chosen{split(take_option(arguments, "--cases")), split(take_option(arguments, "--spectra"))};
  const Device device = take_device(arguments);
  if (rates_only) {
    print_rates(device);
    return 0;
  }
  if (!folder.empty()) {
    for (const std::string& name : chosen.assembled.empty() ? std::vector<std::string>{"2_100_1"} : chosen.assembled) {
      const bool spectrum = std::find(chosen.solved.begin(), chosen.solved.end(), name) != chosen.solved.end();
      export_case(name, spectrum, std::filesystem::path(folder) / name, device);
    }
    return 0;
  }
  if (chosen.assembled.empty() && chosen.solved.empty()) {
    register_all(device);
  } else {
    register_cases(chosen, device);
  }
  return run_benchmarks(std::move(arguments), device);
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  return lossatlas::bench::guarded("hessian_bench", [&] { return lossatlas::bench::run({argv, argv + argc}); });
}
