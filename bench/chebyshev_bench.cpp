// Pictures of a loss surface by Chebyshev interpolation against evaluation at every point, in one run.
//
// 784-64-64-10 tanh at random parameters, N = 1000 glyphs, cross entropy, two random directions of the weights' own
// norm over [−1, 1]², f64, tolerance 1e-6. A picture of at most 256² points is also evaluated at every point, and
// `error` is the largest error of the interpolated one relative to the largest loss. For a larger one, only 256² points
// spread over it are evaluated, and `direct_s` is extrapolated from their rate (direct_points says how many), unless
// --full is given. speedup is of wall-clock time, cpu_speedup of processor time, which other programs disturb less.
//
//   chebyshev_bench [--device cpu|cuda] [--threads N] [--full yes] [Google Benchmark's options]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "command_line.hpp"
#include "rates.hpp"

namespace lossatlas::bench {
namespace {

constexpr double kTolerance = 1e-6;

Device& device() {
  static Device device = Device::cpu();
  return device;
}

bool& full() {
  static bool full = false;
  return full;
}

struct Picture {
  Landscape landscape;
  Section section;
};

Picture picture(Normalisation normalisation, Dataset data) {
  Network network = mlp({784, 64, 64, 10}, Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 20});
  std::vector<double> directions =
      random_directions(network, theta, {.count = 2, .seed = 21, .normalisation = normalisation});
  Section section = make_section(network, std::move(theta), std::move(directions));
  return {Landscape(std::move(network), std::move(data), Loss::cross_entropy, device()), std::move(section)};
}

/// About 256² evenly spread points of a grid (every k-th), and their numbers.
std::pair<std::vector<double>, std::vector<std::int64_t>> spread_points(const Grid& grid) {
  const std::int64_t step = full() ? 1 : std::max<std::int64_t>(1, grid.size() / (256 * 256)) | 1;
  std::vector<double> points;
  std::vector<std::int64_t> numbers;
  for (std::int64_t g = 0; g < grid.size(); g += step) {
    points.resize(points.size() + 2);
    grid.point(g, std::span(points).last(2));
    numbers.push_back(g);
  }
  return {std::move(points), std::move(numbers)};
}

void section_picture(benchmark::State& state, Normalisation normalisation, const Dataset& data) {
  const Picture problem = picture(normalisation, data);
  const Grid grid = Grid::box(-1, 1, {state.range(0), state.range(0)});
  Surface surface;
  const Seconds seconds = seconds_of([&] {
    for (auto _ : state) {
      surface =
          problem.landscape.evaluate(problem.section, grid, {.method = Method::chebyshev, .tolerance = kTolerance});
    }
  });
  const ChebyshevReport& report = *surface.chebyshev;
  if (report.method != Method::chebyshev) return state.SkipWithError(report.reason.c_str());
  const auto [points, numbers] = spread_points(grid);
  Surface direct;
  const Seconds direct_seconds = seconds_of([&] { direct = problem.landscape.evaluate(problem.section, points); });
  double error = 0;
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    error = std::max(error, std::abs(direct.losses[k] - surface.at(numbers[k], 0)) / report.scale[0]);
  }
  if (!(error <= 3 * report.estimate)) state.SkipWithError("the error is larger than three times its estimate");
  const double whole = static_cast<double>(grid.size()) / static_cast<double>(direct.size());
  const auto pictures = static_cast<double>(state.iterations());
  state.counters["direct_s"] = direct_seconds.wall * whole;
  state.counters["direct_points"] = static_cast<double>(direct.size());
  state.counters["speedup"] = direct_seconds.wall * whole * pictures / seconds.wall;
  state.counters["cpu_speedup"] = direct_seconds.cpu * whole * pictures / seconds.cpu;
  state.counters["nodes"] = static_cast<double>(report.nodes[0] * report.nodes[1]);
  state.counters["evaluations"] = static_cast<double>(report.evaluations);
  state.counters["estimate"] = report.estimate;
  state.counters["error"] = error;
}

void register_pictures() {
  const Dataset data = glyphs(1000);
  for (const auto& [name, normalisation, samples] :
       {std::tuple{"layer/glyphs", Normalisation::layer, data},
        {"filter/glyphs", Normalisation::filter, data},
        {"layer/standardised", Normalisation::layer, data.standardised()}}) {
    benchmark::RegisterBenchmark(name, section_picture, normalisation, samples)
        ->Arg(256)
        ->Arg(1024)
        ->Iterations(1)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  using namespace lossatlas::bench;
  return guarded("chebyshev_bench", [&] {
    std::vector<char*> arguments(argv, argv + argc);
    full() = !take_option(arguments, "--full").empty();
    device() = take_device(arguments);
    register_pictures();
    return run_benchmarks(std::move(arguments), device());
  });
}
