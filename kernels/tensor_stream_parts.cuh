// Parts of the streaming tensor kernel: shapes of its tiles, activations in shared memory, queues of weights and
// samples.
//
// Activations are (R/16, blocks of 16 units, planes, 32 lanes, 16 bytes): each lane reads back as its operand what it
// computed; see tensor_arithmetic.cuh.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <cuda_runtime.h>
#include <device/intrinsics.cuh>

#include "tensor_arithmetic.cuh"
#include "tensor_loss.cuh"
#include "tensor_stream.hpp"

namespace lossatlas::kernels {

/// How a block divides its work. One pass of a layer computes kPassTiles tiles of outputs for all rows: warps form a
/// grid kRowWarps × kColumnWarps, each with kTiles tiles. In layers of at most kSlimTiles tiles the rows are spread
/// over as many warps as possible.
template <class Arithmetic_, int kRows_, int kRowWarps, int kColumnWarps, int kTiles_, int kGroup_>
struct StreamShape {
  using Arithmetic = Arithmetic_;
  static constexpr int kRows = kRows_;
  static constexpr int kRowFragments = kRows / 16;
  static constexpr int kWarps = kRowWarps * kColumnWarps;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kFragments = kRowFragments / kRowWarps;  ///< fragments of 16 rows per warp
  static constexpr int kTiles = kTiles_;
  static constexpr int kGroup = kGroup_;  ///< tiles whose weights are in registers together
  static constexpr int kStages = 3;       ///< groups in a warp's queue: one being read, two on their way from L2
  static constexpr int kPassTiles = kColumnWarps * kTiles;
  static constexpr int kSlimTiles = kWarps / kRowFragments * kTiles;
  static constexpr int kOutputStride = kRows + 4;  ///< network outputs are (out, rows): lanes write different banks
  static_assert(kTiles % kGroup == 0 && kTiles % 2 == 0 && kRowFragments % kRowWarps == 0);

  static constexpr std::int64_t queue_bytes() {
    return std::int64_t{kWarps} * kStages * kGroup * kFragmentWeights * sizeof(typename Arithmetic::Weight);
  }
};

/// The rows of a tile: kPoints grid points that share their later layers, each with the same kSamples samples, so that
/// A_d are read once for all. The fragments of one point are consecutive.
template <class Shape_, int kPoints_>
struct StreamTile {
  using Shape = Shape_;
  static constexpr int kPoints = kPoints_;
  static constexpr int kSampleFragments = Shape::kRowFragments / kPoints;
  static constexpr int kSamples = Shape::kRows / kPoints;
  static_assert(Shape::kRowFragments % kPoints == 0);
};
template <class Shape>
using OnePoint = StreamTile<Shape, 1>;
template <class Shape>
using SharedPoints = StreamTile<Shape, std::min(Shape::kRowFragments, 4)>;

// One block has a multiprocessor to itself. In f64 and f32 its 8 warps have 255 registers per thread, up to half of
// them sums, so that one pass computes a layer in place: 64 × 256, 32 × 512 or 16 × 1024 activations in f64; 64 × 512
// or 32 × 1024 in f32, where 64 × 256 also keeps all warps busy at the widths below. In half, where 128 rows of 256
// units and a layer of 256 × 256 fit in shared memory, 16 warps hide the latency of activations. One table serves all
// architectures: they have the same registers, and the first shape that fits their shared memory is taken.
template <class T, bool kHalf>
struct StreamShapes;
template <>
struct StreamShapes<double, false> {
  using A = DoubleArithmetic<16>;
  template <class F>
  static void each(F&& f) {
    f(StreamShape<A, 64, 1, 8, 4, 2>());
    f(StreamShape<A, 32, 1, 8, 8, 2>());
    f(StreamShape<A, 16, 1, 8, 16, 2>());
  }
};
template <>
struct StreamShapes<float, false> {
  using A = Tf32x2Arithmetic;
  template <class F>
  static void each(F&& f) {
    f(StreamShape<A, 64, 1, 8, 4, 4>());
    f(StreamShape<A, 64, 1, 8, 8, 2>());
    f(StreamShape<A, 32, 1, 8, 16, 2>());
    f(StreamShape<A, 16, 1, 8, 16, 2>());
  }
};
template <>
struct StreamShapes<float, true> {
  using A = HalfArithmetic;
  template <class F>
  static void each(F&& f) {
    f(StreamShape<A, 128, 2, 8, 4, 4>());
    f(StreamShape<A, 64, 1, 16, 4, 4>());
    f(StreamShape<A, 32, 1, 16, 8, 4>());
    f(StreamShape<A, 16, 1, 16, 16, 4>());
  }
};

// ---- Activations

using Plane = uint4;  // of a lane

template <class Arithmetic>
inline constexpr int kPlanes = sizeof(typename Arithmetic::Inputs) / sizeof(Plane);  // per block of 16 × 16
template <class Arithmetic>
inline constexpr int kBlockPlanes = 32 * kPlanes<Arithmetic>;

template <class Value>
__device__ __forceinline__ void store_planes(Plane* block, int lane, const Value& value) {
  Plane planes[sizeof(Value) / sizeof(Plane)];
  std::memcpy(planes, &value, sizeof(Value));
#pragma unroll
  for (std::size_t i = 0; i < sizeof(Value) / sizeof(Plane); ++i) block[32 * i + lane] = planes[i];
}

template <class Value>
__device__ __forceinline__ Value load_planes(const Plane* block, int lane) {
  Plane planes[sizeof(Value) / sizeof(Plane)];
#pragma unroll
  for (std::size_t i = 0; i < sizeof(Value) / sizeof(Plane); ++i) planes[i] = block[32 * i + lane];
  Value value;
  std::memcpy(&value, planes, sizeof(Value));
  return value;
}

template <class Shape>
constexpr std::int64_t activation_bytes(std::int64_t blocks) {
  return Shape::kRowFragments * blocks * kBlockPlanes<typename Shape::Arithmetic> * std::int64_t{sizeof(Plane)};
}
template <class Shape>
constexpr std::int64_t output_bytes(std::int64_t out) {
  const std::int64_t values = out * Shape::kOutputStride;
  return (values * std::int64_t{sizeof(typename Shape::Arithmetic::Value)} + 15) / 16 * 16;
}
/// Whether a layer's rows are spread over the warps. The network's outputs always are, however many passes they take.
template <class Shape>
constexpr bool is_slim(std::int64_t tiles, bool hidden) {
  return tiles <= Shape::kSlimTiles || !hidden;
}
template <class Shape>
constexpr bool single_pass(std::int64_t tiles, bool hidden) {
  return tiles <= (is_slim<Shape>(tiles, hidden) ? Shape::kSlimTiles : Shape::kPassTiles);
}

// ---- Weights

/// A warp's weights of one pass, one group of tiles at a time. Each lane copies only what it will read itself, a few
/// groups ahead, so the queue in shared memory needs no barrier. If all weights are resident, it only counts.
template <class Shape>
class WeightReader {
 public:
  using Weight = typename Shape::Arithmetic::Weight;

  /// Starts on `tiles` tiles of a layer whose blocks are `step` weights long. The first weights are at `from` in global
  /// memory or, unless `resident` is negative, `resident` weights past the beginning of the resident ones.
  __device__ __forceinline__ void start(const Weight* from, int resident, int blocks, int step, int tiles,
                                        Weight* queue) {
    from_ = from;
    resident_ = resident;
    step_ = step;
    tiles_ = tiles;
    left_ = tiles > 0 ? blocks : 0;
    next_ = 0;
    slot_ = 0;
    if (resident_ >= 0) return;
#pragma unroll
    for (int s = 1; s < Shape::kStages; ++s) fetch(queue, s - 1);
  }

  /// The position of the next group, in weights from the beginning of the queue or of the resident weights.
  __device__ __forceinline__ int take(Weight* queue) {
    if (resident_ >= 0) {
      const int group = resident_ + next_ * static_cast<int>(kFragmentWeights);
      advance();
      return group;
    }
    // Into the slot read last, whose weights the tensor cores have already used.
    fetch(queue, slot_ == 0 ? Shape::kStages - 1 : slot_ - 1);
    device::copy_async_wait<Shape::kStages - 1>();
    const int group = slot(slot_);
    slot_ = slot_ + 1 == Shape::kStages ? 0 : slot_ + 1;
    return group;
  }

 private:
  static constexpr int kLaneBytes = 4 * sizeof(Weight);
  static constexpr int kPiece = kLaneBytes < 16 ? kLaneBytes : 16;

  __device__ __forceinline__ static int slot(int slot) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    return (warp * Shape::kStages + slot) * Shape::kGroup * static_cast<int>(kFragmentWeights);
  }

  __device__ __forceinline__ void advance() {
    next_ += Shape::kGroup;
    if (next_ < tiles_) return;
    next_ = 0;
    --left_;
    if (resident_ >= 0) {
      resident_ += step_;
    } else {
      from_ += step_;
    }
  }

  __device__ __forceinline__ void fetch(Weight* queue, int to_slot) {
    if (left_ > 0) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      const auto* from = reinterpret_cast<const unsigned char*>(from_ + next_ * kFragmentWeights) + lane * kPiece;
      auto* to = reinterpret_cast<unsigned char*>(queue + slot(to_slot)) + lane * kPiece;
#pragma unroll
      for (int i = 0; i < Shape::kGroup * kLaneBytes / kPiece; ++i) {
        if (next_ + i / (kLaneBytes / kPiece) < tiles_) {
          device::copy_async<kPiece>(to + 32 * kPiece * i, from + 32 * kPiece * i);
        }
      }
      advance();
    }
    device::copy_async_commit();  // possibly empty, so that the count of groups stays right
  }

  const Weight* from_ = nullptr;  // the next block
  int resident_ = -1;
  int step_ = 0;
  int tiles_ = 0;
  int left_ = 0;  // blocks left
  int next_ = 0;  // the next tile
  int slot_ = 0;
};

// ---- Samples

/// The packed A_d, and a warp's queue for them in shared memory. The warp takes pieces in turn: for each of its blocks
/// of 16 × 16 in a tile's samples the two halves of 8 units, and for each half all parts.
template <class Tile>
struct SampleSource {
  using Shape = typename Tile::Shape;
  using T = typename Shape::Arithmetic::Value;
  struct Piece {
    T v[4];  ///< v[2h + j] of sample g + 8h, unit 2t + j
  };
  static constexpr int kPlanes = 32 * sizeof(Piece) / sizeof(Plane);
  static constexpr int kLeastSlots = 2;

  const TensorStream<T>& problem;
  const StreamLayout& layout;

  static constexpr std::int64_t slot_bytes() { return std::int64_t{Shape::kThreads} * sizeof(Piece); }
  /// Pieces per tile for the warp with the most.
  static constexpr std::int64_t pieces(std::int64_t blocks, std::int64_t parts) {
    return (Tile::kSampleFragments * blocks + Shape::kWarps - 1) / Shape::kWarps * 2 * parts;
  }

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int blocks() const { return static_cast<int>(blocks_of(problem.pairs.units)); }
  __device__ int items() const { return Tile::kSampleFragments * blocks(); }
  __device__ int parts() const { return 1 + problem.pairs.moving; }
  /// Pieces per tile for this warp.
  __device__ int own_pieces() const {
    return max(0, items() - warp() + Shape::kWarps - 1) / Shape::kWarps * 2 * parts();
  }
  __device__ int slots() const { return min(layout.slots, own_pieces()); }
  __device__ int fragments() const { return static_cast<int>((problem.pairs.samples + kStreamRows - 1) / kStreamRows); }
  __device__ std::int64_t part_planes() const { return problem.part_values / (sizeof(Plane) / sizeof(T)); }

  /// The lane's values in a slot.
  __device__ Plane* slot(int number) const {
    auto* queue = reinterpret_cast<Plane*>(device::dynamic_shared<unsigned char>() + layout.samples);
    return queue + (warp() * layout.slots + number) * kPlanes + lane();
  }
  /// The lane's values in a block of A_0. Fragments past the last sample's repeat it.
  __device__ const Plane* block(int tile, int item) const {
    const std::int64_t row = min(tile + item / blocks(), fragments() - 1);
    return reinterpret_cast<const Plane*>(problem.pairs.base) + (row * blocks() + item % blocks()) * 2 * kPlanes +
           lane();
  }
};

/// Copies pieces of a tile into the warp's queue, in order.
template <class Tile>
class SampleCopies {
 public:
  using Source = SampleSource<Tile>;

  SampleCopies() = default;
  /// Copies `count` pieces from `first` on, in the tile that begins with fragment `tile`.
  __device__ SampleCopies(const Source& source, int tile, int first, int count)
      : tile_(tile), left_(count), slot_(first % max(1, source.slots())) {
    item_ = source.warp() + first / (2 * source.parts()) * Tile::Shape::kWarps;
    piece_ = first % (2 * source.parts());
    if (left_ > 0) {
      from_ = source.block(tile_, item_) + piece_ / source.parts() * Source::kPlanes +
              piece_ % source.parts() * source.part_planes();
    }
  }

  /// Pieces that have not been copied yet.
  __device__ int left() const { return left_; }

  /// Each lane copies only what it will read itself, so the queue needs no barrier. The caller commits.
  __device__ __forceinline__ void copy(const Source& source) {
    Plane* to = source.slot(slot_);
#pragma unroll
    for (int i = 0; i < Source::kPlanes; i += 32) device::copy_async<16>(to + i, from_ + i);
    slot_ = slot_ + 1 == source.slots() ? 0 : slot_ + 1;
    if (--left_ == 0) return;
    from_ += source.part_planes();
    ++piece_;
    if (piece_ == source.parts()) {
      from_ += Source::kPlanes - source.parts() * source.part_planes();
    } else if (piece_ == 2 * source.parts()) {
      piece_ = 0;
      item_ += Tile::Shape::kWarps;
      from_ = source.block(tile_, item_);
    }
  }

 private:
  const Plane* from_ = nullptr;
  int tile_ = 0, left_ = 0, slot_ = 0;
  int item_ = 0, piece_ = 0;  // the block of the next piece, and the piece's place in it
};

/// Takes the pieces of a tile out of the warp's queue. The first slots() pieces have been copied already, each in a
/// group of its own; it copies the others.
template <class Tile>
class SampleReader {
 public:
  using Source = SampleSource<Tile>;
  using Piece = typename Source::Piece;

  __device__ SampleReader(const Source& source, int tile)
      : copies_(source, tile, source.slots(), source.own_pieces() - source.slots()) {}

  __device__ __forceinline__ Piece take(const Source& source) {
    // Into the slot read last, whose values have been used.
    if (slot_ >= 0 && copies_.left() > 0) copies_.copy(source);
    device::copy_async_commit();  // with or without a copy, so that each piece is followed by as many groups
    if (source.slots() > Source::kLeastSlots) {
      device::copy_async_wait<Source::kLeastSlots>();
    } else {
      device::copy_async_wait<Source::kLeastSlots - 1>();
    }
    slot_ = slot_ + 1 == source.slots() ? 0 : slot_ + 1;
    const Plane* from = source.slot(slot_);
    Plane planes[Source::kPlanes / 32];
#pragma unroll
    for (int i = 0; i < Source::kPlanes / 32; ++i) planes[i] = from[32 * i];
    Piece piece;
    std::memcpy(&piece, planes, sizeof(Piece));
    return piece;
  }

 private:
  SampleCopies<Tile> copies_;
  int slot_ = -1;
};

}  // namespace lossatlas::kernels
