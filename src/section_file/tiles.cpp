#include "section_file/tiles.hpp"

#include <cmath>

#include "file/checksum.hpp"

namespace lossatlas {

TileLayout shard_layout(std::int64_t points, std::int64_t heads, Shard shard, std::int64_t tile_points) {
  const std::int64_t each = points / shard.count, more = points % shard.count;
  const std::int64_t before = shard.index - 1;
  return {.begin = 0,
          .first = each * before + std::min(before, more),
          .points = each + (before < more ? 1 : 0),
          .heads = heads,
          .tile_points = tile_points};
}

void LossTally::add(std::span<const double> losses) {
  for (const double loss : losses) {
    if (!std::isfinite(loss)) {
      ++nonfinite_;
      continue;
    }
    if (!(range_.lo <= loss)) range_.lo = loss;
    if (!(range_.hi >= loss)) range_.hi = loss;
  }
}

void LossTally::add(const LossTally& other) {
  if (!(range_.lo <= other.range_.lo) && !std::isnan(other.range_.lo)) range_.lo = other.range_.lo;
  if (!(range_.hi >= other.range_.hi) && !std::isnan(other.range_.hi)) range_.hi = other.range_.hi;
  nonfinite_ += other.nonfinite_;
}

FinishedTiles::FinishedTiles(const TileLayout& layout)
    : layout_(layout),
      checksums_(static_cast<std::size_t>(layout.tiles()), 0),
      finished_(static_cast<std::size_t>(layout.tiles()), 0) {}

void FinishedTiles::add(std::int64_t tile, std::uint64_t checksum, const LossTally& tally) {
  checksums_[static_cast<std::size_t>(tile)] = checksum;
  finished_[static_cast<std::size_t>(tile)] = 1;
  ++tiles_;
  points_ += layout_.tile_size(tile);
  tally_.add(tally);
}

std::uint64_t FinishedTiles::checksum() const {
  Checksum sum;
  for (std::int64_t tile = 0; tile < layout_.tiles(); ++tile) {
    sum.append(checksums_[static_cast<std::size_t>(tile)], layout_.loss_bytes(layout_.tile_size(tile)));
  }
  return sum.value();
}

}  // namespace lossatlas
