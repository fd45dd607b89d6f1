// Sections as files: the bits of Landscape::evaluate() for any tile, shard and interruption.
#include <lossatlas/section_file.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "expect_error.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::FormulaRun;
using testing::read_bytes;
using testing::write_bytes;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// A landscape with the ingredients of a section of it.
struct Problem {
  explicit Problem(std::int64_t z, std::int64_t heads = 1, int threads = 0)
      : network(mlp({3, 5, 4 * heads}, Activation::tanh, {.heads = heads})),
        theta(random_parameters(network, {.seed = 1})),
        section(make_section(network, theta, random_directions(network, theta, {.count = z, .seed = 2}))),
        landscape(network, data(), Loss::cross_entropy,
                  threads == 0 ? Device::best() : Device::cpu({.threads = threads})) {}

  static Dataset data(double shift = 0) {
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    std::vector<double> inputs(3 * 21);
    for (double& x : inputs) x = normal(random) + shift;
    std::vector<std::int32_t> labels(21);
    for (auto& label : labels) label = static_cast<std::int32_t>(random() % 4);
    return Dataset::classification(inputs, 3, labels, 4);
  }

  Network network;
  std::vector<double> theta;
  Section section;
  Landscape landscape;
};

class SectionFile : public testing::SectionRunTest {
 protected:
  void expect_surface(const fs::path& file, const SectionFileReport& report, const Surface& surface) const {
    std::vector<std::int64_t> shape = surface.grid.shape();
    shape.push_back(surface.heads);
    write_npy(path("expected.npy"), shape, surface.losses);
    EXPECT_TRUE(read_bytes(file) == read_bytes(path("expected.npy")));
    fs::remove(path("expected.npy"));
    EXPECT_EQ(report.range.lo, finite_range(surface.losses).lo);
    EXPECT_EQ(report.range.hi, finite_range(surface.losses).hi);
    EXPECT_EQ(report.nonfinite, surface.nonfinite);
    EXPECT_EQ(report.points, surface.size());
    EXPECT_EQ(report.heads, surface.heads);
    EXPECT_EQ(report.device, surface.device);
    EXPECT_EQ(report.precision, surface.precision);
    EXPECT_EQ(report.plan, surface.plan);
  }
};

TEST_F(SectionFile, HasTheBitsOfEvaluateForAnyTile) {
  for (const std::int64_t z : {1, 2, 3, 4}) {
    for (const std::int64_t heads : {1, 3}) {
      const Problem problem(z, heads);
      const Grid grid = Grid::box(-1, 1.5, std::vector<std::int64_t>(static_cast<std::size_t>(z), z == 1 ? 70 : 4));
      const Surface surface = problem.landscape.evaluate(problem.section, grid);
      for (const std::int64_t tile :
           {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, grid.size(), 3 * grid.size()}) {
        const SectionFileReport report =
            write_section(path("s.npy"), problem.landscape, problem.section, grid, {.tile_points = tile});
        expect_surface(path("s.npy"), report, surface);
        EXPECT_EQ(report.evaluated_points, grid.size());
        EXPECT_EQ(files(), Names{"s.npy"}) << "z " << z << ", tile " << tile;
      }
    }
  }
}

TEST_F(SectionFile, KnowsPrecisionPlanMethodAndExactEnds) {
  const Problem problem(2);
  const std::vector<double> other = random_parameters(problem.network, {.seed = 8});
  const Section line = line_section(problem.network, problem.theta, other);
  const Grid unit = Grid::unit({301});
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    for (const Plan plan : {Plan::automatic, Plan::direct}) {
      for (const Method method : {Method::pointwise, Method::chebyshev}) {
        EvaluateOptions options{.precision = precision, .plan = plan, .method = method};
        options.tolerance = 1e-4;
        const Surface plane = problem.landscape.evaluate(problem.section, Grid::box(-0.5, 0.5, {30, 31}), options);
        EXPECT_EQ(plane.chebyshev && plane.chebyshev->method == Method::chebyshev, method == Method::chebyshev);
        SectionFileOptions file{.evaluate = options, .tile_points = 11};
        expect_surface(path("p.npy"),
                       write_section(path("p.npy"), problem.landscape, problem.section, plane.grid, file), plane);
        const Surface curve = problem.landscape.evaluate(line, unit, options);
        EXPECT_EQ(curve.chebyshev && curve.chebyshev->method == Method::chebyshev, method == Method::chebyshev);
        expect_surface(path("l.npy"), write_section(path("l.npy"), problem.landscape, line, unit, file), curve);
      }
    }
  }
}

TEST_F(SectionFile, ResumesAfterAnyNumberOfTiles) {
  const Grid grid = Grid::unit({5, 4, 3});
  const std::string expected = formula_file(grid, 2);
  const Range range = finite_range(testing::formula_losses(60, 2));
  for (std::int64_t done = 0; done < 12; ++done) {
    FormulaRun run(grid, 2);
    run.interrupt(path("s.npy"), 5, done);
    EXPECT_EQ(files(), done == 0 ? Names{} : (Names{"s.npy.journal", "s.npy.partial"})) << done;
    const SectionFileReport report = run.resume(path("s.npy"));
    if (done > 0) {
      EXPECT_EQ(report.resumed_tiles, done);
      EXPECT_EQ(report.tile_points, 5);
      EXPECT_EQ(run.evaluated, 60 - 5 * done) << "finished tiles must not be evaluated again";
    }
    EXPECT_EQ(report.evaluated_points, run.evaluated);
    EXPECT_EQ(report.range.lo, range.lo);
    EXPECT_EQ(report.range.hi, range.hi);
    EXPECT_EQ(report.nonfinite, 3);
    EXPECT_TRUE(read_bytes(path("s.npy")) == expected);
    EXPECT_EQ(files(), Names{"s.npy"});
    fs::remove(path("s.npy"));
  }
}

// What a kill within the only tile leaves, asked for by a number that no section of so few points has.
TEST_F(SectionFile, ATileOfMoreThanAllPointsResumes) {
  const Grid grid = Grid::unit({5, 4, 3});
  FormulaRun run(grid, 2);
  run.before = [&](auto...) {
    fs::copy_file(path("s.npy.journal"), path("journal"));
    fs::copy_file(path("s.npy.partial"), path("partial"));
  };
  run.write(path("s.npy"), 1000, Unfinished::refuse);
  fs::remove(path("s.npy"));
  fs::rename(path("journal"), path("s.npy.journal"));
  fs::rename(path("partial"), path("s.npy.partial"));
  run.before = {};
  EXPECT_EQ(run.write(path("s.npy"), 1000, Unfinished::resume).tile_points, 60);
  EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(grid, 2));
  EXPECT_EQ(files(), Names{"s.npy"});
}

// A stop that comes with the last tile comes too late: the file is there.
TEST_F(SectionFile, AStopAtTheEndInterruptsNothing) {
  const Problem problem(1);
  const Grid grid = Grid::box(-1, 1, {40});
  for (const Method method : {Method::pointwise, Method::chebyshev}) {
    std::stop_source stop;
    bool asked = false;
    SectionFileOptions options{.evaluate = {.method = method, .tolerance = 1e-3}, .tile_points = 20};
    options.evaluate.control = {[&](const ProgressEvent& event) {
                                  if (std::string_view(event.stage) != "section" || event.done != event.total) return;
                                  asked = true;
                                  stop.request_stop();
                                },
                                stop.get_token()};
    const SectionFileReport report = write_section(path("s.npy"), problem.landscape, problem.section, grid, options);
    EXPECT_TRUE(asked);
    EXPECT_EQ(report.points, 40);
    EXPECT_FALSE(fs::exists(path("s.npy.journal")));
  }
}

TEST_F(SectionFile, LeavesUnfinishedRunsAloneUnlessAskedToResume) {
  const Grid grid = Grid::unit({40});
  FormulaRun run(grid);
  run.interrupt(path("s.npy"), 4, 6);
  const std::string journal = read_bytes(path("s.npy.journal")), partial = read_bytes(path("s.npy.partial"));
  EXPECT_ERROR(run.write(path("s.npy"), 4), FileError, "--resume");
  EXPECT_ERROR(run.write(path("s.npy"), 3, Unfinished::resume), FileError, "tiles of 4 points");
  EXPECT_EQ(read_bytes(path("s.npy.journal")), journal);
  EXPECT_EQ(read_bytes(path("s.npy.partial")), partial);
  fs::remove(path("s.npy.journal"));
  EXPECT_ERROR(run.write(path("s.npy"), 4), FileError, "s.npy.partial");
  EXPECT_ERROR(run.resume(path("s.npy")), FileError, "without its journal");
  EXPECT_EQ(read_bytes(path("s.npy.partial")), partial);
  EXPECT_EQ(run.evaluated, 0);
  // Without the losses they are evaluated again; a journal that a kill cut short before any is no hindrance.
  fs::remove(path("s.npy.partial"));
  for (const std::string& text : {journal, journal.substr(0, 40), std::string()}) {
    write_bytes(path("s.npy.journal"), text);
    EXPECT_EQ(run.resume(path("s.npy")).resumed_tiles, 0);
    EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(grid, 1));
    fs::remove(path("s.npy"));
  }
}

TEST_F(SectionFile, RefusesWhatAnotherRunBegan) {
  const Problem problem(2);
  const Grid grid = Grid::box(-1, 1, {6, 5});
  SectionFileOptions options{.tile_points = 4};
  std::stop_source stop;
  options.evaluate.control = {[&, seen = 0](const ProgressEvent& event) mutable {
                                if (event.done == event.total || ++seen > 6) stop.request_stop();
                              },
                              stop.get_token()};
  EXPECT_THROW(write_section(path("s.npy"), problem.landscape, problem.section, grid, options), Interrupted);
  const std::string journal = read_bytes(path("s.npy.journal")), partial = read_bytes(path("s.npy.partial"));

  options = {.unfinished = Unfinished::resume};
  const auto refused = [&](const Landscape& landscape, const Section& section, const Grid& on,
                           const SectionFileOptions& with, const std::string& part) {
    EXPECT_ERROR(write_section(path("s.npy"), landscape, section, on, with), FileError, part);
    EXPECT_EQ(read_bytes(path("s.npy.journal")), journal) << part;
    EXPECT_EQ(read_bytes(path("s.npy.partial")), partial) << part;
  };
  const auto landscape = [&](const Network& network, const Dataset& data, Loss loss) {
    return Landscape(network, data, loss, problem.landscape.device());
  };
  Section section = problem.section;
  section.origin[7] = std::nextafter(section.origin[7], 9.0);
  refused(problem.landscape, section, grid, options, "another model");
  section = problem.section;
  section.directions.back() += 1e-9;
  refused(problem.landscape, section, grid, options, "another directions");
  const Network relu = mlp({3, 5, 4}, Activation::relu);
  refused(landscape(relu, Problem::data(), Loss::cross_entropy), problem.section, grid, options, "model");
  refused(landscape(problem.network, Problem::data(1e-12), Loss::cross_entropy), problem.section, grid, options,
          "another data");
  refused(landscape(problem.network, Problem::data(), Loss::mean_squared_error), problem.section, grid, options,
          "loss mse instead of ce");
  refused(problem.landscape, problem.section, Grid::box(-1, 1, {5, 6}), options, "grid");
  refused(problem.landscape, problem.section, Grid::box(-1, std::nextafter(1.0, 2), {6, 5}), options, "another grid");
  SectionFileOptions with = options;
  with.evaluate.precision = Precision::f32;
  refused(problem.landscape, problem.section, grid, with, "precision f32 instead of f64");
  with = options;
  with.evaluate.plan = Plan::direct;
  refused(problem.landscape, problem.section, grid, with, "plan direct instead of automatic");
  with = options;
  with.evaluate.method = Method::chebyshev;
  refused(problem.landscape, problem.section, grid, with, "method chebyshev");
  with = options;
  with.shard = {1, 2};
  refused(problem.landscape, problem.section, grid, with, "shard");

  // The number of threads is no difference.
  const Problem threaded(2, 1, problem.landscape.device().kind() == Device::Kind::cpu ? 2 : 0);
  const SectionFileReport report = write_section(path("s.npy"), threaded.landscape, threaded.section, grid, options);
  EXPECT_GT(report.resumed_tiles, 0);
  expect_surface(path("s.npy"), report, threaded.landscape.evaluate(threaded.section, grid));
}

// What is wrong with files and options is said before anything is computed, a fit above all.
TEST_F(SectionFile, FilesAndOptionsAreLookedAtFirst) {
  FormulaRun run(Grid::unit({1 << 21}));
  int prepared = 0;
  run.source.prepare = [&](const Control&) { ++prepared; };
  EXPECT_ERROR(run.write(path("s.npy"), 1), InvalidArgument, "tiles");
  EXPECT_ERROR(run.write(path("absent/s.npy"), 0), FileError, "folder");
  FormulaRun large(Grid::unit({std::int64_t{1} << 56}), 2);
  large.source.prepare = run.source.prepare;
  EXPECT_ERROR(large.write(path("s.npy"), std::int64_t{1} << 40), FileError, "free");
  write_bytes(path("s.npy.partial"), "stale");
  EXPECT_ERROR(run.write(path("s.npy"), 0), FileError, "--resume");
  EXPECT_ERROR(run.resume(path("s.npy")), FileError, "without its journal");
  EXPECT_EQ(prepared + run.evaluated, 0);
  run.write(path("t.npy"), 0);
  EXPECT_EQ(prepared, 1);

  const Problem problem(2);
  SectionFileOptions options;
  options.evaluate.method = Method::chebyshev;
  options.evaluate.control.progress = [](const ProgressEvent& event) { FAIL() << event.stage; };
  const Grid grid = Grid::box(-0.5, 0.5, {60, 60});
  EXPECT_ERROR(write_section(path("s.npy"), problem.landscape, problem.section, grid, options), FileError, "--resume");
}

// A tile may take seconds; the landscape heeds a request to stop within it.
TEST_F(SectionFile, AStopWithinATileEndsSoon) {
  const Network network = mlp({3, 64, 4}, Activation::tanh);
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Section section = make_section(network, theta, random_directions(network, theta, {.count = 2, .seed = 2}));
  const Landscape landscape(network, Problem::data(), Loss::cross_entropy, Device::cpu({.threads = 1}));
  using Clock = std::chrono::steady_clock;
  std::stop_source stop;
  Clock::time_point asked;
  std::jthread user;
  SectionFileOptions options{.tile_points = std::int64_t{1} << 24};  // minutes of work
  options.evaluate.plan = Plan::direct;
  options.evaluate.control = {[&](const ProgressEvent& event) {
                                if (std::string_view(event.stage) != "section" || user.joinable()) return;
                                user = std::jthread([&] {  // when the tile is well under way
                                  std::this_thread::sleep_for(std::chrono::milliseconds(300));
                                  asked = Clock::now();
                                  stop.request_stop();
                                });
                              },
                              stop.get_token()};
  const Grid grid = Grid::box(-1, 1, {4096, 4096});
  EXPECT_ERROR(write_section(path("s.npy"), landscape, section, grid, options), Interrupted, "before the first tile");
  EXPECT_LT(std::chrono::duration<double>(Clock::now() - asked).count(), 1.0) << "some 0.1 s on a quiet machine";
  EXPECT_EQ(files(), Names{});
}

// What a fit cost and saved is told for the points of this file, wherever an earlier run had stopped.
TEST_F(SectionFile, TheReportOfAFitIsAboutThisFile) {
  const Problem problem(2);
  const Grid grid = Grid::box(-0.5, 0.5, {40, 40});
  for (const double tolerance : {1e-4, 1e-15}) {  // the second is beyond reach of so few points
    SectionFileOptions options{.tile_points = 100};
    options.evaluate.method = Method::chebyshev;
    options.evaluate.tolerance = tolerance;
    const ChebyshevReport whole =
        *write_section(path("s.npy"), problem.landscape, problem.section, grid, options).chebyshev;
    EXPECT_EQ(whole.method == Method::chebyshev, tolerance == 1e-4);
    std::stop_source stop;
    options.evaluate.control = {[&](const ProgressEvent& event) {
                                  if (event.total == grid.size() && event.done >= 700) stop.request_stop();
                                },
                                stop.get_token()};
    EXPECT_THROW(write_section(path("s.npy"), problem.landscape, problem.section, grid, options), Interrupted);
    options.evaluate.control = {};
    options.unfinished = Unfinished::resume;
    const SectionFileReport resumed = write_section(path("s.npy"), problem.landscape, problem.section, grid, options);
    EXPECT_EQ(resumed.resumed_tiles, 7);
    EXPECT_EQ(resumed.chebyshev->evaluations, whole.evaluations);
    EXPECT_EQ(resumed.chebyshev->saved, whole.saved);
    options.shard = Shard{2, 4};
    const SectionFileReport part = write_section(path("2.shard"), problem.landscape, problem.section, grid, options);
    const std::int64_t others = whole.method == Method::chebyshev ? 0 : 3 * part.points;
    EXPECT_EQ(part.chebyshev->evaluations, whole.evaluations - others);
    EXPECT_EQ(part.chebyshev->saved, part.points - part.chebyshev->evaluations);
    EXPECT_FALSE(write_section(path("2.shard"), problem.landscape, problem.section, grid, options).chebyshev);
  }
}

TEST_F(SectionFile, OneProcessAtATime) {
  FormulaRun run(Grid::unit({40}));
  run.interrupt(path("s.npy"), 4, 6);
  FormulaRun other(Grid::unit({40}));
  int refused = 0;
  run.before = [&](std::int64_t, std::int64_t) {
    EXPECT_ERROR(other.resume(path("s.npy")), FileError, "another process");
    ++refused;
  };
  run.resume(path("s.npy"));
  EXPECT_EQ(refused, 4);
}

TEST_F(SectionFile, AKillBetweenRenamingAndCleaningUpCostsNothing) {
  const Grid grid = Grid::unit({40});
  FormulaRun run(grid, 3);
  std::string journal;
  run.progress = [&](const ProgressEvent& event) {
    if (event.done == event.total) journal = read_bytes(path("s.npy.journal"));
  };
  run.write(path("s.npy"), 4);
  const std::string losses = read_bytes(path("s.npy"));
  ASSERT_FALSE(journal.empty());
  for (const bool damaged : {false, true}) {
    write_bytes(path("s.npy.journal"), journal);
    if (damaged) write_bytes(path("s.npy"), losses.substr(0, losses.size() - 1));
    run.evaluated = 0;
    const SectionFileReport report = run.resume(path("s.npy"));
    EXPECT_EQ(run.evaluated, damaged ? 40 : 0);
    EXPECT_EQ(report.resumed_tiles, damaged ? 0 : 10);
    EXPECT_EQ(report.nonfinite, 4) << "of 120 losses: the 5th, 42nd, 79th and 116th";
    EXPECT_TRUE(read_bytes(path("s.npy")) == losses);
    EXPECT_EQ(files(), Names{"s.npy"});
  }
}

TEST_F(SectionFile, BadArguments) {
  FormulaRun run(Grid::unit({10}));
  EXPECT_ERROR(run.write(path("s.npy"), -1), InvalidArgument, "-1");
  for (const Shard shard : {Shard{0, 2}, Shard{3, 2}, Shard{1, 0}, Shard{1, 11}}) {
    EXPECT_ERROR(run.write(path("s.npy"), 1, Unfinished::refuse, shard), InvalidArgument, "shard");
  }
  EXPECT_ERROR(run.write(path(""), 1), FileError, "folder");
  EXPECT_ERROR(run.write(path("absent/s.npy"), 1), FileError, "absent");
  EXPECT_ERROR(run.write("/dev/null", 1), FileError, "regular");
  FormulaRun tiny(Grid::unit({1 << 21}));
  EXPECT_ERROR(tiny.write(path("s.npy"), 1), InvalidArgument, "tiles");
  FormulaRun wide(Grid::unit({std::int64_t{1} << 60}), 5);
  EXPECT_ERROR(wide.write(path("s.npy"), 1), InvalidArgument, "bytes");
  FormulaRun large(Grid::unit({std::int64_t{1} << 56}), 2);
  EXPECT_ERROR(large.write(path("s.npy"), std::int64_t{1} << 40), FileError, "free");
  const Problem problem(2);
  EXPECT_ERROR(write_section(path("s.npy"), problem.landscape, problem.section, Grid::unit({3})), InvalidArgument,
               "axes");
  EXPECT_EQ(files(), Names{});
}

TEST_F(SectionFile, FollowsLinksAndKeepsPermissions) {
  fs::create_directory(path("there"));
  write_bytes(path("there/old.npy"), "old");
  fs::permissions(path("there/old.npy"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink(path("there/old.npy"), path("s.npy"));
  const Grid grid = Grid::unit({10});
  FormulaRun(grid).write(path("s.npy"), 3);
  EXPECT_TRUE(fs::is_symlink(path("s.npy")));
  EXPECT_TRUE(read_bytes(path("there/old.npy")) == formula_file(grid, 1));
  EXPECT_EQ(fs::status(path("there/old.npy")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

// The losses of points next to 2^31 and 2^32 of a box in R^3, from a real landscape in shards, are those at the
// coordinates found by division here.
TEST_F(SectionFile, PointsNextTo31And32BitsAreTheRightOnes) {
  const Problem problem(3);
  const Grid grid = Grid::box(-1, 1, {2048, 2048, 1025});
  constexpr std::int64_t k31 = std::int64_t{1} << 31, k32 = std::int64_t{1} << 32;
  constexpr std::int64_t kShards = 10000019;  // of some 430 points
  ASSERT_GT(grid.size(), k32);
  for (const std::int64_t border : {k31, k32}) {
    const std::int64_t each = grid.size() / kShards, more = grid.size() % kShards;
    const std::int64_t longer = more * (each + 1);  // points of the shards that have one point more
    const std::int64_t index = (border < longer ? border / (each + 1) : more + (border - longer) / each) + 1;
    const SectionFileReport report = write_section(path("part"), problem.landscape, problem.section, grid,
                                                   {.shard = Shard{index, kShards}, .tile_points = 50});
    std::vector<double> losses(static_cast<std::size_t>(report.points));
    const std::string bytes = read_bytes(path("part"));
    constexpr std::size_t kAfter = sizeof(std::uint64_t);  // the checksum
    std::memcpy(losses.data(), bytes.data() + bytes.size() - kAfter - 8 * losses.size(), 8 * losses.size());
    const TileLayout layout = shard_layout(grid.size(), 1, {index, kShards}, 50);
    ASSERT_LE(layout.first, border);
    ASSERT_GT(layout.first + layout.points, border);
    std::vector<double> points;
    for (std::int64_t g = layout.first; g < layout.first + layout.points; ++g) {
      points.push_back(-1 + static_cast<double>(g / 1025 / 2048) * (2.0 / 2047));
      points.push_back(g / 1025 % 2048 == 2047 ? 1 : -1 + static_cast<double>(g / 1025 % 2048) * (2.0 / 2047));
      points.push_back(g % 1025 == 1024 ? 1 : -1 + static_cast<double>(g % 1025) * (2.0 / 1024));
    }
    EXPECT_EQ(problem.landscape.evaluate(problem.section, points).losses, losses) << border;
  }
}

}  // namespace
}  // namespace lossatlas
