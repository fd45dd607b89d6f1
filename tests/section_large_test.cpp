// Offsets and points beyond 32 bits, in sparse files.
#include <algorithm>
#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "file/checksum.hpp"
#include "file/update_file.hpp"
#include "section_file/journal.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::formula;
using testing::FormulaRun;
namespace fs = std::filesystem;

constexpr std::int64_t k31 = std::int64_t{1} << 31, k32 = std::int64_t{1} << 32;

TEST(TileLayout, PartsCoverThePointsOnceAtAnySize) {
  for (const std::int64_t points : {k31 - 1, k31, k31 + 1, k32 - 1, k32, k32 + 1, std::int64_t{1000000007} * 1000003}) {
    for (const std::int64_t shards : {std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, k31 - 1}) {
      std::int64_t next = 0;
      for (std::int64_t index = 1; index <= std::min<std::int64_t>(shards, 50); ++index) {
        const TileLayout layout = shard_layout(points, 3, {index, shards}, 4096);
        EXPECT_EQ(layout.first, next);
        EXPECT_LE(std::abs(layout.points - points / shards), 1);
        EXPECT_EQ(layout.tile_first(layout.tiles() - 1) + layout.tile_size(layout.tiles() - 1), next + layout.points);
        EXPECT_EQ(layout.end() - layout.begin, 24 * layout.points);
        next += layout.points;
      }
      const TileLayout last = shard_layout(points, 3, {shards, shards}, 4096);
      EXPECT_EQ(last.first + last.points, points);
      EXPECT_TRUE(shards > 50 || next == points);
    }
  }
}

class LargeSection : public testing::SectionRunTest {};

TEST_F(LargeSection, TilesLieWhereTheyShouldAcrossTheBordersOfASparseFile) {
  UpdateFile file = UpdateFile::create(path("sparse"), "test");
  for (const std::int64_t heads : {1, 3}) {
    TileLayout layout = shard_layout(k32 + 1000, heads, {1, 1}, 1001);
    layout.begin = 128;
    // Points whose losses lie at 2^31 and 2^32 bytes, and points 2^31 and 2^32.
    for (const std::int64_t border : {k31 / 8 / heads, k32 / 8 / heads, k31, k32}) {
      const std::int64_t tile = border / 1001;
      std::vector<double> losses;
      for (std::int64_t g = layout.tile_first(tile); g < layout.tile_first(tile) + layout.tile_size(tile); ++g) {
        for (std::int64_t h = 0; h < heads; ++h) losses.push_back(formula(g, h));
      }
      file.write(layout.offset(layout.tile_first(tile)), std::as_bytes(std::span(losses)));
      for (const std::int64_t g : {border - 1, border, border + 1}) {
        if (g < layout.tile_first(tile) || g >= layout.tile_first(tile) + layout.tile_size(tile)) continue;
        double loss = 0;
        std::ifstream stream(path("sparse"), std::ios::binary);
        stream.seekg(static_cast<std::streamoff>(std::uint64_t{128} + std::uint64_t{8} * static_cast<std::uint64_t>(g) *
                                                                          static_cast<std::uint64_t>(heads)));
        stream.read(reinterpret_cast<char*>(&loss), sizeof loss);
        const double expected = formula(g, 0);
        EXPECT_TRUE(loss == expected || (std::isnan(loss) && std::isnan(expected))) << g << ", " << heads << " heads";
      }
    }
  }
  EXPECT_GT(file.size(), k32);
  EXPECT_LT(file.allocated(), 1 << 22);
}

// The same from a run: all tiles but those from 2^31 bytes on are there, as holes, whose losses are zeros.
TEST_F(LargeSection, ARunWritesWhereItShouldBeyond31Bits) {
  TearDown();
  make_folder(fs::temp_directory_path());
  if (fs::space(path("")).available < 3e9) GTEST_SKIP() << "no room for a file of 2 GB";
  constexpr std::int64_t kTile = 1 << 20, kTiles = k31 / 8 / kTile + 2;
  const Grid grid = Grid::unit({kTile * kTiles});
  FormulaRun run(grid);
  run.before = [](std::int64_t, std::int64_t) { throw InvalidArgument("not yet"); };
  EXPECT_THROW(run.write(path("s.npy"), kTile), InvalidArgument);
  {
    const RunHeader header{run.source.identity, grid, 1, 0, 0, kTile};
    Journal journal = Journal::create(path("s.npy.journal"), "test", header);
    const std::vector<double> zeros(kTile);
    const std::uint64_t checksum = Checksum().add(std::span<const double>(zeros)).value();
    for (std::uint64_t tile = 0; tile + 2 < kTiles; ++tile) journal.add(tile, checksum);
    UpdateFile::create(path("s.npy.partial"), "test").truncate(k31 + 128);
  }
  run.before = {};
  EXPECT_EQ(run.resume(path("s.npy")).resumed_tiles, kTiles - 2);
  EXPECT_EQ(run.evaluated, 2 * kTile);
  std::ifstream stream(path("s.npy"), std::ios::binary);
  std::vector<double> losses(kTile);
  for (const std::int64_t tile : {kTiles - 2, kTiles - 1}) {
    stream.seekg(std::streamoff{128} + 8 * kTile * tile);
    stream.read(reinterpret_cast<char*>(losses.data()), 8 * kTile);
    for (std::int64_t k = 0; k < kTile; ++k) {
      const double expected = formula(tile * kTile + k, 0), loss = losses[static_cast<std::size_t>(k)];
      ASSERT_TRUE(loss == expected || (std::isnan(loss) && std::isnan(expected))) << tile << ", " << k;
    }
  }
  EXPECT_EQ(fs::file_size(path("s.npy")), 128 + 8 * static_cast<std::uintmax_t>(grid.size()));
}

TEST_F(LargeSection, AHugeGridStopsAndResumesWithLittleMemoryAndDisk) {
  TearDown();
  make_folder(fs::temp_directory_path());
  const Grid grid = Grid::unit({2048, 2048, 1025});
  if (fs::space(path("")).available < 5e10) GTEST_SKIP() << "no room for a sparse file of 34 GB";
  FormulaRun run(grid);
  run.interrupt(path("s.npy"), 8192, 3);
  EXPECT_EQ(run.evaluated, 0);
  run.progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.total, grid.size());
    if (event.done == 5 * 8192) run.stop.request_stop();
  };
  EXPECT_ERROR(run.resume(path("s.npy")), Interrupted, "5 of 524800 tiles");
  EXPECT_EQ(run.evaluated, 2 * 8192) << "the first three were kept";
}

}  // namespace
}  // namespace lossatlas
