// Which joint plans with shared later layers the tensor kernel takes, and what a block of it needs. Plain C++.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lossatlas::kernels {

inline constexpr std::int64_t kTileUnits = 8;    // outputs of a tile of the tensor cores' products
inline constexpr std::int64_t kBlockUnits = 16;  // inputs of a block of them
inline constexpr std::int64_t kFragmentWeights = kTileUnits * kBlockUnits;

constexpr std::int64_t blocks_of(std::int64_t units) { return (units + kBlockUnits - 1) / kBlockUnits; }
constexpr std::int64_t tiles_of(std::int64_t units) { return (units + kTileUnits - 1) / kTileUnits; }
/// Weights that one layer takes when packed.
constexpr std::int64_t packed_weights(std::int64_t in, std::int64_t out) {
  return blocks_of(in) * tiles_of(out) * kFragmentWeights;
}

/// The arithmetic of a tensor kernel; see tensor_arithmetic.cuh.
enum class Operands : std::uint8_t {
  f64,
  split,  ///< f32 as two TF32 numbers
  half,   ///< fast
};

inline constexpr std::int64_t kWidestTensorLayer = 128;  // its sums and inputs fill the registers
inline constexpr std::int64_t kTensorBlockPoints = 32;   // the packing of the weights serves this many points
inline constexpr std::int64_t kTensorGroupPoints = 2;    // of a warp at a time, at most
inline constexpr std::int64_t kTensorLayerBytes = 48;    // of a layer's description
inline constexpr std::int64_t kChunkSamples = 256;  // of a partial sum: part of the order of every sum over samples

/// A joint layer of any width and later layers that are the same at every point.
struct TensorShape {
  Operands operands = Operands::f64;
  std::int64_t width = 0;    ///< of the widest later layer's outputs
  std::int64_t depth = 0;    ///< later layers
  std::int64_t weights = 0;  ///< Σ packed_weights
  std::int64_t biases = 0;   ///< Σ out, each padded to whole blocks
  std::int64_t moving = 0;   ///< directions that move the joint layer's weights
  std::int64_t heads = 1;

  void add_layer(std::int64_t in, std::int64_t out) {
    width = std::max(width, out);
    ++depth;
    weights += packed_weights(in, out);
    biases += blocks_of(out) * kBlockUnits;
  }
  std::int64_t value_bytes() const { return operands == Operands::f64 ? 8 : 4; }
  std::int64_t weight_bytes() const { return operands == Operands::half ? 2 : value_bytes(); }
  /// Samples of a warp at a time: f64 sums and inputs of a layer wider than 64 leave registers for 8 only.
  std::int64_t rows() const { return operands == Operands::f64 && width > 64 ? 8 : 16; }
  /// Shared memory of a block.
  std::int64_t shared_bytes() const {
    const std::int64_t tiles = kChunkSamples / rows();
    return weight_bytes() * weights + value_bytes() * biases + kTensorLayerBytes * depth +
           kTensorBlockPoints * (8 * heads * tiles + value_bytes() * moving + 4 * tiles);
  }
  bool fits(std::int64_t shared_limit) const {
    return depth > 0 && width <= kWidestTensorLayer && shared_bytes() <= shared_limit;
  }
};

}  // namespace lossatlas::kernels
