// Sections whose losses are a formula, in a folder of their own: what the tests of section files share.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>

#include "section_file/stream.hpp"

namespace lossatlas::testing {

namespace fs = std::filesystem;

inline std::string read_bytes(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream bytes;
  bytes << stream.rdbuf();
  return bytes.str();
}

inline void write_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

/// Smooth, but for every 37th loss, which is NaN or infinite.
inline double formula(std::int64_t point, std::int64_t head) {
  const std::int64_t k = 3 * point + head;
  if (k % 37 == 5) return k % 2 == 0 ? std::numeric_limits<double>::quiet_NaN() : INFINITY;
  return std::sin(0.37 * static_cast<double>(k % 1000003)) + static_cast<double>(head);
}

/// All losses of the formula.
inline std::vector<double> formula_losses(std::int64_t points, std::int64_t heads) {
  std::vector<double> losses;
  for (std::int64_t g = 0; g < points; ++g) {
    for (std::int64_t h = 0; h < heads; ++h) losses.push_back(formula(g, h));
  }
  return losses;
}

/// The formula on a grid; counts the points it is asked for.
struct FormulaRun {
  explicit FormulaRun(Grid on, std::int64_t heads = 1) {
    source.identity = {{"model", "formula", 17}, {"data", "none", 18}};
    source.grid = std::move(on);
    source.heads = heads;
    source.point_bytes = [] { return std::int64_t{12345}; };
    source.evaluate = [this](std::int64_t first, std::int64_t count, const Control&, std::span<double> losses) {
      if (before) before(first, count);
      evaluated += count;
      for (std::int64_t g = 0; g < count; ++g) {
        for (std::int64_t h = 0; h < source.heads; ++h) {
          losses[static_cast<std::size_t>(g * source.heads + h)] = formula(first + g, h);
        }
      }
    };
  }

  SectionFileReport write(const fs::path& file, std::int64_t tile, Unfinished unfinished = Unfinished::refuse,
                          std::optional<Shard> shard = {}) {
    SectionFileOptions options{.unfinished = unfinished, .shard = shard, .tile_points = tile};
    options.evaluate.control = {progress, stop.get_token()};
    return stream_section(file, source, options);
  }
  SectionFileReport resume(const fs::path& file, std::optional<Shard> shard = {}) {
    return write(file, 0, Unfinished::resume, shard);
  }
  /// Leaves `tiles` finished tiles of an interrupted run.
  void interrupt(const fs::path& file, std::int64_t tile, std::int64_t tiles, std::optional<Shard> shard = {}) {
    stop = std::stop_source();
    progress = [this, seen = std::int64_t{-1}, tiles](const ProgressEvent&) mutable {
      if (++seen == tiles) stop.request_stop();
    };
    EXPECT_THROW(write(file, tile, Unfinished::refuse, shard), Interrupted);
    stop = std::stop_source();
    progress = {};
    evaluated = 0;
  }

  TileSource source;
  std::function<void(std::int64_t first, std::int64_t count)> before;
  Progress progress;
  std::stop_source stop;
  std::int64_t evaluated = 0;
};

class SectionRunTest : public ::testing::Test {
 protected:
  /// In memory where there is such a file system: the many syncs of these tests would keep a disk busy.
  void SetUp() override { make_folder(fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path()); }
  void make_folder(const fs::path& parent) {
    std::string pattern = (parent / "lossatlas-section-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path path(const std::string& name) const { return folder_ / name; }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  /// What write_npy() makes of the formula on a grid.
  std::string formula_file(const Grid& grid, std::int64_t heads) const {
    std::vector<std::int64_t> shape = grid.shape();
    shape.push_back(heads);
    write_npy(path("formula.npy"), shape, formula_losses(grid.size(), heads));
    std::string bytes = read_bytes(path("formula.npy"));
    fs::remove(path("formula.npy"));
    return bytes;
  }

 private:
  fs::path folder_;
};

}  // namespace lossatlas::testing
