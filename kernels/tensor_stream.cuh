// The kernels of tensor_stream.hpp. A block has R rows of a chunk at a time, either samples of a grid point or grid
// points, and its warps divide the outputs of each layer.
//
// Activations lie in an arena in shared memory. If one pass computes all outputs of a layer, they replace its inputs;
// otherwise they go to the other end of the arena.
#pragma once

#include <type_traits>

#include <cuda_runtime.h>
#include <device/shared.cuh>

#include "scalar.cuh"
#include "tensor_interpolation.cuh"
#include "tensor_stream_parts.cuh"

namespace lossatlas::kernels {

/// Replaces SampleReader where rows are grid points.
struct NoReader {
  template <class Source>
  __device__ NoReader(const Source&, int) {}
};

/// What the threads of a block do together; each thread has one object.
template <class Tile, StreamRows kRowsOf>
class StreamBlock {
 public:
  using Shape = typename Tile::Shape;
  using A = typename Shape::Arithmetic;
  using T = typename A::Value;
  using Weight = typename A::Weight;
  using Inputs = typename A::Inputs;
  static constexpr int kRows = Shape::kRows;
  static constexpr int kPoints = Tile::kPoints;
  static constexpr bool kOfSamples = kRowsOf == StreamRows::samples;

  __device__ StreamBlock(const TensorStream<T>& problem, const StreamLayout& layout)
      : problem_(problem), pairs_(problem.pairs), layout_(layout) {
    const T* biases = problem.biases + point(0) * problem.bias_values;
    for (int i = thread(); i < problem.bias_values; i += Shape::kThreads) this->biases()[i] = biases[i];
    if constexpr (kOfSamples) {
      for (int i = thread(); i < kPoints * pairs_.moving; i += Shape::kThreads) {
        const std::int64_t direction = pairs_.directions[i % pairs_.moving];
        alpha()[i] = static_cast<T>(pairs_.alpha[point(i / pairs_.moving) * pairs_.rank + direction]);
      }
    }
    if constexpr (A::kChecksRange) {
      for (int i = thread(); i < 2 * kRows + kPoints; i += Shape::kThreads) maxima()[i] = 0;
    }
    if (layout.resident) load_weights();
    start_layer(0, 0);
    if (layout.resident) device::copy_async_wait<0>();
    begin_samples(first_chunk() * kChunkFragments);
    __syncthreads();  // biases, α, zeroed maxima and resident weights are ready
  }

  /// Runs the chunks of the block: block_chunks, or as many as are left.
  __device__ void run() {
    const int first = first_chunk(), last = static_cast<int>(min(first + pairs_.block_chunks, pairs_.chunks));
    for (int chunk = first; chunk < last; ++chunk) {
      if constexpr (kOfSamples) {
        for (int p = 0; p < kPoints; ++p) {
          for (std::int64_t h = thread(); h < pairs_.heads; h += Shape::kThreads) totals()[p * pairs_.heads + h] = 0;
        }
      }
      for (int row = 0; row < kChunkSamples && chunk * kChunkSamples + row < pairs_.samples; row += Tile::kSamples) {
        run_tile(chunk, row, last);
      }
      if constexpr (kOfSamples) store_chunk(chunk);
    }
  }

 private:
  // Threads of a block, lanes as in tensor_arithmetic.cuh.
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ static int warp() { return thread() / 32; }
  __device__ static int lane() { return thread() % 32; }
  __device__ static int group() { return lane() / 4; }
  __device__ static int member() { return lane() % 4; }

  // Places past the last point repeat it.
  __device__ std::int64_t point(int place) const {
    return kPoints == 1 ? first_point() : min(first_point() + place, pairs_.points - 1);
  }
  __device__ bool exists(int place) const { return kPoints == 1 || first_point() + place < pairs_.points; }
  __device__ static std::int64_t first_point() { return static_cast<std::int64_t>(blockIdx.y) * kPoints; }
  static constexpr int kChunkFragments = kChunkSamples / kStreamRows;
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

  // Brings all weights into shared memory. The fixed ones come first: they are copied while those of the point are
  // formed.
  __device__ void load_weights() const {
    const auto fixed = static_cast<std::int64_t>(problem_.fixed_fragments * kFragmentWeights * sizeof(Weight));
    const auto* from = static_cast<const unsigned char*>(problem_.fixed_weights);
    auto* to = shared<unsigned char>(layout_.weights);
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

  // Runs the samples from `row` of the chunk on through all layers and adds their losses to the totals. `last` is the
  // end of the block's chunks.
  __device__ void run_tile(int chunk, int row, int last) {
    const int tile = chunk * kChunkFragments + row / static_cast<int>(kStreamRows);
    joint_layer(tile);
    const bool more = chunk + 1 < last || (row + Tile::kSamples < kChunkSamples &&
                                           chunk * kChunkSamples + row + Tile::kSamples < pairs_.samples);
    if (more) begin_samples(tile + Tile::kSampleFragments);
    __syncthreads();  // the joint layer is complete
    check_range(0);
    bool high = false;
    for (int l = 0; l < pairs_.depth; ++l) {
      const StreamLayer& layer = problem_.layers[l];
      if (is_slim<Shape>(layer.tiles, hidden(l))) {
        run_layer<1>(layer, l, high);
      } else {
        run_layer<Shape::kFragments>(layer, l, high);
      }
      if (hidden(l)) {
        start_layer(l + 1, 0);
      } else if (more) {
        start_layer(0, 0);
      }
      __syncthreads();  // the outputs are complete, the inputs may be overwritten
      if (!hidden(l)) {
        finish_outputs(layer, high);
      } else if constexpr (A::kChecksRange) {
        check_range((l + 1) % 2);
      } else {
        activate(layer, high);
        __syncthreads();  // the activations are complete
      }
    }
    losses(chunk * kChunkSamples + row,
           reinterpret_cast<const T*>(arena(high, output_bytes<Shape>(problem_.layers[pairs_.depth - 1].out))));
    __syncthreads();  // the outputs have been read, the partial sums are complete
    if constexpr (kOfSamples) add_partial();
  }

  // Loops over the points of a tile, here and below, are kept separate so that they vanish if there is one point.
  __device__ void add_partial() const {
    constexpr int kParts = Tile::kSamples / 8;
    for (int p = 0; p < kPoints; ++p) {
      for (std::int64_t h = thread(); h < pairs_.heads; h += Shape::kThreads) {
        double total = totals()[p * pairs_.heads + h];
        for (int i = 0; i < kParts; ++i) total += partial()[h * (kRows / 8) + p * kParts + i];
        totals()[p * pairs_.heads + h] = total;
      }
    }
  }

  // Run by the threads that cleared the totals and added to them. The flags have been complete since the barrier before
  // the losses.
  __device__ void store_chunk(int chunk) const {
    for (int p = 0; p < kPoints && exists(p); ++p) {
      const std::int64_t place = point(p) * pairs_.chunks + chunk;
      for (std::int64_t h = thread(); h < pairs_.heads; h += Shape::kThreads) {
        pairs_.sums[place * pairs_.heads + h] = totals()[p * pairs_.heads + h];
      }
      if constexpr (A::kChecksRange) {
        if (thread() == 0) {
          int& flag = maxima()[2 * kRows + p];
          if (flag != 0) atomicMax(&problem_.flags[point(p)], 1);
          flag = 0;
        }
      }
    }
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

  // Activations = φ(A_0 + Σ_d α_d A_d + B), for grid points φ(b(α)); rows past the last repeat it.
  __device__ void joint_layer(int tile) {
    if constexpr (kCopiesAmongWeights) finish(copies_);
    std::conditional_t<kOfSamples, SampleReader<Tile>, NoReader> rows(source(), tile);
    const int blocks = problem_.layers[0].blocks, items = Tile::kSampleFragments * blocks;
    Plane* to = arena(false, 0);
    for (int i = warp(); i < items; i += Shape::kWarps) {
      const int row = i / blocks, block = i % blocks;
      T v[kPoints][2][A::kValues];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if constexpr (kOfSamples) {
          joint_units(rows, kBlockUnits * block + 8 * half, half, v);
        } else {
          point_units((tile + row) * kStreamRows, kBlockUnits * block + 8 * half, v[0][half]);
        }
      }
#pragma unroll
      for (int p = 0; p < kPoints; ++p) {
        activate_block<A>(pairs_.activation, v[p]);
        finish_block(row + p * Tile::kSampleFragments, static_cast<int>(pairs_.units - kBlockUnits * block), 0, v[p],
                     to + (i + p * items) * kBlockPlanes<A>);
      }
    }
  }

  // Computes 16 samples and 8 units.
  __device__ __forceinline__ void joint_units(SampleReader<Tile>& samples, std::int64_t first, int half,
                                              T (&v)[kPoints][2][A::kValues]) {
    const auto base = samples.take(source());
#pragma unroll
    for (int p = 0; p < kPoints; ++p) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const std::int64_t unit = first + 2 * member() + j;
        const T bias = unit < pairs_.units ? problem_.bias[point(p) * pairs_.units + unit] : T(0);
#pragma unroll
        for (int h = 0; h < 2; ++h) v[p][half][2 * h + j] = base.v[2 * h + j] + bias;
      }
    }
    for (int d = 0; d < pairs_.moving; ++d) {
      const auto direction = samples.take(source());
#pragma unroll
      for (int p = 0; p < kPoints; ++p) {
        const T along = alpha()[p * pairs_.moving + d];
#pragma unroll
        for (int i = 0; i < 4; ++i) v[p][half][i] += along * direction.v[i];
      }
    }
  }

  // Computes 16 grid points and 8 units.
  __device__ __forceinline__ void point_units(std::int64_t row, std::int64_t first, T (&v)[A::kValues]) const {
    const std::int64_t unit = first + 2 * member(), last = pairs_.samples - 1;
    const double* alpha[2] = {pairs_.alpha + min(row + group(), last) * pairs_.rank,
                              pairs_.alpha + min(row + group() + 8, last) * pairs_.rank};
    const auto part = [&](int d, int j) {
      return unit + j < pairs_.units ? pairs_.base[d * pairs_.units + unit + j] : T(0);
    };
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = part(0, i % 2);
    for (int d = 0; d < pairs_.moving; ++d) {
      const T direction[2] = {part(d + 1, 0), part(d + 1, 1)};
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] += static_cast<T>(alpha[i / 2][pairs_.directions[d]]) * direction[i % 2];
    }
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

  // partial (H, R/8) = Σ of the losses of 8 samples, four lanes a row; or stores the losses of grid points. Rows past
  // the last count nothing.
  __device__ void losses(std::int64_t first, const T* outputs) {
    constexpr int kParts = kRows / 8;
    const LossOfRows<T> of{pairs_.loss, static_cast<int>(pairs_.classes), pairs_.samples, pairs_.targets};
    for (std::int64_t i = warp(); i < pairs_.heads * kParts; i += Shape::kWarps) {
      const int row = static_cast<int>(i % kParts) * 8 + group();
      const std::int64_t n = first + (kPoints == 1 ? row : row % Tile::kSamples);
      const T* p = outputs + i / kParts * pairs_.classes * Shape::kOutputStride + row;
      const auto each = [&](const auto& f) {
        for (int c = member(); c < of.classes; c += 4) f(p[c * Shape::kOutputStride], c);
      };
      const T loss = quad_loss(of, each, kOfSamples ? min(n, pairs_.samples - 1) : 0);
      if constexpr (kOfSamples) {
        double sum = n < pairs_.samples ? static_cast<double>(loss) : 0.0;
#pragma unroll
        for (int offset = 4; offset < 32; offset *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (lane() == 0) partial()[i] = sum;
      } else if (member() == 0 && n < pairs_.samples) {
        const double spread = pairs_.loss == Loss::mean_squared_error ? problem_.variance : 0.0;
        pairs_.sums[n * pairs_.heads + i / kParts] = static_cast<double>(loss) + spread;
      }
    }
  }

  const TensorStream<T>& problem_;
  const PairLosses<T>& pairs_;
  const StreamLayout& layout_;
  WeightReader<Shape> reader_;
  SampleCopies<Tile> copies_;  // the copies made among weights
};

// Block (b, p) takes block_chunks chunks of point p, or of as many points as its tile has. The blocks of one point run
// together and share its weights in L2.
template <class Tile>
__global__ void __launch_bounds__(Tile::Shape::kThreads, 1)
    tensor_stream(const TensorStream<typename Tile::Shape::Arithmetic::Value> problem, const StreamLayout layout) {
  StreamBlock<Tile, StreamRows::samples>(problem, layout).run();
}

// Block b takes block_chunks chunks of grid points.
template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    tensor_points(const TensorStream<typename Shape::Arithmetic::Value> problem, const StreamLayout layout) {
  StreamBlock<OnePoint<Shape>, StreamRows::points>(problem, layout).run();
}

}  // namespace lossatlas::kernels
