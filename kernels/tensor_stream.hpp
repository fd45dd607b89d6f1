// Plans on the tensor cores whose later weights may be a grid point's own and wide. Joint plans: a block takes one grid
// point and chunks of its samples from the affine layer to the loss. Sample-free plans whose first layer alone moves
// (Theorem 1): a block takes chunks of grid points. Weights stream through shared memory; where they fit they stay in
// it, and a block forms those of its point there.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "layer_parts.hpp"
#include "pair_losses.hpp"
#include "tensor_shape.hpp"

namespace lossatlas::kernels {

inline constexpr std::int64_t kStreamRows = 16;  // samples of a fragment

/// A later layer in packed order (blocks, tiles, fragment), zeros beyond `in` and `out`.
struct StreamLayer {
  std::int32_t blocks = 0;
  std::int32_t tiles = 0;  ///< even below the last layer: two are a block of the next
  std::int32_t out = 0;
  Activation activation = Activation::identity;
  bool moving = false;         ///< every point has weights of its own
  std::int32_t biases = 0;     ///< where b(α) begins among a point's biases: 8 tiles values, then the weights' unit
  std::int64_t fragments = 0;  ///< where the weights begin among the moving ones, or among the others

  constexpr std::int64_t fragment_count() const { return static_cast<std::int64_t>(blocks) * tiles; }
  constexpr std::int32_t bias_values() const { return 8 * tiles + 2; }
};

/// W(α) of one layer at every point, packed. With Operands::half it is divided by its unit, the power of two that takes
/// the bound max |W_0| + Σ_d |α_d| max |W_d| to 2¹⁴..2¹⁵.
template <class T>
struct StreamWeights {
  LayerParts<T> parts;  ///< matrices (out, in)
  StreamLayer layer;
  Operands operands = Operands::f64;
  const double* largest = nullptr;  ///< (1 + moving_weights), half only: max |W_d|
  const double* alpha = nullptr;    ///< (points, rank)
  std::int64_t rank = 0;
  std::int64_t points = 0;
  void* weights = nullptr;       ///< the layer's at the first point
  std::int64_t stride = 0;       ///< fragments from one point to the next
  T* biases = nullptr;           ///< the layer's at the first point, and the unit behind them
  std::int64_t bias_stride = 0;  ///< values from one point to the next
};
template <class T>
cudaError_t launch_stream_weights(const StreamWeights<T>& weights, cudaStream_t stream);
template <class T>
cudaError_t launch_stream_biases(const StreamWeights<T>& weights, cudaStream_t stream);

/// What a row of activations belongs to.
enum class StreamRows : std::uint8_t { samples, points };

template <class T>
struct TensorStream {
  /// As for the generic kernel, but for `base`, which is packed by launch_pack_samples for tiles of kStreamRows;
  /// depth ≥ 1, block_points = 1.
  ///
  /// Of launch_tensor_points: `samples` is the number of grid points, `points` 1, no later layer moves. z = base_0 +
  /// Σ_d α[directions[d]] base_{d+1} with base (1 + moving, units) and α (samples, rank); targets.values (C) is the
  /// mean target of the data, sums (samples, H) are the losses.
  PairLosses<T> pairs;
  double variance = 0;           ///< of the targets, which launch_tensor_points adds to the mean squared error
  std::int64_t part_values = 0;  ///< of one packed A_d
  const T* bias = nullptr;       ///< B: (points, units)
  Operands operands = Operands::f64;
  bool shared = false;                  ///< no later layer moves: a block may take several points
  const StreamLayer* layers = nullptr;  ///< (depth), device memory
  std::int64_t fixed_fragments = 0;     ///< of the layers that no direction moves
  std::int64_t moving_fragments = 0;    ///< of a point
  const void* fixed_weights = nullptr;
  const void* moving_weights = nullptr;  ///< (points, moving_fragments), unless the weights stay in shared memory
  const T* biases = nullptr;             ///< (points, bias_values)
  std::int32_t bias_values = 0;
  std::int32_t* flags = nullptr;  ///< (points), half only: raised to 1 where an activation was out of range
};

/// The tile that a block takes, and where things lie in its shared memory, in bytes.
struct StreamLayout {
  std::int32_t shape = -1;  ///< number of the tile's shape; −1: the layers fit none
  std::int32_t points = 1;  ///< of a tile
  bool resident = false;    ///< all weights stay in shared memory
  bool in_place = true;     ///< every hidden layer is computed in one pass
  std::int32_t maxima = 0;
  std::int32_t biases = 0;
  std::int32_t alpha = 0;
  std::int32_t arena = 0;
  std::int32_t arena_bytes = 0;
  std::int32_t weights = 0;
  std::int32_t samples = 0;
  std::int32_t slots = 0;  ///< of a warp's queue of samples
  std::int64_t bytes = 0;
};
/// `layers` (depth) in host memory. Depends on their widths and on the numbers of samples, parts A_d, weights, biases
/// and heads, on `operands` and `shared`, not on the numbers themselves nor on the points.
template <class T>
StreamLayout stream_layout(const TensorStream<T>& stream, StreamRows rows, const StreamLayer* layers,
                           std::int64_t shared_limit);

/// The bits of a partial sum depend neither on the layout nor on how points and chunks are given to blocks.
template <class T>
cudaError_t launch_tensor_stream(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream);

/// The losses of grid points whose outputs depend on no sample, from the label statistics [C19, Theorem 1]; not with
/// Operands::half. The bits of a loss depend on its point alone.
template <class T>
cudaError_t launch_tensor_points(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream);

}  // namespace lossatlas::kernels
