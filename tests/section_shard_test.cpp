// Shards: parts of a section that are evaluated apart, resume on their own and merge to the bits of one run.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "expect_error.hpp"
#include "section_file/stream.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::FormulaRun;
using testing::read_bytes;
using testing::write_bytes;
namespace fs = std::filesystem;

class SectionShards : public testing::SectionRunTest {
 protected:
  std::vector<fs::path> shards(const Grid& grid, std::int64_t heads, std::int64_t count, std::int64_t tile) const {
    std::vector<fs::path> files;
    for (std::int64_t index = 1; index <= count; ++index) {
      files.push_back(path(std::to_string(index) + ".shard"));
      FormulaRun(grid, heads).write(files.back(), tile, Unfinished::refuse, Shard{index, count});
    }
    return files;
  }
};

TEST_F(SectionShards, MergeToTheBitsOfOneRun) {
  const Grid grid({Axis{-1, 0.1, 7}, Axis{3, -2, 5}, Axis{0, 0, 1}});
  for (const std::int64_t heads : {1, 2}) {
    for (const std::int64_t count : {2, 3, 6, 35}) {
      for (const std::int64_t tile : {0, 1, 4}) {
        auto files = shards(grid, heads, count, tile);
        std::reverse(files.begin(), files.end());
        const SectionFileReport report = merge_sections(path("s.npy"), files);
        EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(grid, heads)) << count << " shards";
        EXPECT_EQ(report.range.hi, finite_range(testing::formula_losses(35, heads)).hi);
        EXPECT_EQ(report.nonfinite, heads == 1 ? 1 : 2);
        EXPECT_EQ(report.points, 35);
        EXPECT_EQ(shard_grid(files.front()), grid);
      }
    }
  }
}

TEST_F(SectionShards, ResumeOnTheirOwn) {
  const Grid grid = Grid::unit({50});
  FormulaRun run(grid, 2);
  run.interrupt(path("2.shard"), 3, 4, Shard{2, 3});
  EXPECT_ERROR(run.resume(path("2.shard"), Shard{1, 3}), FileError, "shard 2/3");
  EXPECT_EQ(run.resume(path("2.shard"), Shard{2, 3}).resumed_tiles, 4);
  EXPECT_EQ(run.evaluated, 17 - 12);
  const std::string resumed = read_bytes(path("2.shard"));
  run.write(path("2.shard"), 3, Unfinished::refuse, Shard{2, 3});
  EXPECT_TRUE(read_bytes(path("2.shard")) == resumed);
}

// Tiles are of a size that may come from a measurement, and of what an earlier run left: the bytes of a shard are not.
TEST_F(SectionShards, HaveTheSameBytesForAnyTileAndInterruption) {
  const Grid grid = Grid::unit({7, 31});
  for (const std::int64_t heads : {1, 3}) {
    FormulaRun run(grid, heads);
    run.write(path("a"), 5, Unfinished::refuse, Shard{2, 3});
    const std::string bytes = read_bytes(path("a"));
    for (const std::int64_t tile : {0, 1, 2, 17, 72, 1000}) {
      run.write(path("b"), tile, Unfinished::refuse, Shard{2, 3});
      EXPECT_TRUE(read_bytes(path("b")) == bytes) << "tiles of " << tile;
    }
    for (const std::int64_t done : {1, 9}) {
      run.interrupt(path("b"), 4, done, Shard{2, 3});
      run.resume(path("b"), Shard{2, 3});
      EXPECT_TRUE(read_bytes(path("b")) == bytes) << "resumed after " << done;
    }
  }
}

TEST_F(SectionShards, IncompleteForeignAndDamagedSetsAreRefused) {
  const Grid grid = Grid::unit({31});
  const auto files = shards(grid, 2, 3, 4);
  const auto merge = [&](std::vector<fs::path> set) { merge_sections(path("s.npy"), set); };
  EXPECT_ERROR(merge({}), InvalidArgument, "no shards");
  EXPECT_ERROR(merge({files[0], files[2]}), FileError, "without 2/3");
  EXPECT_ERROR(merge({files[0], files[1]}), FileError, "without 3/3");
  EXPECT_ERROR(merge({files[0], files[1], files[0], files[2]}), FileError, "each once");
  FormulaRun other(grid, 2);
  other.source.identity[0].hash = 99;
  other.write(path("other"), 4, Unfinished::refuse, Shard{3, 3});
  EXPECT_ERROR(merge({files[0], files[1], path("other")}), FileError, "another model");
  FormulaRun(grid, 2).write(path("other"), 4, Unfinished::refuse, Shard{3, 4});
  EXPECT_ERROR(merge({files[0], files[1], path("other")}), FileError, "of 4 shards");
  FormulaRun(grid, 2).write(path("other"), 4);
  EXPECT_ERROR(merge({files[0], files[1], path("other")}), FileError, "other");
  EXPECT_ERROR(merge({files[0], files[1], path("absent")}), FileError, "absent");
  EXPECT_ERROR(merge_sections(files[1], files), FileError, "also a shard");
  EXPECT_FALSE(fs::exists(path("s.npy")));

  const std::string good = read_bytes(files[1]);
  const unsigned seed = 11;
  std::mt19937 random(seed);
  for (int trial = 0; trial < 300; ++trial) {
    std::string bad = good;
    if (trial % 3 == 0) {
      bad.resize(random() % bad.size());
    } else {
      bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    }
    write_bytes(files[1], bad);
    EXPECT_THROW(merge(files), FileError) << "seed " << seed << ", trial " << trial;
  }
  EXPECT_FALSE(fs::exists(path("s.npy")));
  write_bytes(files[1], good);
  merge(files);
  EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(grid, 2));
}

TEST_F(SectionShards, OneOfOneIsAShard) {
  const Grid grid = Grid::unit({50});
  const auto one = shards(grid, 2, 1, 7);
  merge_sections(path("s.npy"), one);
  EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(grid, 2));
  EXPECT_EQ(shard_heads(one.front()), 2);
  FormulaRun run(grid);
  run.interrupt(path("t.npy"), 7, 3);
  EXPECT_ERROR(run.resume(path("t.npy"), Shard{1, 1}), FileError, "0/0");
}

// As a job array does that is started again: what is finished costs a look, anything else is evaluated.
TEST_F(SectionShards, ResumingAFinishedOneEvaluatesNothing) {
  const Grid grid = Grid::unit({50});
  FormulaRun run(grid, 2);
  const SectionFileReport first = run.write(path("2.shard"), 3, Unfinished::refuse, Shard{2, 3});
  const std::string bytes = read_bytes(path("2.shard"));
  const auto written = fs::last_write_time(path("2.shard"));
  run.evaluated = 0;
  run.source.prepare = [](const Control&) { FAIL() << "there is nothing to evaluate"; };
  const SectionFileReport report = run.resume(path("2.shard"), Shard{2, 3});
  run.source.prepare = {};
  EXPECT_EQ(run.evaluated, 0);
  EXPECT_EQ(report.resumed_tiles, report.tiles);
  EXPECT_EQ(report.points, first.points);
  EXPECT_EQ(report.range.lo, first.range.lo);
  EXPECT_EQ(report.range.hi, first.range.hi);
  EXPECT_EQ(report.nonfinite, first.nonfinite);
  EXPECT_EQ(fs::last_write_time(path("2.shard")), written);
  EXPECT_EQ(files(), std::vector<std::string>{"2.shard"});

  const auto evaluates = [&](FormulaRun& with, Shard shard, std::int64_t points) {
    with.evaluated = 0;
    EXPECT_EQ(with.resume(path("2.shard"), shard).resumed_tiles, 0);
    EXPECT_EQ(with.evaluated, points);
  };
  std::string damaged = bytes;
  damaged[damaged.size() / 2] ^= 1;
  for (const std::string& text : {damaged, bytes.substr(0, 100), bytes + "x", std::string("no shard")}) {
    write_bytes(path("2.shard"), text);
    evaluates(run, {2, 3}, 17);
    EXPECT_EQ(read_bytes(path("2.shard")).size() % 8, 0u);
  }
  FormulaRun other(grid, 2);
  other.source.identity[0].hash = 99;
  evaluates(other, {2, 3}, 17);
  evaluates(other, {1, 3}, 17);
  run.evaluated = 0;
  run.write(path("2.shard"), 3, Unfinished::refuse, Shard{2, 3});
  EXPECT_EQ(run.evaluated, 17) << "without resuming it is made anew";
  EXPECT_TRUE(read_bytes(path("2.shard")) == bytes);
}

TEST_F(SectionShards, AForgedHeaderIsRefused) {
  constexpr std::int64_t kPoints = std::int64_t{1} << 36;
  const std::vector<fs::path> forged = {path("1.shard")};
  for (const std::int64_t tile : {std::int64_t{1}, kPoints}) {
    const RunHeader header{{{"model", "formula", 17}}, Grid::unit({kPoints}), 1, 1, 1, tile};
    write_bytes(path("1.shard"), encode(header, kShardMagic, {"f", "test"}) + std::string(16, '\0'));
    EXPECT_ERROR(merge_sections(path("s.npy"), forged), FileError, tile == 1 ? "tiles" : "bytes");
  }
}

}  // namespace
}  // namespace lossatlas
