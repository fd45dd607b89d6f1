// Grid points in tiles that fit the device memory. What a tile computes for a point does not depend on the tile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lossatlas/error.hpp>
#include <lossatlas/progress.hpp>

#include "cuda/workspace.hpp"
#include "parallel.hpp"

namespace lossatlas::cuda {

/// Points (G, z) and what limits the number of them in a tile.
struct PointTiles {
  std::span<const double> points;
  std::int64_t rank = 1;             ///< z
  std::int64_t width = 1;            ///< values of the result for a point
  std::int64_t bytes_per_point = 1;  ///< that the scratch memory of a tile takes
  double flop_per_point = 1;

  std::int64_t count() const { return static_cast<std::int64_t>(points.size()) / rank; }
};

/// A tile of points in device memory.
struct PointTile {
  const double* alpha = nullptr;  ///< (count, z)
  std::int64_t count = 0;
  double* results = nullptr;  ///< (count, width)
};

inline constexpr double kTileFlop = 5e10;  // milliseconds to tens of them, so that a stop is quick
inline constexpr std::int64_t kMostTilePoints = 32768;

/// Memory of one tile: the points and results on both sides, and what `scratch` makes for so many points.
template <class Scratch>
struct TileMemory {
  template <class Make>
  TileMemory(Memory& memory, const PointTiles& tiles, std::int64_t tile_capacity, Make& make)
      : capacity(tile_capacity),
        alpha(memory, capacity * tiles.rank),
        results(memory, capacity * tiles.width),
        host_alpha(memory, capacity * tiles.rank),
        host_results(memory, capacity * tiles.width),
        scratch(make(capacity)) {}

  std::int64_t capacity;
  DeviceBuffer<double> alpha;
  DeviceBuffer<double> results;
  PinnedBuffer<double> host_alpha;
  PinnedBuffer<double> host_results;
  Scratch scratch;
};

/// The largest tile of at most `capacity` points that memory allows, halving; throws the last OutOfMemory.
template <class Scratch, class Make>
TileMemory<Scratch> allocate_tile(Memory& memory, const PointTiles& tiles, std::int64_t capacity, Make& make) {
  for (;; capacity /= 2) {
    try {
      return TileMemory<Scratch>(memory, tiles, capacity, make);
    } catch (const OutOfMemory&) {
      if (capacity == 1) throw;
    }
  }
}

/// run(scratch, tile) for every tile, where scratch = make(capacity) is memory for as many points. results (G, width).
template <class Scratch, class Make, class Run>
void for_point_tiles(Workspace& workspace, const PointTiles& tiles, const Control& control, std::span<double> results,
                     Make&& make, Run&& run) {
  const std::int64_t each = tiles.bytes_per_point + 8 * (tiles.rank + tiles.width);
  const auto quick = static_cast<std::int64_t>(kTileFlop / std::max(1.0, tiles.flop_per_point));
  const std::int64_t most = std::min({tiles.count(), kMostTilePoints, quick, memory_budget() / each});
  const cudaStream_t stream = workspace.stream();
  auto tile = allocate_tile<Scratch>(workspace.memory(), tiles, std::max<std::int64_t>(1, most), make);
  for (std::int64_t first = 0; first < tiles.count(); first += tile.capacity) {
    check_stop(control);
    const std::int64_t count = std::min(tile.capacity, tiles.count() - first);
    std::copy_n(tiles.points.data() + first * tiles.rank, count * tiles.rank, tile.host_alpha.data());
    LOSSATLAS_CUDA(cudaMemcpyAsync(tile.alpha.data(), tile.host_alpha.data(),
                                   static_cast<std::size_t>(8 * count * tiles.rank), cudaMemcpyHostToDevice, stream));
    run(tile.scratch, PointTile{tile.alpha.data(), count, tile.results.data()});
    LOSSATLAS_CUDA(cudaMemcpyAsync(tile.host_results.data(), tile.results.data(),
                                   static_cast<std::size_t>(8 * count * tiles.width), cudaMemcpyDeviceToHost, stream));
    LOSSATLAS_CUDA(cudaStreamSynchronize(stream));
    std::copy_n(tile.host_results.data(), count * tiles.width, results.data() + first * tiles.width);
    if (control.progress) control.progress({"section", first + count, tiles.count()});
  }
}

}  // namespace lossatlas::cuda
