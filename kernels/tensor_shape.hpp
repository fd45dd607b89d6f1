// Which joint plans with shared later layers the tensor kernel takes, and what each block needs. Plain C++.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lossatlas::kernels {

inline constexpr std::int64_t kTileUnits = 8;    // outputs of one tile of the tensor cores' products
inline constexpr std::int64_t kBlockUnits = 16;  // inputs of one block of them
inline constexpr std::int64_t kFragmentWeights = kTileUnits * kBlockUnits;

constexpr std::int64_t blocks_of(std::int64_t units) { return (units + kBlockUnits - 1) / kBlockUnits; }
constexpr std::int64_t tiles_of(std::int64_t units) { return (units + kTileUnits - 1) / kTileUnits; }
/// Values of one layer's packed weights.
constexpr std::int64_t packed_weights(std::int64_t in, std::int64_t out) {
  return blocks_of(in) * tiles_of(out) * kFragmentWeights;
}

/// The arithmetic of a tensor kernel; see tensor_arithmetic.cuh.
enum class Operands : std::uint8_t {
  f64,
  tf32x2,  ///< f32 as two TF32 numbers
  half,    ///< fast
};

inline constexpr std::int64_t kWidestTensorLayer = 128;  // a wider layer's sums and inputs would not fit in registers
inline constexpr std::int64_t kTensorBlockPoints = 32;   // points served by one packing of the weights
inline constexpr std::int64_t kTensorGroupPoints = 2;    // at most, that a warp handles at a time
inline constexpr std::int64_t kTensorLayerBytes = 48;    // bytes of one layer's description
inline constexpr std::int64_t kChunkSamples = 256;  // samples per partial sum; fixes the order of sums over samples

/// The shape of a joint layer of any width and of later layers that are the same at every point.
struct TensorShape {
  Operands operands = Operands::f64;
  std::int64_t width = 0;    ///< outputs of the widest later layer
  std::int64_t depth = 0;    ///< later layers
  std::int64_t weights = 0;  ///< Σ packed_weights
  std::int64_t biases = 0;   ///< Σ out, each padded to whole blocks
  std::int64_t moving = 0;   ///< directions that move the joint layer's weights
  std::int64_t heads = 1;
  std::int64_t stages = 0;        ///< of A_d in shared memory; 0: the kernel does not take the plan
  std::int64_t stage_blocks = 0;  ///< blocks of R samples × 16 units in a stage, each with all parts

  void add_layer(std::int64_t in, std::int64_t out) {
    width = std::max(width, out);
    ++depth;
    weights += packed_weights(in, out);
    biases += blocks_of(out) * kBlockUnits;
  }
  constexpr std::int64_t value_bytes() const { return operands == Operands::f64 ? 8 : 4; }
  constexpr std::int64_t weight_bytes() const { return operands == Operands::half ? 2 : value_bytes(); }
  /// Samples that a warp handles at a time. In f64, sums and inputs of a layer wider than 64 leave registers for only
  /// 8.
  constexpr std::int64_t rows() const { return operands == Operands::f64 && width > 64 ? 8 : 16; }
  constexpr std::int64_t stage_bytes() const {
    return stage_blocks * (1 + moving) * rows() * kBlockUnits * value_bytes();
  }
  /// Shared memory of a block besides the stages.
  constexpr std::int64_t fixed_bytes() const {
    const std::int64_t tiles = kChunkSamples / rows();
    const std::int64_t bytes = weight_bytes() * weights + value_bytes() * biases + kTensorLayerBytes * depth +
                               kTensorBlockPoints * (8 * heads * tiles + value_bytes() * moving + 4 * tiles);
    return (bytes + 15) / 16 * 16;
  }
  constexpr std::int64_t shared_bytes() const { return fixed_bytes() + stages * stage_bytes(); }
  /// One stage is read while two (or one, if shared memory is short) are on their way from L2. Stages of 4 blocks
  /// amortise their barrier. With 163 or 227 KiB (sm_80, sm_90, sm_100) they fit beside the weights of any layer; with
  /// 99 KiB (sm_86, sm_89, sm_120) they do not fit beside those of the widest.
  void choose_stages(std::int64_t shared_limit) {
    constexpr std::int64_t kChoices[][2] = {{3, 4}, {2, 4}, {2, 2}, {2, 1}};
    stages = 0;
    if (depth == 0 || width > kWidestTensorLayer) return;
    for (const auto& choice : kChoices) {
      stages = choice[0], stage_blocks = choice[1];
      if (shared_bytes() <= shared_limit) return;
    }
    stages = 0;
  }
};

}  // namespace lossatlas::kernels
