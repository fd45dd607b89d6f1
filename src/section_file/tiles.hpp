// Losses of a grid's points tile by tile: what fills the tiles, where they lie in a file, and which are finished.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include <lossatlas/section_file.hpp>

#include "section_file/run_header.hpp"

namespace lossatlas {

/// What fills the tiles: a landscape, an interpolant or a formula.
struct TileSource {
  std::vector<IdentityPart> identity;  ///< all that the losses' bits depend on
  Grid grid;
  std::int64_t heads = 1;
  /// Computes losses (count, H) of points first..first+count−1. The bits of a point do not depend on the call.
  std::function<void(std::int64_t first, std::int64_t count, const Control& control, std::span<double> losses)>
      evaluate;
  /// Estimated bytes per point, reported if the allocator gives none.
  std::function<std::int64_t()> point_bytes;
  /// Called once before the first evaluate(), only when there is something to evaluate; may be empty.
  std::function<void(const Control& control)> prepare;
};

/// Where the losses of a part of the points lie in a file: tile by tile, in order, after a header.
struct TileLayout {
  std::int64_t begin = 0;   ///< bytes before the first loss
  std::int64_t first = 0;   ///< the first grid point
  std::int64_t points = 0;  ///< of this part
  std::int64_t heads = 1;
  std::int64_t tile_points = 1;

  std::int64_t tiles() const { return (points - 1) / tile_points + 1; }
  std::int64_t tile_first(std::int64_t tile) const { return first + tile * tile_points; }
  std::int64_t tile_size(std::int64_t tile) const { return std::min(tile_points, points - tile * tile_points); }
  std::int64_t loss_bytes(std::int64_t count) const { return 8 * heads * count; }
  std::int64_t offset(std::int64_t point) const { return begin + loss_bytes(point - first); }
  std::int64_t end() const { return offset(first + points); }
};

/// The part of a grid of `points` that a shard (by default the whole grid) holds; begin = 0.
TileLayout shard_layout(std::int64_t points, std::int64_t heads, Shard shard, std::int64_t tile_points);

inline constexpr std::int64_t kMostTiles = std::int64_t{1} << 20;    // their checksums are held in memory
inline constexpr std::string_view kShardMagic = "LOSSATLAS SHARD2";  // of kMagicSize characters

/// Smallest and largest loss and the number of non-finite ones; losses may come in any order.
class LossTally {
 public:
  void add(std::span<const double> losses);
  void add(const LossTally& other);
  Range range() const { return range_; }
  std::int64_t nonfinite() const { return nonfinite_; }

 private:
  Range range_ = finite_range({});
  std::int64_t nonfinite_ = 0;
};

/// The finished tiles of a layout, with their checksums and what their losses are.
class FinishedTiles {
 public:
  FinishedTiles() = default;
  explicit FinishedTiles(const TileLayout& layout);

  const TileLayout& layout() const { return layout_; }
  bool knows(std::uint64_t tile) const { return tile < finished_.size(); }
  bool has(std::int64_t tile) const { return finished_[static_cast<std::size_t>(tile)] != 0; }
  bool all() const { return tiles_ == layout_.tiles(); }
  void add(std::int64_t tile, std::uint64_t checksum, const LossTally& tally);

  std::int64_t tiles() const { return tiles_; }    ///< how many are finished
  std::int64_t points() const { return points_; }  ///< of the finished ones
  const LossTally& tally() const { return tally_; }
  /// Of all losses, in order; all tiles are finished.
  std::uint64_t checksum() const;

 private:
  TileLayout layout_;
  std::vector<std::uint64_t> checksums_;  ///< (tiles)
  std::vector<char> finished_;            ///< (tiles)
  std::int64_t tiles_ = 0, points_ = 0;
  LossTally tally_;
};

}  // namespace lossatlas
