// Plans on the tensor cores whose later weights may differ between grid points and be wide. Joint plans: a block
// computes one grid point and chunks of its samples, from the affine layer to the loss. Sample-free plans in which only
// the first layer moves (Theorem 1): a block computes chunks of grid points. Weights stream through shared memory; if
// they all fit, they stay in it, and a block forms the weights of its point there.
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
  std::int32_t tiles = 0;  ///< even below the last layer: two tiles are one block of the next layer
  std::int32_t out = 0;
  Activation activation = Activation::identity;
  bool moving = false;         ///< every point has its own weights
  std::int32_t biases = 0;     ///< where b(α) begins among a point's biases: 8 values per tile, then the weights' unit
  std::int64_t fragments = 0;  ///< where the weights begin among the moving weights, or among the fixed ones

  constexpr std::int64_t fragment_count() const { return static_cast<std::int64_t>(blocks) * tiles; }
  constexpr std::int32_t bias_values() const { return 8 * tiles + 2; }
};

/// Packed W(α) of one layer at every point. With Operands::half it is divided by its unit, the power of two that takes
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
  void* weights = nullptr;       ///< the layer's weights at the first point
  std::int64_t stride = 0;       ///< fragments from one point to the next
  T* biases = nullptr;           ///< the layer's biases at the first point, followed by the unit
  std::int64_t bias_stride = 0;  ///< values from one point to the next
};
template <class T>
cudaError_t launch_stream_weights(const StreamWeights<T>& weights, cudaStream_t stream);
template <class T>
cudaError_t launch_stream_biases(const StreamWeights<T>& weights, cudaStream_t stream);

/// What a row of activations stands for.
enum class StreamRows : std::uint8_t { samples, points };

template <class T>
struct TensorStream {
  /// As for the generic kernel, except that launch_pack_samples() packs `base` for tiles of kStreamRows, that depth ≥ 1
  /// and that block_points = 1.
  ///
  /// For launch_tensor_points(), `samples` is the number of grid points, `points` is 1 and no later layer moves. z =
  /// base_0 + Σ_d α[directions[d]] base_{d+1} with base (1 + moving, units) and α (samples, rank); targets.values (C)
  /// is the mean target of the data, and sums (samples, H) are the losses.
  PairLosses<T> pairs;
  double variance = 0;           ///< of the targets; launch_tensor_points() adds it to the mean squared error
  std::int64_t part_values = 0;  ///< values of one packed A_d
  const T* bias = nullptr;       ///< B: (points, units)
  Operands operands = Operands::f64;
  bool shared = false;                  ///< no later layer moves, so a block may take several points
  const StreamLayer* layers = nullptr;  ///< (depth), device memory
  std::int64_t fixed_fragments = 0;     ///< fragments of the layers that no direction moves
  std::int64_t moving_fragments = 0;    ///< moving fragments per point
  const void* fixed_weights = nullptr;
  const void* moving_weights = nullptr;  ///< (points, moving_fragments), unless the weights stay in shared memory
  const T* biases = nullptr;             ///< (points, bias_values)
  std::int32_t bias_values = 0;
  std::int32_t* flags = nullptr;  ///< (points), half only: set to 1 if an activation was out of range
};

/// The tile that a block takes, and byte offsets of its parts in shared memory.
struct StreamLayout {
  std::int32_t shape = -1;  ///< index of the tile's shape; −1: the layers fit none
  std::int32_t points = 1;  ///< points of a tile
  bool resident = false;    ///< all weights stay in shared memory
  bool in_place = true;     ///< every hidden layer takes one pass
  std::int32_t maxima = 0;
  std::int32_t biases = 0;
  std::int32_t alpha = 0;
  std::int32_t arena = 0;
  std::int32_t arena_bytes = 0;
  std::int32_t weights = 0;
  std::int32_t samples = 0;
  std::int32_t slots = 0;  ///< slots in a warp's queue of samples
  std::int64_t bytes = 0;
};
/// `layers` (depth) is in host memory. The layout depends on the layers' widths, on how many samples, parts A_d,
/// weights, biases and heads there are, and on `operands` and `shared`; not on their values, nor on the points.
template <class T>
StreamLayout stream_layout(const TensorStream<T>& stream, StreamRows rows, const StreamLayer* layers,
                           std::int64_t shared_limit);

/// The bits of a partial sum depend neither on the layout nor on how points and chunks are divided among blocks.
template <class T>
cudaError_t launch_tensor_stream(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream);

/// The losses of grid points whose outputs depend on no sample, from the label statistics ([C19], Theorem 1); not with
/// Operands::half. The bits of a loss depend only on its point.
template <class T>
cudaError_t launch_tensor_points(const TensorStream<T>& problem, const StreamLayout& layout, cudaStream_t stream);

}  // namespace lossatlas::kernels
