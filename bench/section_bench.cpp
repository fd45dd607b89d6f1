// Sections: points × samples per second, beside what the machine can do.
//
// Floors, of the CPU. Every case is bound by arithmetic: even the leanest does tens of FLOP for a byte that it must
// move. No multiply-add is faster than those in registers alone (fma_flop/s), and no tanh than the library's own from
// the first-level cache (tanh/s); other special functions count as tanh. Both use the same units of a core, so the
// floor is the sum
//
//   FLOP / (fma_flop/s) + special functions / (tanh/s),
//
// with FLOP and special functions of the plan, not of the work that it saves:
//   dense      per pair 2·(256·256 + 256·10), per call 3·2·784·256·N; 512 tanh and 11 others per pair
//   prefix     per pair 2·256·10 and the affine layer of 256 units; 256 tanh and 11 others per pair: bound by tanh
//   theorem1   per point 2·(64·2048 + 2048·30), nothing per sample; 2112 tanh and 33 others per point
//   quadratic  per call 2·N·(784·256 + 256·256 + 3·256·10), almost nothing per point; 512 tanh per sample
// of_floor is the floor over the measured time. of_gemm is the time of as many FLOP in OpenBLAS's product of 2048³ over
// it, special functions included on our side only; it may exceed 1, since OpenBLAS is not at the floor either. All
// rates are measured around each timing, with the same threads.
//
//   section_bench [--device cpu|cuda] [--threads N] [--repetitions N] [Google Benchmark's options]
//   section_bench --export DIR    writes every case with its losses, for bench/peers
//   section_bench --rates         only the machine's rates, as JSON
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "command_line.hpp"
#include "plan.hpp"
#include "rates.hpp"
#include "section_cases.hpp"

namespace lossatlas::bench {
namespace {

/// max |a − b| / (1 + |b|); NaN when an entry is.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/// A few points, spread over the grid (·, z).
std::vector<double> sparse_points(const Grid& grid) {
  constexpr std::int64_t count = 5;
  std::vector<double> points(static_cast<std::size_t>(count * grid.rank()));
  for (std::int64_t k = 0; k < count; ++k) {
    grid.point(k * (grid.size() - 1) / (count - 1), std::span(points).subspan(static_cast<std::size_t>(k * grid.rank()),
                                                                              static_cast<std::size_t>(grid.rank())));
  }
  return points;
}

/// How far the plan is from the whole network at every sample, in f64 on the CPU.
double plan_error(const Landscape& landscape, const SectionCase& one, Precision precision) {
  const std::vector<double> points = sparse_points(one.grid);
  const Landscape reference(one.network, one.data, one.loss, Device::cpu());
  const Surface direct = reference.evaluate(one.section, points, {.plan = Plan::direct});
  return difference(landscape.evaluate(one.section, points, {.precision = precision}).losses, direct.losses);
}

/// What the plan has to do at least in one evaluation.
struct Work {
  double pairs = 0;  ///< points × samples
  double flop = 0;
  double special = 0;  ///< activations, exponentials, logarithms
  double bytes = 0;    ///< read or written at least once, with the inputs where a first layer reads them
};

Work work_of(const SectionCase& one, Precision precision) {
  const SectionPlan plan = plan_section(one.network, one.loss, one.section, Plan::automatic);
  const PlanCost cost = plan.cost(one.data.size(), one.grid.size(), precision);
  const auto points = static_cast<double>(one.grid.size()), samples = static_cast<double>(one.data.size());
  Work work{points * samples, cost.once_flop + cost.point_flop * points + cost.pair_flop * points * samples,
            cost.point_special * points + cost.pair_special * points * samples, cost.bytes};
  for (const ChainLayer& layer : plan.sample_chain) work.special += static_cast<double>(layer.out) * samples;
  if (plan.kind != PlanKind::sample_free) work.bytes += 8.0 * static_cast<double>(one.data.inputs().size());
  return work;
}

Seconds mean(const std::vector<Seconds>& all) {
  Seconds sum;
  for (const Seconds& one : all) sum = {sum.wall + one.wall, sum.cpu + one.cpu};
  const auto count = static_cast<double>(all.size());
  return {sum.wall / count, sum.cpu / count};
}

/// The CPU's rates, measured before and after a timing.
template <class T>
class CpuRates {
 public:
  explicit CpuRates(int threads) : threads_(threads) {}

  void measure() {
    fma_ = std::max(fma_, fma_rate<T>(threads_));
    tanhs_.push_back(tanh_seconds<T>(threads_));
    products_.push_back(product_seconds<T>(threads_));
  }

  /// Sets the rates, and what work of so many seconds is as a share of them.
  void report(benchmark::State& state, double flop, double special, const Seconds& seconds) const {
    const Seconds product = mean(products_), tanh = mean(tanhs_);
    const double gemm_rate = kProductFlop / product.wall, tanh_rate = tanh_count<T>(threads_) / tanh.wall;
    state.counters["gemm_flop/s"] = gemm_rate;
    state.counters["fma_flop/s"] = fma_;
    state.counters["tanh/s"] = tanh_rate;
    state.counters["of_gemm"] = flop / gemm_rate / seconds.wall;
    state.counters["of_gemm_cpu"] = flop / kProductFlop * product.cpu / seconds.cpu;
    state.counters["of_floor"] = (flop / fma_ + special / tanh_rate) / seconds.wall;
  }

 private:
  int threads_;
  double fma_ = 0;
  std::vector<Seconds> products_, tanhs_;
};

/// One repetition: `calls` evaluations, on the CPU between two measurements of its rates.
template <class T>
void run_section(benchmark::State& state, const SectionCase& one, Precision precision, Device device) {
  const Landscape landscape(one.network, one.data, one.loss, device);
  const double error = plan_error(landscape, one, precision);
  if (!(error < (precision == Precision::f64 ? 1e-12 : 1e-6))) {
    state.SkipWithError(
        message("section_bench", "received losses that differ from the direct plan's by ", error).c_str());
    return;
  }
  const auto evaluate = [&] {
    benchmark::DoNotOptimize(landscape.evaluate(one.section, one.grid, {.precision = precision}));
  };
  const bool on_cpu = device.kind() == Device::Kind::cpu;
  CpuRates<T> rates(device.threads());
  if (on_cpu) {
    rates.measure();
  } else {
    evaluate();  // allocates what the timed calls work in
  }
  const Seconds seconds = seconds_of([&] {
    for (auto _ : state) evaluate();
  });
  const Work work = work_of(one, precision);
  const double calls = static_cast<double>(state.iterations());
  const double flop = work.flop * calls, special = work.special * calls;
  state.SetItemsProcessed(static_cast<std::int64_t>(work.pairs * calls));
  state.counters["flop"] = work.flop;
  state.counters["special"] = work.special;
  state.counters["bytes"] = work.bytes;
  state.counters["flop/s"] = flop / seconds.wall;
  state.counters["special/s"] = special / seconds.wall;
  state.counters["error"] = error;
  if (!on_cpu) return;
  rates.measure();
  rates.report(state, flop, special, seconds);
}

void register_sections(const std::vector<SectionCase>& cases, const Device& device, int repetitions) {
  for (const SectionCase& one : cases) {
    for (const Precision precision : one.precisions) {
      const auto run = [&one, precision, device](benchmark::State& state) {
        (precision == Precision::f64 ? run_section<double> : run_section<float>)(state, one, precision, device);
      };
      benchmark::RegisterBenchmark((one.name + "/" + name(precision)).c_str(), run)
          ->Iterations(one.calls)
          ->Repetitions(repetitions)
          ->UseRealTime()
          ->MeasureProcessCPUTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
}

/// A case as .npy files, and case.json with the shapes.
void export_case(const SectionCase& one, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* file, std::vector<std::int64_t> shape, std::span<const double> values) {
    write_npy(folder / file, shape, values);
  };
  const std::int64_t parameters = one.network.parameter_count(), rank = one.section.rank(), points = one.grid.size();
  std::vector<double> alphas(static_cast<std::size_t>(points * rank));
  for (std::int64_t g = 0; g < points; ++g) {
    one.grid.point(g, std::span(alphas).subspan(static_cast<std::size_t>(g * rank), static_cast<std::size_t>(rank)));
  }
  write("theta.npy", {parameters}, one.section.origin);
  write("directions.npy", {rank, parameters}, one.section.directions);
  write("inputs.npy", {one.data.size(), one.data.features()}, one.data.inputs());
  write("labels.npy", {one.data.size()}, std::vector<double>(one.data.labels().begin(), one.data.labels().end()));
  write("points.npy", {points, rank}, alphas);

  const Landscape landscape(one.network, one.data, one.loss, Device::cpu());
  nlohmann::json about = {{"name", one.name},
                          {"widths", {one.network.inputs()}},
                          {"activation", name(hidden_activation(one.network))},
                          {"loss", name(one.loss)},
                          {"heads", one.network.heads()},
                          {"precisions", nlohmann::json::array()}};
  for (const Layer& layer : one.network.layers()) about["widths"].push_back(std::get<Dense>(layer).out);
  for (const Precision precision : one.precisions) {
    about["precisions"].push_back(name(precision));
    const Surface surface = landscape.evaluate(one.section, one.grid, {.precision = precision});
    write((std::string("losses-") + name(precision) + ".npy").c_str(), {points, surface.heads}, surface.losses);
  }
  std::ofstream(folder / "case.json") << about.dump(2) << '\n';
}

int run(std::vector<char*> arguments) {
  const bool rates_only =
      std::erase_if(arguments, [](const char* text) { return std::string_view(text) == "--rates"; });
  const std::string folder = take_option(arguments, "--export");
  const std::string repetitions = take_option(arguments, "--repetitions");
  const Device device = take_device(arguments);
  if (rates_only) {
    print_rates(device);
    return 0;
  }
  const std::vector<SectionCase> cases = section_cases();
  if (!folder.empty()) {
    for (const SectionCase& one : cases) export_case(one, std::filesystem::path(folder) / one.name);
    return 0;
  }
  register_sections(cases, device, repetitions.empty() ? 5 : std::max(1, std::atoi(repetitions.c_str())));
  return run_benchmarks(std::move(arguments), device);
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  return lossatlas::bench::guarded("section_bench", [&] { return lossatlas::bench::run({argv, argv + argc}); });
}
