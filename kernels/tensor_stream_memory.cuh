// The shared memory of a block of the streaming kernel, and what comes into it: weights and samples.
//
// Activations lie in an arena. If one pass computes all outputs of a layer, they replace its inputs; otherwise they go
// to the other end of the arena.
#pragma once

#include <type_traits>

#include <cuda_runtime.h>
#include <device/shared.cuh>

#include "scalar.cuh"
#include "tensor_forming.cuh"
#include "tensor_stream_parts.cuh"

namespace lossatlas::kernels {

// Threads of a block, lanes as in tensor_arithmetic.cuh.
__device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int warp() { return thread() / 32; }
__device__ __forceinline__ int lane() { return thread() % 32; }
__device__ __forceinline__ int group() { return lane() / 4; }
__device__ __forceinline__ int member() { return lane() % 4; }

/// Where a block's shared memory holds what, and which points and chunks are the block's.
template <class Tile>
class StreamMemory {
 protected:
  using Shape = typename Tile::Shape;
  using A = typename Shape::Arithmetic;
  using T = typename A::Value;
  using Weight = typename A::Weight;
  static constexpr int kRows = Shape::kRows;
  static constexpr int kPoints = Tile::kPoints;

  __device__ StreamMemory(const TensorStream<T>& problem, const StreamLayout& layout)
      : problem_(problem), pairs_(problem.pairs), layout_(layout) {}

  // Places past the last point repeat it.
  __device__ std::int64_t point(int place) const {
    return kPoints == 1 ? first_point() : min(first_point() + place, pairs_.points - 1);
  }
  __device__ bool exists(int place) const { return kPoints == 1 || first_point() + place < pairs_.points; }
  __device__ static std::int64_t first_point() { return static_cast<std::int64_t>(blockIdx.y) * kPoints; }
  __device__ int first_chunk() const { return static_cast<int>(blockIdx.x * pairs_.block_chunks); }

  // Computed from the arguments each time, to keep registers free for sums.
  template <class Value>
  __device__ Value* shared(std::int32_t offset) const {
    return reinterpret_cast<Value*>(device::dynamic_shared<unsigned char>() + offset);
  }
  __device__ double* totals() const { return shared<double>(0); }                   // (points, H): of the chunk so far
  __device__ double* partial() const { return totals() + kPoints * pairs_.heads; }  // (H, R/8): of the tile
  __device__ int* maxima() const { return shared<int>(layout_.maxima); }            // (2, R), flags (points)
  __device__ T* biases() const { return shared<T>(layout_.biases); }
  __device__ T* alpha() const { return shared<T>(layout_.alpha); }  // (points, moving): of the joint layer
  __device__ Weight* weights() const { return shared<Weight>(layout_.weights); }  // resident, or queues
  // Where `bytes` of activations or outputs lie in the arena: at its beginning, or (`high`) at its end.
  __device__ Plane* arena(bool high, std::int64_t bytes) const {
    return shared<Plane>(layout_.arena + (high ? layout_.arena_bytes - static_cast<std::int32_t>(bytes) : 0));
  }

  __device__ bool hidden(int l) const { return l + 1 < pairs_.depth; }

  const TensorStream<T>& problem_;
  const PairLosses<T>& pairs_;
  const StreamLayout& layout_;
};

/// Brings weights and samples into shared memory; each thread has one object.
template <class Tile, StreamRows kRowsOf>
class StreamCopies : protected StreamMemory<Tile> {
 protected:
  using Memory = StreamMemory<Tile>;
  using Shape = typename Tile::Shape;
  using A = typename Shape::Arithmetic;
  using T = typename A::Value;
  using Weight = typename A::Weight;
  using Memory::hidden, Memory::layout_, Memory::pairs_, Memory::point, Memory::problem_, Memory::weights;
  static constexpr int kPoints = Tile::kPoints;
  static constexpr bool kOfSamples = kRowsOf == StreamRows::samples;

  using Memory::Memory;

  // Brings all weights into shared memory. The fixed ones come first: they are copied while those of the point are
  // formed.
  __device__ void load_weights() const {
    const auto fixed = static_cast<std::int64_t>(problem_.fixed_fragments * kFragmentWeights * sizeof(Weight));
    const auto* from = static_cast<const unsigned char*>(problem_.fixed_weights);
    auto* to = this->template shared<unsigned char>(layout_.weights);
    for (std::int64_t i = 16 * thread(); i < fixed; i += 16 * Shape::kThreads) device::copy_async<16>(to + i, from + i);
    device::copy_async_commit();
    if constexpr (kOfSamples) {
      for (int l = 0; l < pairs_.depth; ++l) {
        if (problem_.layers[l].moving) form_weights(pairs_.later[l], problem_.layers[l]);
      }
    }
  }

  // Forms a moving layer's weights at the point.
  __device__ void form_weights(const LayerParts<T>& parts, const StreamLayer& layer) const {
    const double* alpha = pairs_.alpha + point(0) * pairs_.rank;
    T scale = 1;
    if constexpr (A::kChecksRange) {
      scale = 1 / problem_.biases[point(0) * problem_.bias_values + layer.biases + 8 * layer.tiles];
    }
    form_layer<A>(parts, layer.tiles, static_cast<int>(layer.fragment_count()), alpha, scale,
                  weights() + (problem_.fixed_fragments + layer.fragments) * kFragmentWeights);
  }

  // This warp's tiles in the pass that begins with tile `first`.
  template <int kFragments>
  struct Place {
    static constexpr int kRowGroups = Shape::kRowFragments / kFragments;
    static constexpr int kPassTiles = Shape::kWarps / kRowGroups * Shape::kTiles;
    int row, tile, tiles;  // the first fragment of rows; the first tile, and how many tiles there are
    __device__ Place(const StreamLayer& layer, int first)
        : row(warp() % kRowGroups * kFragments),
          tile(first + warp() / kRowGroups * Shape::kTiles),
          tiles(max(0, min(layer.tiles - tile, Shape::kTiles))) {}
  };

  // Starts the copies for one pass.
  __device__ void start_layer(int l, int first) {
    const StreamLayer& layer = problem_.layers[l];
    if (is_slim<Shape>(layer.tiles, hidden(l))) {
      start_pass(layer, Place<1>(layer, first));
    } else {
      start_pass(layer, Place<Shape::kFragments>(layer, first));
    }
  }

  template <int kFragments>
  __device__ void start_pass(const StreamLayer& layer, const Place<kFragments>& place) {
    const std::int64_t first = layer.fragments + place.tile;
    const Weight* from = nullptr;
    std::int64_t resident = -1;
    if (layout_.resident) {
      resident = ((layer.moving ? problem_.fixed_fragments : 0) + first) * kFragmentWeights;
    } else if (layer.moving) {
      from = static_cast<const Weight*>(problem_.moving_weights) +
             (point(0) * problem_.moving_fragments + first) * kFragmentWeights;
    } else {
      from = static_cast<const Weight*>(problem_.fixed_weights) + first * kFragmentWeights;
    }
    reader_.start(from, static_cast<int>(resident), layer.blocks, layer.tiles * static_cast<int>(kFragmentWeights),
                  place.tiles, weights());
  }

  __device__ SampleSource<Tile> source() const { return {problem_, layout_}; }

  // The samples of a tile are copied while the previous tile goes through the layers: one piece with each group of
  // weights, so that weights need not wait, or all at once where registers are short: in half precision, and with
  // several points.
  static constexpr bool kCopiesAmongWeights = kOfSamples && !A::kChecksRange && kPoints == 1;

  __device__ void begin_samples(int tile) {
    if constexpr (kOfSamples) {
      SampleCopies<Tile> copies(source(), tile, 0, source().slots());
      if constexpr (kCopiesAmongWeights) {
        copies_ = copies;
      } else {
        finish(copies);
      }
    }
  }
  __device__ void finish(SampleCopies<Tile>& copies) {
    while (copies.left() > 0) {
      copies.copy(source());
      device::copy_async_commit();
    }
  }

  WeightReader<Shape> reader_;
  SampleCopies<Tile> copies_;  // those among weights
};

}  // namespace lossatlas::kernels
