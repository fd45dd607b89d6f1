// Sections: milliseconds and points × samples per second, beside what the machine can do.
//
// Floor on the CPU, by SectionCost::floor_seconds() at the rates of measure_rates(): FLOP / (fma_flop/s) +
// transcendental functions / (tanh/s), or bytes / (copy_bytes/s) if that is longer. No multiply-add is faster than
// those in registers alone (fma_flop/s), and no tanh faster than the library's own from the first-level cache (tanh/s);
// other transcendental functions are charged as tanh, and both use the same units of a core, hence the sum. FLOP,
// transcendental functions and bytes are those that the plan counts, not those of the work that it saves. of_floor is
// the floor over the measured time. of_gemm is the time of as many FLOP in OpenBLAS's product of 2048³ over the
// measured time, which alone includes transcendental functions; it may exceed 1, since OpenBLAS is not at the floor
// either. All rates are measured around each timing, with the same threads. On other devices bench/run.py measures them
// with PyTorch.
//
// error is max |L − L₆₄| / |L₆₄| over heads and up to 64 random points of the grid, with L₆₄ by Plan::direct in f64 on
// the CPU, or as --export wrote it.
//
//   section_bench [--device cpu|cuda] [--threads N] [--cases dense,theorem1] [--precisions f32,f64,fast]
//                 [--size tiny|cpu|cuda] [--reference DIR] [--repetitions N] [Google Benchmark's options]
//   section_bench --scaling ...   times of cases over G and over N
//   section_bench --export DIR    writes every case with its losses in f64, for bench/peers
//   section_bench --rates         only the machine's rates, as JSON
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.hpp"
#include "command_line.hpp"
#include "rates.hpp"
#include "section/plan.hpp"
#include "section_cases.hpp"

namespace lossatlas::bench {
namespace {

struct Options {
  Device device = Device::cpu();
  Size size = Size::cpu;
  std::vector<Recipe> cases;
  std::vector<Precision> precisions;
  std::filesystem::path reference;
  int repetitions = 7;
};

/// Losses (K, H) of the direct plan in f64 on the CPU, at the checked points.
std::vector<double> reference_losses(const SectionCase& one) {
  const std::vector<std::int64_t> checked = checked_points(one.grid);
  const auto rank = static_cast<std::size_t>(one.grid.rank());
  std::vector<double> points(checked.size() * rank);
  for (std::size_t k = 0; k < checked.size(); ++k) {
    one.grid.point(checked[k], std::span(points).subspan(k * rank, rank));
  }
  const Landscape landscape(one.network, one.data, one.loss, Device::cpu());
  return landscape.evaluate(one.section, points, {.plan = Plan::direct}).losses;
}

std::vector<double> reference_losses(const SectionCase& one, const Options& options) {
  if (options.reference.empty()) return reference_losses(one);
  return read_npy(options.reference / one.name / "reference.npy").values;
}

/// max |L − L₆₄| / |L₆₄|; NaN if an entry is.
double relative_error(const Surface& surface, const SectionCase& one, const std::vector<double>& reference) {
  const std::vector<std::int64_t> checked = checked_points(one.grid);
  const auto heads = static_cast<std::size_t>(surface.heads);
  require(reference.size() == checked.size() * heads, "section_bench", "received ", reference.size(),
          " reference losses of ", one.name, ", expected ", checked.size() * heads, "; export the same --size");
  double worst = 0;
  for (std::size_t k = 0; k < reference.size(); ++k) {
    const double loss = surface.losses[static_cast<std::size_t>(checked[k / heads]) * heads + k % heads];
    const double error = std::abs(loss - reference[k]) / std::abs(reference[k]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

double tolerance(Precision precision) {
  if (precision == Precision::f64) return 1e-11;
  return precision == Precision::f32 ? 1e-5 : 1e-2;
}

/// The least that the plan has to do in one evaluation.
SectionCost work_of(const SectionCase& one, Precision precision) {
  return plan_section(one.network, one.loss, one.section, Plan::automatic)
      .total(one.data.size(), one.grid.size(), precision);
}

Seconds mean(const std::vector<Seconds>& all) {
  Seconds sum;
  for (const Seconds& one : all) sum = {sum.wall + one.wall, sum.cpu + one.cpu};
  const auto count = static_cast<double>(all.size());
  return {sum.wall / count, sum.cpu / count};
}

/// The CPU's rates, measured before and after each timing.
template <class T>
class CpuRates {
 public:
  CpuRates(const Device& device, Precision precision) : device_(device), precision_(precision) {}

  void measure() {
    const DeviceRates now = measure_rates(device_, precision_);
    best_.flop = std::max(best_.flop, now.flop);
    best_.transcendental = std::max(best_.transcendental, now.transcendental);
    best_.bytes = std::max(best_.bytes, now.bytes);
    products_.push_back(product_seconds<T>(device_.threads()));
  }

  /// Reports the rates, and as a share of them what `work` in `seconds` attains.
  void report(benchmark::State& state, const SectionCost& work, const Seconds& seconds) const {
    const Seconds product = mean(products_);
    const double gemm_rate = kProductFlop / product.wall;
    state.counters["gemm_flop/s"] = gemm_rate;
    state.counters["fma_flop/s"] = best_.flop;
    state.counters["tanh/s"] = best_.transcendental;
    state.counters["copy_bytes/s"] = best_.bytes;
    state.counters["of_gemm"] = work.flop / gemm_rate / seconds.wall;
    state.counters["of_gemm_cpu"] = work.flop / kProductFlop * product.cpu / seconds.cpu;
    const double floor = work.floor_seconds(best_);
    state.counters["floor_ms"] = 1e3 * floor;
    state.counters["of_floor"] = floor / seconds.wall;
  }

 private:
  const Device& device_;
  Precision precision_;
  DeviceRates best_;
  std::vector<Seconds> products_;
};

void report_work(benchmark::State& state, const SectionCost& work, const SectionCase& one, const Seconds& seconds) {
  state.SetItemsProcessed(one.grid.size() * one.data.size());
  state.counters["points"] = static_cast<double>(one.grid.size());
  state.counters["samples"] = static_cast<double>(one.data.size());
  state.counters["flop"] = work.flop;
  state.counters["transcendental"] = work.transcendental;
  state.counters["bytes"] = work.bytes;
  state.counters["cpu_seconds"] = seconds.cpu;
}

/// One repetition: as many evaluations as take a fifth of a second, on the CPU between two measurements of its rates;
/// without `reference`, the evaluations alone.
template <class T>
void run_section(benchmark::State& state, const SectionCase& one, const std::vector<double>* reference,
                 Precision precision, const Device& device) {
  const Landscape landscape(one.network, one.data, one.loss, device);
  Surface surface;
  const auto evaluate = [&] { surface = landscape.evaluate(one.section, one.grid, {.precision = precision}); };
  const bool on_cpu = device.kind() == Device::Kind::cpu;
  Seconds warm = seconds_of(evaluate);
  if (!on_cpu) warm = seconds_of(evaluate);  // the first call loaded kernels and allocated what the others work in
  if (reference) {
    const double error = relative_error(surface, one, *reference);
    state.counters["error"] = error;
    if (!(error < tolerance(precision))) {
      state.SkipWithError(
          message("section_bench", "received losses that differ from the direct plan's by ", error).c_str());
      return;
    }
  }
  CpuRates<T> rates(device, precision);
  const bool with_rates = reference && on_cpu;
  if (with_rates) rates.measure();
  const int calls = static_cast<int>(std::clamp(0.2 / warm.wall, 1.0, 200.0));
  Seconds seconds;
  for (auto _ : state) {
    seconds = seconds_of([&] {
      for (int call = 0; call < calls; ++call) evaluate();
    });
    seconds = {seconds.wall / calls, seconds.cpu / calls};
    state.SetIterationTime(seconds.wall);
  }
  const SectionCost work = work_of(one, precision);
  report_work(state, work, one, seconds);
  if (!with_rates) return;
  rates.measure();
  rates.report(state, work, seconds);
}

/// A quadratic plan always runs in f64.
std::vector<Precision> precisions_of(const SectionCase& one, const Options& options) {
  if (plan_section(one.network, one.loss, one.section, Plan::automatic).kind == PlanKind::quadratic)
    return {Precision::f64};
  return options.precisions;
}

/// A null `reference` measures no errors and no rates.
void register_section(const std::string& title, const SectionCase& one, const std::vector<double>* reference,
                      Precision precision, const Options& options) {
  const auto run = [&one, reference, precision, device = options.device](benchmark::State& state) {
    (precision == Precision::f64 ? run_section<double> : run_section<float>)(state, one, reference, precision, device);
  };
  benchmark::RegisterBenchmark((title + "/" + name(precision)).c_str(), run)
      ->Iterations(1)
      ->Repetitions(options.repetitions)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

int time_sections(std::vector<char*> arguments, const Options& options) {
  std::vector<SectionCase> cases;
  std::vector<std::vector<double>> references;
  for (const Recipe& recipe : options.cases) {
    cases.push_back(make_case(recipe, options.size));
    references.push_back(reference_losses(cases.back(), options));
  }
  for (std::size_t k = 0; k < cases.size(); ++k) {
    for (const Precision precision : precisions_of(cases[k], options)) {
      register_section(cases[k].name, cases[k], &references[k], precision, options);
    }
  }
  return run_benchmarks(std::move(arguments), options.device);
}

/// Times every case over five grids at one N, and over four data sets at one G.
int time_scaling(std::vector<char*> arguments, const Options& options) {
  std::vector<SectionCase> cases;
  for (const Recipe& recipe : options.cases) {
    const Extent base = recipe.extents[static_cast<std::size_t>(options.size)];
    for (const std::int64_t factor : {3, 6, 9, 12, 18}) {
      cases.push_back(make_case(recipe, {base.samples, factor * base.side / 6}));
      cases.back().name = recipe.name + "/G";
    }
    for (const std::int64_t factor : {1, 4, 16, 60}) {
      cases.push_back(make_case(recipe, {factor * base.samples / 4, base.side / 2}));
      cases.back().name = recipe.name + "/N";
    }
  }
  for (const SectionCase& one : cases) {
    const std::string title =
        one.name + "/" + std::to_string(one.name.back() == 'G' ? one.grid.size() : one.data.size());
    for (const Precision precision : precisions_of(one, options)) {
      register_section(title, one, nullptr, precision, options);
    }
  }
  return run_benchmarks(std::move(arguments), options.device);
}

/// Writes a case as .npy files, and its shapes as case.json.
void export_case(const SectionCase& one, const Options& options) {
  const std::filesystem::path folder = options.reference / one.name;
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
  if (one.data.has_labels()) {
    write("labels.npy", {one.data.size()}, std::vector<double>(one.data.labels().begin(), one.data.labels().end()));
  } else {
    write("targets.npy", {one.data.size(), one.data.outputs()}, one.data.targets());
  }
  write("points.npy", {points, rank}, alphas);
  const std::vector<std::int64_t> checked = checked_points(one.grid);
  const auto count = static_cast<std::int64_t>(checked.size());
  write("checked.npy", {count}, std::vector<double>(checked.begin(), checked.end()));
  write("reference.npy", {count, one.network.heads()}, reference_losses(one));

  const SectionPlan plan = plan_section(one.network, one.loss, one.section, Plan::automatic);
  nlohmann::json about = {{"name", one.name},
                          {"network", one.network.describe()},
                          {"widths", {one.network.inputs()}},
                          {"activation", name(hidden_activation(one.network))},
                          {"loss", name(one.loss)},
                          {"heads", one.network.heads()},
                          {"points", points},
                          {"samples", one.data.size()},
                          {"directions", rank},
                          {"plan", plan.explain(one.data.size(), points, Precision::f64)},
                          {"network_flop", plan.network_flop},
                          {"precisions", nlohmann::json::array()}};
  for (std::int64_t l = 0; l < one.network.depth(); ++l) about["widths"].push_back(one.network.width(l));
  for (const Precision precision : precisions_of(one, options)) about["precisions"].push_back(name(precision));
  std::ofstream(folder / "case.json") << about.dump(2) << '\n';
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
}

std::vector<Recipe> chosen_recipes(const std::string& names) {
  const std::vector<Recipe> all = recipes();
  if (names.empty()) return all;
  std::vector<Recipe> chosen;
  for (const std::string& name : split(names)) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const Recipe& one) { return one.name == name; });
    if (at == all.end()) {
      std::string known;
      for (const Recipe& one : all) known += (known.empty() ? "" : ", ") + one.name;
      throw std::invalid_argument("--cases: received " + name + ", expected some of " + known);
    }
    chosen.push_back(*at);
  }
  return chosen;
}

Size parse_size(const std::string& text, const Device& device) {
  if (text.empty()) return device.kind() == Device::Kind::cpu ? Size::cpu : Size::cuda;
  if (text == "tiny") return Size::tiny;
  if (text == "cpu") return Size::cpu;
  if (text == "cuda") return Size::cuda;
  throw std::invalid_argument("--size: received " + text + ", expected tiny, cpu or cuda");
}

Options take_options(std::vector<char*>& arguments) {
  Options options;
  const std::string repetitions = take_option(arguments, "--repetitions");
  if (!repetitions.empty()) options.repetitions = std::max(1, std::atoi(repetitions.c_str()));
  options.reference = take_option(arguments, "--reference");
  options.cases = chosen_recipes(take_option(arguments, "--cases"));
  options.device = take_device(arguments);
  options.size = parse_size(take_option(arguments, "--size"), options.device);
  for (const std::string& text : split(take_option(arguments, "--precisions"))) {
    options.precisions.push_back(parse_precision(text));
  }
  if (options.precisions.empty()) {
    options.precisions = {Precision::f32, Precision::f64};
    if (options.device.kind() == Device::Kind::cuda) options.precisions.push_back(Precision::fast);
  }
  return options;
}

int run(std::vector<char*> arguments) {
  const auto take_flag = [&](std::string_view flag) {
    return std::erase_if(arguments, [flag](const char* text) { return std::string_view(text) == flag; }) != 0;
  };
  const bool rates_only = take_flag("--rates"), scaling = take_flag("--scaling");
  const std::string folder = take_option(arguments, "--export");
  Options options = take_options(arguments);
  if (rates_only) {
    print_rates(options.device);
    return 0;
  }
  if (!folder.empty()) {
    options.reference = folder;
    for (const Recipe& recipe : options.cases) export_case(make_case(recipe, options.size), options);
    return 0;
  }
  return scaling ? time_scaling(std::move(arguments), options) : time_sections(std::move(arguments), options);
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  return lossatlas::bench::guarded("section_bench", [&] { return lossatlas::bench::run({argv, argv + argc}); });
}
