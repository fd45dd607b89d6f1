// What section files cost, and shortcuts compared with none: the table "what to use when" of README.
//
// 784-64-64-10 tanh at random parameters, N = 1000 glyphs, cross entropy, two random directions of the weights' own
// norm over [−1, 1]², f64. What is compared runs in turn, in one process; --benchmark_repetitions=5 gives medians.
//
//   file/SIDE    write_section() after Landscape::evaluate() of the same SIDE² points. overhead: how much longer the
//                file takes, as a share of evaluate()'s time.
//   resume/SIDE  a run stopped half way and resumed, after an undisturbed one. cost: how much longer the two halves
//                take, as a share of its time; resume_s: the time until the second half's first new tile ends.
//   merge/MIB    joins two shards of a formula, MIB MiB in all. s_per_gb: seconds for 10⁹ bytes of losses; the shards
//                lie in the page cache, and the file is synced to the disk of --folder.
//   direct/SIDE  Plan::direct after the automatic plan at SIDE² points. ratio: that of their times; difference: the
//                largest relative one of the losses.
//
//   section_file_bench [--device cpu|cuda] [--threads N] [--folder DIR] [Google Benchmark's options]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <unistd.h>
#include <lossatlas/lossatlas.hpp>

#include "command_line.hpp"
#include "rates.hpp"
#include "section_file/stream.hpp"

namespace lossatlas::bench {
namespace {

namespace fs = std::filesystem;

Device& device() {
  static Device device = Device::cpu();
  return device;
}

/// A folder of its own, removed at the end.
class Folder {
 public:
  explicit Folder(const fs::path& parent) : path_(parent / ("section_file_bench." + std::to_string(::getpid()))) {
    if (!fs::create_directory(path_)) throw std::runtime_error("--folder: cannot make " + path_.string());
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

fs::path& parent_folder() {
  static fs::path folder = fs::temp_directory_path();
  return folder;
}

struct Picture {
  Landscape landscape;
  Section section;
};

Picture picture() {
  Network network = mlp({784, 64, 64, 10}, Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 20});
  std::vector<double> directions =
      random_directions(network, theta, {.count = 2, .seed = 21, .normalisation = Normalisation::layer});
  Section section = make_section(network, std::move(theta), std::move(directions));
  return {Landscape(std::move(network), glyphs(1000), Loss::cross_entropy, device()), std::move(section)};
}

Grid square(const benchmark::State& state) { return Grid::box(-1, 1, {state.range(0), state.range(0)}); }

void file(benchmark::State& state) {
  const Picture problem = picture();
  const Grid grid = square(state);
  const Folder folder(parent_folder());
  problem.landscape.evaluate(problem.section, Grid::box(-1, 1, {9, 9}));  // warms up
  Seconds surface, written;
  SectionFileReport report;
  for (auto _ : state) {
    surface = seconds_of([&] { problem.landscape.evaluate(problem.section, grid); });
    written = seconds_of([&] { report = write_section(folder / "s.npy", problem.landscape, problem.section, grid); });
  }
  state.counters["evaluate_s"] = surface.wall;
  state.counters["file_s"] = written.wall;
  state.counters["overhead"] = written.wall / surface.wall - 1;
  state.counters["tiles"] = static_cast<double>(report.tiles);
  state.counters["tile_s"] = written.wall / static_cast<double>(report.tiles);
}

void resume(benchmark::State& state) {
  const Picture problem = picture();
  const Grid grid = square(state);
  const Folder folder(parent_folder());
  const auto write = [&](const char* name, const SectionFileOptions& options) {
    write_section(folder / name, problem.landscape, problem.section, grid, options);
  };
  Seconds alone, first, second;
  double to_work = 0;
  for (auto _ : state) {
    alone = seconds_of([&] { write("alone.npy", {}); });
    first = seconds_of([&] {
      std::stop_source stop;
      SectionFileOptions options;
      options.evaluate.control = {[&](const ProgressEvent& event) {
                                    if (event.stage == "section" && 2 * event.done > event.total) stop.request_stop();
                                  },
                                  stop.get_token()};
      try {
        write("s.npy", options);
      } catch (const Interrupted&) {
      }
    });
    second = seconds_of([&] {
      const auto start = std::chrono::steady_clock::now();
      SectionFileOptions options{.unfinished = Unfinished::resume};
      std::int64_t found = -1;
      options.evaluate.control.progress = [&](const ProgressEvent& event) {
        if (event.stage != "section" || to_work > 0) return;
        if (found < 0) found = event.done;
        if (event.done > found)
          to_work = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      };
      to_work = 0;
      write("s.npy", options);
    });
  }
  state.counters["alone_s"] = alone.wall;
  state.counters["halves_s"] = first.wall + second.wall;
  state.counters["cost"] = (first.wall + second.wall) / alone.wall - 1;
  state.counters["resume_s"] = to_work;
}

void merge(benchmark::State& state) {
  const Folder folder(parent_folder());
  TileSource source;
  source.identity = {{"model", "formula", 1}};
  source.grid = Grid::box(-1, 1, {state.range(0) * (std::int64_t{1} << 17)});
  source.evaluate = [](std::int64_t first, std::int64_t, const Control&, std::span<double> losses) {
    for (double& loss : losses) loss = static_cast<double>(first++);
  };
  source.point_bytes = [] { return std::int64_t{8}; };
  const std::vector<fs::path> shards = {folder / "1.shard", folder / "2.shard"};
  for (std::int64_t i = 1; i <= 2; ++i) {
    const SectionFileOptions options{.shard = Shard{i, 2}, .tile_points = std::int64_t{1} << 20};
    stream_section(shards[static_cast<std::size_t>(i - 1)], source, options);
  }
  Seconds seconds;
  for (auto _ : state) seconds = seconds_of([&] { merge_sections(folder / "s.npy", shards); });
  const double bytes = 8 * static_cast<double>(source.grid.size());
  state.counters["s_per_gb"] = seconds.wall / bytes * 1e9;
  state.counters["cpu_s_per_gb"] = seconds.cpu / bytes * 1e9;
}

void direct(benchmark::State& state) {
  const Picture problem = picture();
  const Grid grid = square(state);
  Surface shortcut, every;
  Seconds automatic, direct;
  for (auto _ : state) {
    automatic = seconds_of([&] { shortcut = problem.landscape.evaluate(problem.section, grid); });
    direct = seconds_of([&] { every = problem.landscape.evaluate(problem.section, grid, {.plan = Plan::direct}); });
  }
  double difference = 0;
  for (std::size_t g = 0; g < every.losses.size(); ++g) {
    difference = std::max(difference, std::abs(shortcut.losses[g] - every.losses[g]) / std::abs(every.losses[g]));
  }
  if (!(difference < 1e-11)) state.SkipWithError("the plans disagree");
  state.counters["automatic_s"] = automatic.wall;
  state.counters["direct_s"] = direct.wall;
  state.counters["ratio"] = direct.wall / automatic.wall;
  state.counters["difference"] = difference;
}

void register_all() {
  const auto add = [](const char* name, void (*work)(benchmark::State&), std::int64_t size) {
    benchmark::RegisterBenchmark(name, work)
        ->Arg(size)
        ->Iterations(1)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("file", file, 128);
  add("file", file, 256);
  add("resume", resume, 256);
  add("merge", merge, 512);
  add("direct", direct, 64);
}

}  // namespace
}  // namespace lossatlas::bench

int main(int argc, char** argv) {
  using namespace lossatlas::bench;
  return guarded("section_file_bench", [&] {
    std::vector<char*> arguments(argv, argv + argc);
    if (const std::string folder = take_option(arguments, "--folder"); !folder.empty()) parent_folder() = folder;
    device() = take_device(arguments);
    register_all();
    return run_benchmarks(std::move(arguments), device());
  });
}
