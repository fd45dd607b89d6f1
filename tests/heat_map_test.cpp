#include "picture/heat_map.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>
#include <lossatlas/error.hpp>
#include <lossatlas/image.hpp>

#include "expect_error.hpp"
#include "sample_files.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::TemporaryFolder;

/// Waves, with a NaN or an infinity here and there.
Surface waves(std::vector<Axis> axes, std::int64_t heads) {
  Surface surface;
  surface.grid = Grid(std::move(axes));
  surface.heads = heads;
  for (std::int64_t k = 0; k < surface.grid.size() * heads; ++k) {
    const double x = static_cast<double>(k);
    surface.losses.push_back(k % 101 == 17  ? std::numeric_limits<double>::quiet_NaN()
                             : k % 211 == 3 ? INFINITY
                                            : 2 + std::sin(0.01 * x) + std::cos(1.7 * x) / 9);
  }
  return surface;
}

std::vector<Surface> surfaces() {
  return {waves({{-1, 1, 23}, {0, 2, 31}}, 1), waves({{-1, 1, 40}, {2, 0, 9}}, 3), waves({{0, 1, 1}, {0, 1, 30}}, 2),
          waves({{-1, 1, 20}, {-2, 1, 12}, {0, 1, 15}}, 1), waves({{-1, 1, 5}, {-2, 1, 12}, {0, 1, 15}}, 3)};
}

class HeatMap : public ::testing::Test {
 protected:
  /// The surface's losses as write_section() leaves them.
  std::filesystem::path losses(const Surface& surface) {
    std::vector<std::int64_t> shape = surface.grid.shape();
    shape.push_back(surface.heads);
    write_npy(folder_ / "losses.npy", shape, surface.losses);
    return folder_ / "losses.npy";
  }
  std::string bytes(const std::string& name) const { return testing::read_bytes(folder_ / name); }

  TemporaryFolder folder_;
};

TEST_F(HeatMap, BandsAreTheRowsOfTheFigure) {
  for (const Surface& surface : surfaces()) {
    for (const RenderOptions& options : {RenderOptions{.title = "a title that is long enough to be broken"},
                                         RenderOptions{.colouring = Colouring::viridis, .scale = 3}}) {
      const Image whole = render(surface, options);
      const HeatMaps figure({surface.grid, surface.heads, loss_reader(surface.losses, surface.heads), false}, options);
      ASSERT_EQ(figure.width(), whole.width);
      ASSERT_EQ(figure.height(), whole.height);
      for (const std::int64_t band : {1, 7, 64}) {
        std::vector<std::uint8_t> rows;
        for (std::int64_t first = 0; first < whole.height; first += band) {
          const Image part = figure.rows(first, std::min(band, whole.height - first));
          rows.insert(rows.end(), part.rgb.begin(), part.rgb.end());
        }
        EXPECT_TRUE(rows == whole.rgb) << band;
      }
    }
  }
}

TEST_F(HeatMap, AFileOfLossesGivesTheFileOfTheSurface) {
  std::vector<Surface> all = surfaces();
  all.push_back(waves({{-1, 1, 2100}, {-1, 1, 2300}}, 1));  // some bands
  all.push_back(waves({{-1, 1, 300}}, 2));
  for (const Surface& surface : all) {
    write_png(folder_ / "surface.png", surface, {.title = "one"});
    write_png(folder_ / "file.png", losses(surface), surface.grid, surface.heads, {.title = "one"});
    EXPECT_TRUE(bytes("file.png") == bytes("surface.png")) << surface.grid.describe();
  }
}

TEST_F(HeatMap, OtherFilesAreRefusedAndLeaveNothing) {
  const Surface surface = waves({{-1, 1, 20}, {0, 2, 30}}, 1);
  const auto file = losses(surface);
  const auto draw = [&](const Grid& grid, std::int64_t heads) { write_png(folder_ / "p.png", file, grid, heads); };
  EXPECT_ERROR(draw(Grid::unit({30, 20}), 1), FileError, "losses.npy");
  EXPECT_ERROR(draw(surface.grid, 2), FileError, "losses.npy");
  EXPECT_ERROR(draw(Grid::unit({2, 3, 4, 5}), 1), FileError, "losses.npy");
  EXPECT_ERROR(write_png(folder_ / "p.png", folder_ / "none.npy", surface.grid, 1), FileError, "none.npy");
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 8);
  EXPECT_ERROR(draw(surface.grid, 1), FileError, "losses.npy");
  EXPECT_EQ(folder_.count(), 1);
}

}  // namespace
}  // namespace lossatlas
