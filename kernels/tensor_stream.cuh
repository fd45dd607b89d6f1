// The kernels of tensor_stream.hpp. A block has R rows of a chunk at a time, either samples of a grid point or grid
// points, and its warps divide the outputs of each layer.
//
//   a = φ(A_0 + Σ_d α_d A_d + B)   the joint layer, of grid points φ(b(α));   then the later layers and the losses.
#pragma once

#include "tensor_stream_products.cuh"

namespace lossatlas::kernels {

/// Replaces SampleReader where rows are grid points.
struct NoReader {
  template <class Source>
  __device__ NoReader(const Source&, int) {}
};

/// What the threads of a block do together; each thread has one object.
template <class Tile, StreamRows kRowsOf>
class StreamBlock : StreamProducts<Tile, kRowsOf> {
  using Products = StreamProducts<Tile, kRowsOf>;
  using Products::activate, Products::alpha, Products::arena, Products::begin_samples, Products::biases,
      Products::check_range, Products::copies_, Products::exists, Products::finish, Products::finish_block,
      Products::finish_outputs, Products::first_chunk, Products::hidden, Products::kCopiesAmongWeights,
      Products::kOfSamples, Products::kPoints, Products::kRows, Products::layout_, Products::load_weights,
      Products::maxima, Products::pairs_, Products::partial, Products::point, Products::problem_, Products::source,
      Products::start_layer, Products::totals;
  using typename Products::A;
  using typename Products::Shape;
  using typename Products::T;
  static constexpr int kChunkFragments = kChunkSamples / kStreamRows;

 public:
  __device__ StreamBlock(const TensorStream<T>& problem, const StreamLayout& layout) : Products(problem, layout) {
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
        this->template run_layer<1>(layer, l, high);
      } else {
        this->template run_layer<Shape::kFragments>(layer, l, high);
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
