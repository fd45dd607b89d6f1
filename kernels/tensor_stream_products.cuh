// The layers of the streaming kernel, on activations in shared memory:
//
//   sums (rows, outputs) = activations (rows, units) Wᵀ, by tensor cores;   activations = φ(sums + b).
//
// The warps of a block divide the outputs of a layer. In half precision the largest activation of each row is watched.
#pragma once

#include "tensor_stream_memory.cuh"

namespace lossatlas::kernels {

template <class Tile, StreamRows kRowsOf>
class StreamProducts : protected StreamCopies<Tile, kRowsOf> {
 protected:
  using Copies = StreamCopies<Tile, kRowsOf>;
  using Shape = typename Tile::Shape;
  using A = typename Shape::Arithmetic;
  using T = typename A::Value;
  using Weight = typename A::Weight;
  using Inputs = typename A::Inputs;
  template <int kFragments>
  using Place = typename Copies::template Place<kFragments>;
  using Copies::arena, Copies::biases, Copies::copies_, Copies::hidden, Copies::kCopiesAmongWeights, Copies::layout_,
      Copies::maxima, Copies::reader_, Copies::source, Copies::start_layer, Copies::weights;
  static constexpr int kRows = Shape::kRows;
  static constexpr int kPoints = Tile::kPoints;

  using Copies::Copies;

  // Computes the outputs of a layer. `high` tells at which end of the arena its inputs are, and on return its outputs.
  template <int kFragments>
  __device__ void run_layer(const StreamLayer& layer, int l, bool& high) {
    using Here = Place<kFragments>;
    const bool single = layer.tiles <= Here::kPassTiles;
    const Plane* inputs = arena(high, activation_bytes<Shape>(layer.blocks));
    if (!single) high = !high;
    Plane* outputs = arena(high, hidden(l) ? activation_bytes<Shape>(layer.tiles / 2) : output_bytes<Shape>(layer.out));
    for (int first = 0; first < layer.tiles; first += Here::kPassTiles) {
      const Here place(layer, first);
      T sums[kFragments][Shape::kTiles][A::kValues];
      multiply<kFragments>(layer, place, inputs, sums);
      if (single) __syncthreads();  // the inputs have been read: the outputs take their place
      if (hidden(l)) {
        store_hidden<kFragments>(layer, place, (l + 1) % 2, sums, outputs);
      } else if constexpr (kFragments == 1) {
        store_outputs(layer, place, sums, reinterpret_cast<T*>(outputs));
      }
      if (!single && first + Here::kPassTiles < layer.tiles) start_layer(l, first + Here::kPassTiles);
    }
  }

  template <int kFragments>
  __device__ void multiply(const StreamLayer& layer, const Place<kFragments>& place, const Plane* inputs,
                           T (&sums)[kFragments][Shape::kTiles][A::kValues]) {
    constexpr int kGroup = Shape::kGroup;
#pragma unroll
    for (int i = 0; i < kFragments * Shape::kTiles * 4; ++i)
      sums[i / 4 / Shape::kTiles][i / 4 % Shape::kTiles][i % 4] = 0;
    const int blocks = layer.blocks;
    for (int block = 0; block < blocks; ++block) {
#pragma unroll
      for (int first = 0; first < Shape::kTiles; first += kGroup) {
        if (first >= place.tiles) continue;
        if constexpr (kCopiesAmongWeights) {
          if (copies_.left() > 0) {
            copies_.copy(source());
            if (layout_.resident) device::copy_async_commit();
          }
        }
        const Weight* fragments = weights() + reader_.take(weights());
        typename A::Weights w[kGroup];
#pragma unroll
        for (int n = 0; n < kGroup; ++n) w[n] = A::load(fragments + n * kFragmentWeights, lane());
#pragma unroll
        for (int m = 0; m < kFragments; ++m) {
          const auto a = load_planes<Inputs>(inputs + ((place.row + m) * blocks + block) * kBlockPlanes<A>, lane());
          const auto& operand = A::operand(a);
          multiply_tiles<A>(sums[m], first, operand, w);
        }
      }
    }
  }

  struct Raw {
    T v[2][A::kValues];
  };

  // Half precision activates in registers, since pre-activations may be out of its range. The other precisions leave
  // pre-activations, which all warps then activate in equal shares.
  template <int kFragments>
  __device__ void store_hidden(const StreamLayer& layer, const Place<kFragments>& place, int side,
                               const T (&sums)[kFragments][Shape::kTiles][A::kValues], Plane* outputs) {
    const T unit = biases()[layer.biases + 8 * layer.tiles];
#pragma unroll
    for (int p = 0; p < Shape::kTiles / 2; ++p) {
      if (2 * p >= place.tiles) continue;
      const int block = place.tile / 2 + p;
      const T* bias = biases() + layer.biases + kBlockUnits * block + 2 * member();
#pragma unroll
      for (int m = 0; m < kFragments; ++m) {
        Raw raw;
#pragma unroll
        for (int i = 0; i < 2 * A::kValues; ++i) {
          raw.v[i / 4][i % 4] = sums[m][2 * p + i / 4][i % 4] * unit + bias[8 * (i / 4) + i % 2];
        }
        Plane* to = outputs + ((place.row + m) * (layer.tiles / 2) + block) * kBlockPlanes<A>;
        if constexpr (A::kChecksRange) {
          activate_block<A>(layer.activation, raw.v);
          finish_block(place.row + m, layer.out - static_cast<int>(kBlockUnits) * block, side, raw.v, to);
        } else {
          store_planes(to, lane(), raw);
        }
      }
    }
  }

  __device__ void activate(const StreamLayer& layer, bool high) {
    const int blocks = layer.tiles / 2;
    Plane* activations = arena(high, activation_bytes<Shape>(blocks));
    for (int i = warp(); i < Shape::kRowFragments * blocks; i += Shape::kWarps) {
      Plane* place = activations + i * kBlockPlanes<A>;
      auto raw = load_planes<Raw>(place, lane());
      activate_block<A>(layer.activation, raw.v);
      finish_block(i / blocks, layer.out - static_cast<int>(kBlockUnits) * (i % blocks), 0, raw.v, place);
    }
  }

  // Writes outputs (out, rows).
  __device__ void store_outputs(const StreamLayer& layer, const Place<1>& place,
                                const T (&sums)[1][Shape::kTiles][A::kValues], T* outputs) {
    const T* bias = biases() + layer.biases;
    const T unit = bias[8 * layer.tiles];
#pragma unroll
    for (int n = 0; n < Shape::kTiles; ++n) {
      if (n >= place.tiles) continue;
#pragma unroll
      for (int i = 0; i < A::kValues; ++i) {
        const int out = 8 * (place.tile + n) + 2 * member() + i % 2, row = 16 * place.row + group() + 8 * (i / 2);
        if (out < layer.out) outputs[out * Shape::kOutputStride + row] = sums[0][n][i] * unit + bias[out];
      }
    }
  }

  __device__ void finish_outputs(const StreamLayer& layer, bool high) {
    if (layer.activation == Activation::identity) return;
    auto* outputs = reinterpret_cast<T*>(arena(high, output_bytes<Shape>(layer.out)));
    for (int i = thread(); i < layer.out * kRows; i += Shape::kThreads) {
      T& value = outputs[i / kRows * Shape::kOutputStride + i % kRows];
      value = A::activate(layer.activation, value);
    }
    __syncthreads();  // the outputs are activated
  }

  // Stores activations as operands, zero beyond the units.
  __device__ void finish_block(int row, int units, int side, T (&v)[2][A::kValues], Plane* to) {
    clear_padding<A>(units, v);
    if constexpr (A::kChecksRange) add_maxima(row, side, v);
    store_planes(to, lane(), A::to_inputs(v));
  }

  __device__ void add_maxima(int row, int side, const T (&v)[2][A::kValues]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int most = quad_max(largest_bits(v, h));
      if (member() == 0) atomicMax(&maxima()[side * kRows + 16 * row + group() + 8 * h], most);
    }
  }

  // Layers alternate between two sides: one is read here while the next layer adds to the other. The flags of the chunk
  // follow them.
  __device__ void check_range(int side) const {
    if constexpr (A::kChecksRange) {
      for (int p = 0; p < kPoints; ++p) {
        for (int r = thread(); r < Tile::kSamples; r += Shape::kThreads) {
          int& most = maxima()[side * kRows + p * Tile::kSamples + r];
          if (!A::in_range(__int_as_float(most))) atomicMax(&maxima()[2 * kRows + p], 1);
          most = 0;
        }
      }
    }
  }
};

}  // namespace lossatlas::kernels
