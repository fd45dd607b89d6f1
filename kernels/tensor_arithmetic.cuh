// How a warp multiplies activations by weights on the tensor cores, in each precision.
//
// D (R × 8) += A (R × 16) B (16 × 8): R rows are (sample, point) pairs, 16 inputs a block, 8 outputs a tile. Lane l is
// member t = l % 4 of group g = l / 4. In every precision
//
//   D, a tile of outputs      R/4 values a lane: d[2h + j] of row g + 8h, output 2t + j              (h < R/8, j < 2)
//   A, a block of inputs      values v[q][2h + j] of row g + 8h, input 8q + 2t + j                   (q < 2)
//   B, a fragment of weights  w[2q + j] of input 8q + 2t + j, output g
//
// so that two adjacent tiles of D are one block of A: activations stay in the lane that computed them. The instructions
// expect the inputs at other places k of a block; since A and B are permuted alike, the product is the same.
//
// Packed weights (blocks, tiles, fragment): a fragment has 128 weights, four per lane, in planes of at most 16 bytes
// per lane, so that a warp reads a plane without bank conflicts: half (32, 4), float (32, 4), double (2, 32, 2).
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include <cuda_runtime.h>
#include <device/intrinsics.cuh>

#include "scalar.cuh"
#include "tensor_shape.hpp"

namespace lossatlas::kernels {

/// f64. On sm_80 the instruction of 16 rows is replaced by two groups of four instructions of 8 rows.
template <int kRowCount>
struct DoubleArithmetic {
  using Value = double;   ///< of activations and accumulators
  using Weight = double;  ///< as packed
  static constexpr int kRows = kRowCount;
  static constexpr int kValues = kRows / 4;  ///< values of D in a lane
  static constexpr bool kChecksRange = false;
  struct Inputs {  ///< a block of A, as kept between layers
    double a[2 * kValues];
  };
  using Operand = Inputs;  ///< as the instruction takes it
  struct Weights {
    double b[4];
  };

  static __device__ __forceinline__ Inputs to_inputs(const double (&v)[2][kValues]) {
    Inputs inputs;
#pragma unroll
    for (int s = 0; s < 4; ++s) {
#pragma unroll
      for (int h = 0; h < kRows / 8; ++h) inputs.a[kRows / 8 * s + h] = v[s / 2][2 * h + s % 2];
    }
    return inputs;
  }
  static __device__ __forceinline__ const Operand& operand(const Inputs& inputs) { return inputs; }
  static __device__ __forceinline__ void store(double* fragment, int lane, const double (&w)[4]) {
    auto* planes = reinterpret_cast<double2*>(fragment);
    planes[lane] = make_double2(w[0], w[1]);
    planes[32 + lane] = make_double2(w[2], w[3]);
  }
  static __device__ __forceinline__ Weights load(const double* fragment, int lane) {
    const auto* planes = reinterpret_cast<const double2*>(fragment);
    const double2 first = planes[lane], second = planes[32 + lane];
    return {{first.x, first.y, second.x, second.y}};
  }
  static __device__ __forceinline__ void multiply(double (&d)[kValues], const Operand& a, const Weights& w) {
    if constexpr (kRows == 16) {
      device::mma_m16n8k16(d, a.a, w.b);
    } else {
#pragma unroll
      for (int s = 0; s < 4; ++s) device::mma_m8n8k4(d, a.a[s], w.b[s]);
    }
  }
  static __device__ __forceinline__ double activate(Activation activation, double x) {
    return scalar::activate(activation, x);
  }
};

/// f32: x = hi + lo in TF32, which has the exponents of f32, and ab = hi·hi + hi·lo + lo·hi to about 2⁻²². Infinite
/// activations keep their limits; an infinite weight gives NaN. Tensor cores truncate their sums (Fasi et al. 2021),
/// and along a whole layer these errors all point towards zero. So they sum only one block at a time, small products
/// first, and ordinary additions sum the blocks (Ootomo and Yokota 2022).
struct Tf32x2Arithmetic {
  using Value = float;
  using Weight = float;
  static constexpr int kRows = 16;
  static constexpr int kValues = 4;
  static constexpr bool kChecksRange = false;
  struct Inputs {
    float v[2][4];
  };
  struct Operand {
    std::uint32_t high[2][4], low[2][4];
    std::uint32_t finite[2][4];  ///< high, with 0 for non-finite values: it meets the zeros among the low parts
  };
  struct Weights {
    std::uint32_t high[2][2], low[2][2];
  };

  static __device__ __forceinline__ Inputs to_inputs(const float (&v)[2][4]) {
    Inputs inputs;
#pragma unroll
    for (int q = 0; q < 2; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) inputs.v[q][i] = v[q][i];
    }
    return inputs;
  }
  // One instruction has the 8 inputs of one q: input 2t + j is at place k = t + 4j.
  static __device__ __forceinline__ Operand operand(const Inputs& inputs) {
    Operand operand;
#pragma unroll
    for (int q = 0; q < 2; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float x = inputs.v[q][2 * (i % 2) + i / 2];
        operand.high[q][i] = device::to_tf32(x);
        const float high = __uint_as_float(operand.high[q][i]);
        const std::uint32_t mask = (operand.high[q][i] & 0x7f800000u) == 0x7f800000u ? 0u : ~0u;
        operand.low[q][i] = mask & device::to_tf32(x - high);
        operand.finite[q][i] = mask & operand.high[q][i];
      }
    }
    return operand;
  }
  static __device__ __forceinline__ void store(float* fragment, int lane, const float (&w)[4]) {
    reinterpret_cast<float4*>(fragment)[lane] = make_float4(w[0], w[1], w[2], w[3]);
  }
  static __device__ __forceinline__ Weights load(const float* fragment, int lane) {
    const float4 packed = reinterpret_cast<const float4*>(fragment)[lane];
    const float w[4] = {packed.x, packed.y, packed.z, packed.w};
    Weights weights;
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      weights.high[s / 2][s % 2] = device::to_tf32(w[s]);
      weights.low[s / 2][s % 2] = device::to_tf32(w[s] - __uint_as_float(weights.high[s / 2][s % 2]));
    }
    return weights;
  }
  static __device__ __forceinline__ float activate(Activation activation, float x) {
    return scalar::activate(activation, x);
  }
};

/// fast: fp16 operands, sums in f32. Weights must be scaled so that the largest is in [2¹⁴, 2¹⁵); those down to 2⁻²⁹ of
/// it then keep all digits. The activations of a row are in range if the largest is below 2¹⁶ and either 0 or at least
/// 2⁻⁸; any that become subnormal are then lost in the rounding of the largest.
struct HalfArithmetic {
  using Value = float;
  using Weight = std::uint16_t;
  static constexpr int kRows = 16;
  static constexpr int kValues = 4;
  static constexpr bool kChecksRange = true;
  struct Inputs {
    std::uint32_t a[4];
  };
  using Operand = Inputs;
  struct Weights {
    std::uint32_t b[2];
  };

  static __device__ __forceinline__ Inputs to_inputs(const float (&v)[2][4]) {
    return {{device::pack_half(v[0][0], v[0][1]), device::pack_half(v[0][2], v[0][3]),
             device::pack_half(v[1][0], v[1][1]), device::pack_half(v[1][2], v[1][3])}};
  }
  static __device__ __forceinline__ const Operand& operand(const Inputs& inputs) { return inputs; }
  static __device__ __forceinline__ void store(std::uint16_t* fragment, int lane, const float (&w)[4]) {
    reinterpret_cast<uint2*>(fragment)[lane] = make_uint2(device::pack_half(w[0], w[1]), device::pack_half(w[2], w[3]));
  }
  static __device__ __forceinline__ Weights load(const std::uint16_t* fragment, int lane) {
    const uint2 packed = reinterpret_cast<const uint2*>(fragment)[lane];
    return {{packed.x, packed.y}};
  }
  static __device__ __forceinline__ void multiply(float (&d)[4], const Operand& a, const Weights& w) {
    device::mma_m16n8k16_half(d, a.a, w.b);
  }
  static __device__ __forceinline__ float activate(Activation activation, float x) {
    if (activation == Activation::tanh) return device::tanh_approx(x);
    if (activation == Activation::sigmoid) return 0.5f + 0.5f * device::tanh_approx(0.5f * x);
    return scalar::activate(activation, x);
  }
  static __device__ __forceinline__ bool in_range(float row_maximum) {
    return row_maximum == 0 || (row_maximum >= 0x1p-8f && row_maximum < 65504.0f);
  }
};

/// d[first + n] += a w[n].
template <class Arithmetic, int kTiles, int kCount>
__device__ __forceinline__ void multiply_tiles(typename Arithmetic::Value (&d)[kTiles][Arithmetic::kValues], int first,
                                               const typename Arithmetic::Operand& a,
                                               const typename Arithmetic::Weights (&w)[kCount]) {
  if constexpr (std::is_same_v<Arithmetic, Tf32x2Arithmetic>) {
    // Consecutive products go to different sums.
    float sums[kCount][4] = {};
#pragma unroll
    for (int q = 0; q < 2; ++q) {
#pragma unroll
      for (int n = 0; n < kCount; ++n) device::mma_m16n8k8_tf32(sums[n], a.low[q], w[n].high[q]);
#pragma unroll
      for (int n = 0; n < kCount; ++n) device::mma_m16n8k8_tf32(sums[n], a.finite[q], w[n].low[q]);
    }
#pragma unroll
    for (int q = 0; q < 2; ++q) {
#pragma unroll
      for (int n = 0; n < kCount; ++n) device::mma_m16n8k8_tf32(sums[n], a.high[q], w[n].high[q]);
    }
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) d[first + n][i] += sums[n][i];
    }
  } else {
#pragma unroll
    for (int n = 0; n < kCount; ++n) Arithmetic::multiply(d[first + n], a, w[n]);
  }
}

/// v = φ(v). ReLU, and tanh in float, work in registers; the others share one copy of the code, which costs a trip
/// through local memory.
template <class Arithmetic>
__device__ __forceinline__ void activate_block(Activation activation,
                                               typename Arithmetic::Value (&v)[2][Arithmetic::kValues]) {
  constexpr int kValues = Arithmetic::kValues;
  const auto in_registers = [&](Activation known) __attribute__((always_inline)) {
#pragma unroll
    for (int i = 0; i < 2 * kValues; ++i) {
      v[i / kValues][i % kValues] = Arithmetic::activate(known, v[i / kValues][i % kValues]);
    }
  };
  if (activation == Activation::identity) return;
  if (activation == Activation::relu) return in_registers(Activation::relu);
  if constexpr (sizeof(typename Arithmetic::Value) == 4) {
    if (activation == Activation::tanh) return in_registers(Activation::tanh);
  }
  typename Arithmetic::Value staged[2 * kValues];
#pragma unroll
  for (int i = 0; i < 2 * kValues; ++i) staged[i] = v[i / kValues][i % kValues];
#pragma unroll 1
  for (int i = 0; i < 2 * kValues; ++i) staged[i] = Arithmetic::activate(activation, staged[i]);
#pragma unroll
  for (int i = 0; i < 2 * kValues; ++i) v[i / kValues][i % kValues] = staged[i];
}

/// Zeroes the units past a block's last, where a NaN or an infinite α would meet the zero weights.
template <class Arithmetic>
__device__ __forceinline__ void clear_padding(int units, typename Arithmetic::Value (&v)[2][Arithmetic::kValues]) {
  if (units >= kBlockUnits) return;
  const int member = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int i = 0; i < 2 * Arithmetic::kValues; ++i) {
    const int q = i / Arithmetic::kValues, of_tile = i % Arithmetic::kValues;
    if (8 * q + 2 * member + of_tile % 2 >= units) v[q][of_tile] = 0;
  }
}

/// The largest |v| of this lane in row half h, as a bit pattern: non-negative numbers are ordered as their bit
/// patterns, with NaN above all.
__device__ __forceinline__ int largest_bits(const float (&v)[2][4], int h) {
  int most = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) most = max(most, __float_as_int(std::fabs(v[i / 2][2 * h + i % 2])));
  return most;
}

/// Packs a lane's share of weight(input, output) in a fragment (block · tiles + tile) of a layer; padding is zero.
template <class Arithmetic, class Weight>
__device__ __forceinline__ void pack_fragment(std::int64_t in, std::int64_t out, int tiles, int fragment, int lane,
                                              const Weight& weight, typename Arithmetic::Weight* to) {
  const int output = fragment % tiles * 8 + lane / 4;
  typename Arithmetic::Value w[4];
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    const int input = fragment / tiles * 16 + 8 * (s / 2) + 2 * (lane % 4) + s % 2;
    w[s] = input < in && output < out ? weight(input, output) : typename Arithmetic::Value(0);
  }
  Arithmetic::store(to + static_cast<std::int64_t>(fragment) * kFragmentWeights, lane, w);
}

}  // namespace lossatlas::kernels
