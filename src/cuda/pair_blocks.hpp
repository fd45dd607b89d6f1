// How the pairs of a joint or direct plan are given to tiles and blocks; no result depends on it. Plain C++.
#pragma once

#include <algorithm>
#include <cstdint>

#include <lossatlas/device.hpp>

#include "../kernels/tensor_shape.hpp"
#include "cuda/device_limits.hpp"

namespace lossatlas::cuda {

/// What runs the pairs of a tile.
enum class PairKernel {
  layers,  ///< one launch after the other: takes everything
  fused,   ///< the generic fused kernel
  tensor,  ///< shared later layers on the tensor cores
  stream,  ///< later layers of each point's own, or wide ones, on the tensor cores
};

/// FLOP of a tile. On the tensor cores 10 to 30 ms of an H200, against which a launch and its last blocks count little;
/// two tiles in flight stay below 100 ms where a multiprocessor is a third as fast. A tile whose points all leave half
/// precision takes about five times as long.
inline double tile_flop(PairKernel kernel, Precision precision, const DeviceLimits& device) {
  if (kernel != PairKernel::tensor && kernel != PairKernel::stream) return kTileFlop;
  const auto multiprocessors = static_cast<double>(device.multiprocessors);
  if (precision == Precision::fast) return 2.3e10 * multiprocessors;
  const double f64_share = precision == Precision::f64 ? 2 / std::max(2.0, device.f32_per_f64) : 1;
  return 3.8e9 * multiprocessors * f64_share;
}

/// What a block of a launch takes.
struct BlockShare {
  std::int64_t points = 1;
  std::int64_t chunks = 1;
};

/// Weights of a point, formed or loaded by a block, should serve many chunks, shared ones many points; but every
/// multiprocessor wants work.
inline BlockShare block_share(PairKernel kernel, bool interpolated, std::int64_t points, std::int64_t chunks,
                              const DeviceLimits& device) {
  constexpr std::int64_t kMostBlockPoints = 64;
  const bool one_at_a_time = kernel == PairKernel::tensor || kernel == PairKernel::stream;  // of a multiprocessor
  const std::int64_t wanted = (one_at_a_time ? 4 : 8) * device.multiprocessors;
  constexpr std::int64_t kStreamPoints = 4;  // of a block that streams weights which are the same at every point
  const std::int64_t groups = kernel == PairKernel::stream && !interpolated ? points / kStreamPoints : points;
  const std::int64_t share = std::max<std::int64_t>(1, groups * chunks / wanted);
  if (kernel == PairKernel::tensor) {
    return {std::clamp(share, kernels::kTensorGroupPoints, kernels::kTensorBlockPoints), 1};
  }
  if (kernel == PairKernel::stream || interpolated) return {1, std::min(share, chunks)};
  return {std::clamp<std::int64_t>(std::min(share, points), 1, kMostBlockPoints), 1};
}

}  // namespace lossatlas::cuda
