// The layers of a network on the tensor cores, for one warp, once the weights are in shared memory. Layouts as in
// tensor_arithmetic.cuh. A warp has kGroups groups of R rows, which share every fragment of weights.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "tensor_arithmetic.cuh"
#include "tensor_loss.cuh"

namespace lossatlas::kernels {

/// A layer in shared memory.
template <class Arithmetic>
struct TensorLayer {
  const typename Arithmetic::Weight* weights = nullptr;  ///< packed (blocks, tiles, fragment), times 1 / weight_scale
  const typename Arithmetic::Value* biases = nullptr;    ///< (out, padded with zeros to whole blocks)
  typename Arithmetic::Value weight_scale = 1;           ///< a power of two
  int blocks = 0;                                        ///< of inputs
  int tiles = 0;                                         ///< of outputs
  int out = 0;
  Activation activation = Activation::identity;
};

/// Packs weight(input, output) of a layer by threads thread, thread + threads, ..; padding is zero.
template <class Arithmetic, class Weight>
__device__ void pack_weights(std::int64_t in, std::int64_t out, int thread, int threads, const Weight& weight,
                             typename Arithmetic::Weight* to) {
  const auto tiles = static_cast<int>(tiles_of(out)), pieces = static_cast<int>(blocks_of(in)) * tiles * 32;
  for (int i = thread; i < pieces; i += threads) {
    pack_fragment<Arithmetic>(in, out, tiles, i / 32, i % 32, weight, to);
  }
}

/// The accumulators of a warp: (kGroups, tiles, values of a lane).
template <class Arithmetic, int kTiles, int kGroups>
struct TensorSums {
  typename Arithmetic::Value d[kGroups][kTiles][Arithmetic::kValues];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < kGroups * kTiles * Arithmetic::kValues; ++i) {
      d[i / (kTiles * Arithmetic::kValues)][i / Arithmetic::kValues % kTiles][i % Arithmetic::kValues] = 0;
    }
  }

  /// d += a B for one block of inputs; `fragments` (tiles, fragment) are its weights.
  __device__ __forceinline__ void add_block(const typename Arithmetic::Weight* fragments, int tiles,
                                            const typename Arithmetic::Inputs (&a)[kGroups]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    typename Arithmetic::Operand operand[kGroups];
#pragma unroll
    for (int r = 0; r < kGroups; ++r) operand[r] = Arithmetic::operand(a[r]);
    const auto add_tile = [&](int n) __attribute__((always_inline)) {
      const typename Arithmetic::Weights w[1] = {Arithmetic::load(fragments + n * kFragmentWeights, lane)};
#pragma unroll
      for (int r = 0; r < kGroups; ++r) multiply_tiles<Arithmetic>(d[r], n, operand[r], w);
    };
    // Without branches, loads run ahead of products as far as registers last.
    constexpr auto kHeld = kGroups * (kTiles * sizeof(d[0][0]) + kTiles / 2 * sizeof(a[0]));
    constexpr bool kRunsAhead = kTiles > 4 && kHeld <= 96 * 4;
    if (kRunsAhead && tiles == kTiles) {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) add_tile(n);
    } else {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        if (n < tiles) add_tile(n);
      }
    }
  }
};

/// The largest |activation| in each of a lane's rows, over one layer, as bit patterns.
template <class Arithmetic, int kGroups>
struct RowMaxima {
  int top[kGroups][Arithmetic::kRows / 8] = {};

  __device__ __forceinline__ void add(int r, const typename Arithmetic::Value (&v)[2][Arithmetic::kValues]) {
    if constexpr (Arithmetic::kChecksRange) {
#pragma unroll
      for (int h = 0; h < Arithmetic::kRows / 8; ++h) top[r][h] = max(top[r][h], largest_bits(v, h));
    }
  }
  /// Whether every row of group r is in range, the same in all lanes; then starts anew.
  __device__ __forceinline__ bool in_range(int r) {
    bool fine = true;
    if constexpr (Arithmetic::kChecksRange) {
#pragma unroll
      for (int h = 0; h < Arithmetic::kRows / 8; ++h) {
        fine = Arithmetic::in_range(__int_as_float(quad_max(top[r][h]))) && fine;
        top[r][h] = 0;
      }
      fine = __all_sync(0xffffffffu, fine);
    }
    return fine;
  }
};

/// v = φ(d · weight_scale + b) for the block `block` of a layer's outputs.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void finish_block(const TensorLayer<Arithmetic>& layer,
                                             const TensorSums<Arithmetic, kTiles, kGroups>& sums, int r, int block,
                                             typename Arithmetic::Value (&v)[2][Arithmetic::kValues]) {
  const int member = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const typename Arithmetic::Value* bias = layer.biases + kBlockUnits * block + 8 * q + 2 * member;
#pragma unroll
    for (int i = 0; i < Arithmetic::kValues; ++i) {
      v[q][i] = sums.d[r][2 * block + q][i] * layer.weight_scale + bias[i % 2];
    }
  }
  activate_block<Arithmetic>(layer.activation, v);
}

/// Turns the outputs of a hidden layer into inputs of the next.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void hidden_inputs(const TensorLayer<Arithmetic>& layer,
                                              const TensorSums<Arithmetic, kTiles, kGroups>& sums,
                                              RowMaxima<Arithmetic, kGroups>& maxima,
                                              typename Arithmetic::Inputs (&inputs)[kTiles / 2][kGroups]) {
#pragma unroll
  for (int block = 0; block < kTiles / 2; ++block) {
#pragma unroll
    for (int r = 0; r < kGroups; ++r) {
      inputs[block][r] = {};  // otherwise those of the last layer would stay alive
      if (kBlockUnits * block >= layer.out) continue;
      typename Arithmetic::Value v[2][Arithmetic::kValues];
      finish_block(layer, sums, r, block, v);
      clear_padding<Arithmetic>(layer.out - kBlockUnits * block, v);
      maxima.add(r, v);
      inputs[block][r] = Arithmetic::to_inputs(v);
    }
  }
}

/// sums = inputs W, for a layer above the first.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void multiply_layer(const TensorLayer<Arithmetic>& layer,
                                               const typename Arithmetic::Inputs (&inputs)[kTiles / 2][kGroups],
                                               TensorSums<Arithmetic, kTiles, kGroups>& sums) {
  sums.clear();
#pragma unroll
  for (int block = 0; block < kTiles / 2; ++block) {
    if (block < layer.blocks) {
      sums.add_block(layer.weights + static_cast<std::int64_t>(block) * layer.tiles * kFragmentWeights, layer.tiles,
                     inputs[block]);
    }
  }
}

/// Turns the sums of the last layer into the network's outputs, in place.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void finish_outputs(const TensorLayer<Arithmetic>& layer,
                                               TensorSums<Arithmetic, kTiles, kGroups>& sums) {
#pragma unroll
  for (int block = 0; block < kTiles / 2; ++block) {
    if (kBlockUnits * block < layer.out) {
#pragma unroll
      for (int r = 0; r < kGroups; ++r) {
        typename Arithmetic::Value v[2][Arithmetic::kValues];
        finish_block(layer, sums, r, block, v);
#pragma unroll
        for (int i = 0; i < 2 * Arithmetic::kValues; ++i) {
          sums.d[r][2 * block + i / Arithmetic::kValues][i % Arithmetic::kValues] =
              v[i / Arithmetic::kValues][i % Arithmetic::kValues];
        }
      }
    }
  }
}

/// Calls of(value, class) for this lane's outputs of a head in row half h.
template <class Arithmetic, int kTiles, class Of>
__device__ __forceinline__ void for_outputs(const typename Arithmetic::Value (&p)[kTiles][Arithmetic::kValues], int h,
                                            int first, int last, const Of& of) {
  const int member = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    if (kTileUnits * n < last && kTileUnits * (n + 1) > first) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int unit = kTileUnits * n + 2 * member + j;
        if (unit >= first && unit < last) of(p[n][2 * h + j], unit - first);
      }
    }
  }
}

/// The losses of a head over the R rows of one group, which are samples first_sample..; the same in all lanes.
template <class Arithmetic, int kTiles>
__device__ double tile_loss(const LossOfRows<typename Arithmetic::Value>& of,
                            const typename Arithmetic::Value (&p)[kTiles][Arithmetic::kValues], int head,
                            std::int64_t first_sample) {
  const int group = static_cast<int>(threadIdx.x) % 32 / 4;
  double sum = 0;
#pragma unroll
  for (int h = 0; h < Arithmetic::kRows / 8; ++h) {
    const std::int64_t n = first_sample + group + 8 * h;
    const auto each = [&](const auto& f) {
      for_outputs<Arithmetic>(p, h, head * of.classes, (head + 1) * of.classes, f);
    };
    const auto loss = quad_loss(of, each, min(n, of.samples - 1));
    if (n < of.samples) sum += static_cast<double>(loss);
  }
#pragma unroll
  for (int offset = 4; offset < 32; offset *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  return sum;
}

}  // namespace lossatlas::kernels
