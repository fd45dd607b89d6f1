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

/// The host's side of a tile, which the device reads and writes while the host is busy with the other one.
struct HostTile {
  HostTile(Memory& memory, std::int64_t alpha_values, std::int64_t result_values)
      : alpha(memory, alpha_values), results(memory, result_values) {}

  PinnedBuffer<double> alpha;
  PinnedBuffer<double> results;
  Event done;
  std::int64_t first = 0;
  std::int64_t count = 0;  ///< 0: nothing in flight
};

/// Memory of the tiles, which follow each other on one stream and so share the device's side.
template <class Scratch>
struct TileMemory {
  template <class Make>
  TileMemory(Memory& memory, const PointTiles& tiles, std::int64_t tile_capacity, Make& make)
      : capacity(tile_capacity),
        alpha(memory, capacity * tiles.rank),
        results(memory, capacity * tiles.width),
        hosts{{memory, capacity * tiles.rank, capacity * tiles.width},
              {memory, capacity * tiles.rank, capacity * tiles.width}},
        scratch(make(capacity)) {}

  std::int64_t capacity;
  DeviceBuffer<double> alpha;
  DeviceBuffer<double> results;
  HostTile hosts[2];
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
/// A tile is queued before the one before it is waited for, so that the device always has work.
template <class Scratch, class Make, class Run>
void for_point_tiles(Workspace& workspace, const PointTiles& tiles, const Control& control, std::span<double> results,
                     Make&& make, Run&& run) {
  const std::int64_t each = tiles.bytes_per_point + 8 * (tiles.rank + tiles.width);
  const auto quick = static_cast<std::int64_t>(kTileFlop / std::max(1.0, tiles.flop_per_point));
  const std::int64_t most = std::min({tiles.count(), kMostTilePoints, quick, memory_budget() / each});
  const cudaStream_t stream = workspace.stream();
  auto memory = allocate_tile<Scratch>(workspace.memory(), tiles, std::max<std::int64_t>(1, most), make);
  const auto finish = [&](HostTile& host) {
    if (host.count == 0) return;
    host.done.wait();
    std::copy_n(host.results.data(), host.count * tiles.width, results.data() + host.first * tiles.width);
    if (control.progress) control.progress({"section", host.first + host.count, tiles.count()});
    host.count = 0;
  };
  int side = 0;
  for (std::int64_t first = 0; first < tiles.count(); first += memory.capacity, side = 1 - side) {
    check_stop(control);
    HostTile& host = memory.hosts[side];  // finished: the tile before last
    host.first = first;
    host.count = std::min(memory.capacity, tiles.count() - first);
    std::copy_n(tiles.points.data() + first * tiles.rank, host.count * tiles.rank, host.alpha.data());
    LOSSATLAS_CUDA(cudaMemcpyAsync(memory.alpha.data(), host.alpha.data(),
                                   static_cast<std::size_t>(8 * host.count * tiles.rank), cudaMemcpyHostToDevice,
                                   stream));
    run(memory.scratch, PointTile{memory.alpha.data(), host.count, memory.results.data()});
    LOSSATLAS_CUDA(cudaMemcpyAsync(host.results.data(), memory.results.data(),
                                   static_cast<std::size_t>(8 * host.count * tiles.width), cudaMemcpyDeviceToHost,
                                   stream));
    host.done.record(stream);
    finish(memory.hosts[1 - side]);
  }
  finish(memory.hosts[1 - side]);
}

}  // namespace lossatlas::cuda
