// How the pairs of a joint or direct plan are divided into batches and blocks; no result depends on it. Plain C++.
#pragma once

#include <algorithm>
#include <cstdint>

#include <lossatlas/device.hpp>

#include "../kernels/tensor_shape.hpp"
#include "cuda/device_limits.hpp"

namespace lossatlas::cuda {

/// The kernel that computes the pairs of a batch.
enum class PairKernel {
  layers,  ///< one launch per layer: takes every plan
  fused,   ///< the generic fused kernel
  tensor,  ///< shared later layers on the tensor cores
  stream,  ///< later layers that differ between points, or wide ones, on the tensor cores
};

/// FLOP of a batch. On the tensor cores this is 10 to 30 ms of an H200, long enough to hide a launch and its last
/// blocks. Two batches in flight stay below 100 ms even if a multiprocessor is only a third as fast. A batch whose
/// points all leave the range of half precision takes about five times as long.
inline double batch_flop(PairKernel kernel, Precision precision, const DeviceLimits& device) {
  if (kernel != PairKernel::tensor && kernel != PairKernel::stream) return kBatchFlop;
  const auto multiprocessors = static_cast<double>(device.multiprocessors);
  if (precision == Precision::fast) return 2.3e10 * multiprocessors;
  const double f64_share = precision == Precision::f64 ? 2 / std::max(2.0, device.f32_per_f64) : 1;
  return 3.8e9 * multiprocessors * f64_share;
}

/// The share of one block in a launch.
struct BlockShare {
  std::int64_t points = 1;
  std::int64_t chunks = 1;
};

/// Weights of one point, formed or loaded by a block, should serve many chunks, and shared weights many points; but
/// every multiprocessor needs work.
inline BlockShare block_share(PairKernel kernel, bool later_move, std::int64_t points, std::int64_t chunks,
                              const DeviceLimits& device) {
  constexpr std::int64_t kMostBlockPoints = 64;
  const bool one_at_a_time = kernel == PairKernel::tensor || kernel == PairKernel::stream;  // per multiprocessor
  const std::int64_t wanted = (one_at_a_time ? 4 : 8) * device.multiprocessors;
  constexpr std::int64_t kStreamPoints = 4;  // per block that streams weights shared by all points
  const std::int64_t groups = kernel == PairKernel::stream && !later_move ? points / kStreamPoints : points;
  const std::int64_t share = std::max<std::int64_t>(1, groups * chunks / wanted);
  if (kernel == PairKernel::tensor) {
    return {std::clamp(share, kernels::kTensorGroupPoints, kernels::kTensorBlockPoints), 1};
  }
  if (kernel == PairKernel::stream || later_move) return {1, std::min(share, chunks)};
  return {std::clamp<std::int64_t>(std::min(share, points), 1, kMostBlockPoints), 1};
}

}  // namespace lossatlas::cuda
