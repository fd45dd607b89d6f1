#include "tensor_pairs.hpp"

#include <algorithm>

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "elementwise.cuh"
#include "tensor_layers.cuh"
#include "tensor_stages.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kThreads = kPairThreads, kWarps = kPairWarps;

// kGroups: points of a warp that share a fragment of weights. kBlocks: blocks per multiprocessor; two hide each other's
// waits, one may use all registers. One table serves all architectures, which have equally many registers per thread
// and per multiprocessor; their shared memory decides about stages, see TensorShape::choose_stages().
template <class Arithmetic, int kWidth>
struct TensorPolicy;
template <>  // activations in f64 take more than the 128 registers that two blocks leave
struct TensorPolicy<DoubleArithmetic<16>, 32> {
  static constexpr int kGroups = 1, kBlocks = 1;
};
template <>  // 128 registers of sums and inputs
struct TensorPolicy<DoubleArithmetic<16>, 64> {
  static constexpr int kGroups = 1, kBlocks = 1;
};
template <>  // 16 rows would take 256 registers
struct TensorPolicy<DoubleArithmetic<8>, 128> {
  static constexpr int kGroups = 1, kBlocks = 1;
};
template <>  // activations take longer than products, so two blocks beat two points
struct TensorPolicy<Tf32x2Arithmetic, 32> {
  static constexpr int kGroups = 1, kBlocks = 2;
};
template <>  // two points pay for splitting a fragment; 128 registers of sums and inputs
struct TensorPolicy<Tf32x2Arithmetic, 64> {
  static constexpr int kGroups = 2, kBlocks = 1;
};
template <>  // 128 registers of sums and inputs
struct TensorPolicy<Tf32x2Arithmetic, 128> {
  static constexpr int kGroups = 1, kBlocks = 1;
};
template <>  // shared memory takes two cycles per fragment, the tensor cores one per product with it
struct TensorPolicy<HalfArithmetic, 32> {
  static constexpr int kGroups = 2, kBlocks = 2;
};
template <>  // the same
struct TensorPolicy<HalfArithmetic, 64> {
  static constexpr int kGroups = 2, kBlocks = 1;
};
template <>  // 192 registers of sums and inputs would spill on sm_80
struct TensorPolicy<HalfArithmetic, 128> {
  static constexpr int kGroups = 1, kBlocks = 1;
};

// The shared memory of a block: TensorShape::shared_bytes().
template <class Arithmetic>
struct Shared {
  using T = typename Arithmetic::Value;
  static constexpr int kTiles = kChunkSamples / Arithmetic::kRows;  // of a chunk

  typename Arithmetic::Weight* weights;
  T* biases;
  double* sums;   // (points, H, tiles)
  T* alpha;       // (points, moving): of the joint layer
  int* in_range;  // (points, tiles)
  T* stages;      // (stages, parts, blocks, fragment): A_d
  TensorLayer<Arithmetic>* layers;
  static_assert(sizeof(*layers) <= kTensorLayerBytes);

  __device__ explicit Shared(const TensorShape& shape) {
    weights = device::dynamic_shared<typename Arithmetic::Weight>();
    biases = reinterpret_cast<T*>(weights + shape.weights);
    sums = reinterpret_cast<double*>(biases + shape.biases);
    layers = reinterpret_cast<TensorLayer<Arithmetic>*>(sums + kTensorBlockPoints * shape.heads * kTiles);
    alpha = reinterpret_cast<T*>(layers + shape.depth);
    in_range = reinterpret_cast<int*>(alpha + kTensorBlockPoints * shape.moving);
    stages = reinterpret_cast<T*>(device::dynamic_shared<unsigned char>() + shape.fixed_bytes());
  }
};

// The grid points first..first+count−1 of a block, and its chunk.
struct BlockShare {
  std::int64_t first_point;
  int points;
  std::int64_t chunk;
};

// Tiles of a chunk.
template <class Arithmetic>
__device__ int chunk_tiles(const PairLosses<typename Arithmetic::Value>& pairs, std::int64_t chunk) {
  const std::int64_t samples = min(pairs.samples - chunk * kChunkSamples, kChunkSamples);
  return static_cast<int>(samples + Arithmetic::kRows - 1) / Arithmetic::kRows;
}

template <class Arithmetic>
__device__ void load_layers(const TensorPairs<typename Arithmetic::Value>& args, const Shared<Arithmetic>& shared) {
  using T = typename Arithmetic::Value;
  const int thread = static_cast<int>(threadIdx.x);
  auto* weights = shared.weights;
  T* biases = shared.biases;
  for (int l = 0; l < args.pairs.depth; ++l) {
    const LayerParts<T>& layer = args.pairs.later[l];
    const T weight_scale = args.weight_scales != nullptr ? static_cast<T>(args.weight_scales[l]) : T(1);
    const auto in = static_cast<int>(layer.in), out = static_cast<int>(layer.out);
    const T scale = T(1) / weight_scale;
    pack_weights<Arithmetic>(
        in, out, thread, kThreads, [&](int input, int output) { return layer.weights[output * in + input] * scale; },
        weights);
    const int padded = static_cast<int>(blocks_of(out) * kBlockUnits);
    for (int i = thread; i < padded; i += kThreads) {
      biases[i] = i < out && layer.biases != nullptr ? layer.biases[i] : T(0);
    }
    if (thread == 0) {
      shared.layers[l] = {
          weights, biases,          weight_scale, static_cast<int>(blocks_of(in)), static_cast<int>(tiles_of(out)),
          out,     layer.activation};
    }
    weights += packed_weights(in, out);
    biases += padded;
  }
}

template <class Arithmetic>
__device__ void load_alpha(const PairLosses<typename Arithmetic::Value>& pairs, const BlockShare& share,
                           const Shared<Arithmetic>& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < share.points * pairs.moving; i += kThreads) {
    const std::int64_t point = share.first_point + i / pairs.moving;
    shared.alpha[i] =
        static_cast<typename Arithmetic::Value>(pairs.alpha[point * pairs.rank + pairs.directions[i % pairs.moving]]);
  }
}

// A lane's values in a packed block of A_d.
template <class Arithmetic>
__device__ __forceinline__ void load_samples(const typename Arithmetic::Value* fragment,
                                             typename Arithmetic::Value (&x)[2][Arithmetic::kValues]) {
  constexpr int kValues = Arithmetic::kValues;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (sizeof(typename Arithmetic::Value) == 8) {
#pragma unroll
    for (int plane = 0; plane < kValues; ++plane) {
      const double2 pair = reinterpret_cast<const double2*>(fragment)[32 * plane + lane];
      x[2 * plane / kValues][2 * plane % kValues] = pair.x;
      x[2 * plane / kValues][2 * plane % kValues + 1] = pair.y;
    }
  } else {
#pragma unroll
    for (int q = 0; q < 2; ++q) {
      const float4 four = reinterpret_cast<const float4*>(fragment)[32 * q + lane];
      x[q][0] = four.x, x[q][1] = four.y, x[q][2] = four.z, x[q][3] = four.w;
    }
  }
}

// The α of the block's joint layer in shared memory, B in global memory, and the points of a warp's groups.
template <class T, int kGroups>
struct GroupPoints {
  const T* alpha;  // (points, moving)
  const T* bias;   // (points, units)
  int point[kGroups];
};

// Inputs of the first later layer: one block of φ(A_0 + Σ_d α_d A_d + B) for one tile of samples in a stage, at each
// group's point.
template <class Arithmetic, int kGroups>
__device__ __forceinline__ void joint_inputs(const PairLosses<typename Arithmetic::Value>& pairs,
                                             const typename Arithmetic::Value* samples, int part, int block,
                                             const GroupPoints<typename Arithmetic::Value, kGroups>& points,
                                             RowMaxima<Arithmetic, kGroups>& maxima,
                                             typename Arithmetic::Inputs (&inputs)[kGroups]) {
  using T = typename Arithmetic::Value;
  constexpr int kValues = Arithmetic::kValues;
  const int member = static_cast<int>(threadIdx.x) % 4;
  T x[2][kValues], z[kGroups][2][kValues];
  load_samples<Arithmetic>(samples, x);
#pragma unroll
  for (int r = 0; r < kGroups; ++r) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int64_t unit = kBlockUnits * block + 8 * (i / 2) + 2 * member + i % 2;
      const T bias = unit < pairs.units ? points.bias[points.point[r] * pairs.units + unit] : T(0);
#pragma unroll
      for (int h = 0; h < kValues / 2; ++h) z[r][i / 2][2 * h + i % 2] = x[i / 2][2 * h + i % 2] + bias;
    }
  }
  for (int d = 0; d < pairs.moving; ++d) {
    samples += part;
    load_samples<Arithmetic>(samples, x);
#pragma unroll
    for (int r = 0; r < kGroups; ++r) {
      const T alpha = points.alpha[points.point[r] * pairs.moving + d];
#pragma unroll
      for (int i = 0; i < 2 * kValues; ++i) z[r][i / kValues][i % kValues] += alpha * x[i / kValues][i % kValues];
    }
  }
  const int left = static_cast<int>(min(pairs.units - kBlockUnits * block, static_cast<std::int64_t>(kBlockUnits)));
#pragma unroll
  for (int r = 0; r < kGroups; ++r) {
    activate_block<Arithmetic>(pairs.activation, z[r]);
    clear_padding<Arithmetic>(left, z[r]);
    maxima.add(r, z[r]);
    inputs[r] = Arithmetic::to_inputs(z[r]);
  }
}

// The sums of the first later layer, from the A_d of the warp's tile, stage after stage. A warp without a tile only
// passes the barriers.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void first_layer(const PairLosses<typename Arithmetic::Value>& pairs,
                                            const TensorLayer<Arithmetic>& layer, const WarpGrid& grid,
                                            SampleStages<Arithmetic>& stages, bool has_tile,
                                            const GroupPoints<typename Arithmetic::Value, kGroups>& points,
                                            RowMaxima<Arithmetic, kGroups>& maxima,
                                            TensorSums<Arithmetic, kTiles, kGroups>& sums) {
  const int units = grid.stage_units(), mine = static_cast<int>(threadIdx.x) / 32 / grid.points * units;
  sums.clear();
#pragma unroll 1
  for (int first = 0; first < layer.blocks; first += units) {
    const auto* samples = stages.take() + mine * SampleStages<Arithmetic>::kFragment;
    const int last = has_tile ? min(first + units, layer.blocks) : 0;
#pragma unroll 1
    for (int block = first; block < last; ++block, samples += SampleStages<Arithmetic>::kFragment) {
      typename Arithmetic::Inputs inputs[kGroups];
      joint_inputs<Arithmetic, kGroups>(pairs, samples, stages.part(), block, points, maxima, inputs);
      sums.add_block(layer.weights + static_cast<std::int64_t>(block) * layer.tiles * kFragmentWeights, layer.tiles,
                     inputs);
    }
  }
}

// From the sums of the first later layer to the outputs. in_range: for each group, whether all activations are in
// range.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void other_layers(const TensorLayer<Arithmetic>* layers, int depth,
                                             RowMaxima<Arithmetic, kGroups>& maxima,
                                             TensorSums<Arithmetic, kTiles, kGroups>& sums, bool (&in_range)[kGroups]) {
#pragma unroll
  for (int r = 0; r < kGroups; ++r) in_range[r] = maxima.in_range(r);
#pragma unroll 1
  for (int l = 1; l < depth; ++l) {
    typename Arithmetic::Inputs inputs[kTiles / 2][kGroups];
    hidden_inputs(layers[l - 1], sums, maxima, inputs);
#pragma unroll
    for (int r = 0; r < kGroups; ++r) in_range[r] = maxima.in_range(r) && in_range[r];
    multiply_layer(layers[l], inputs, sums);
  }
  finish_outputs(layers[depth - 1], sums);
}

// Writes the losses of tile `tile` of the chunk at each group's point, from `first` on, to the sums in shared memory.
template <class Arithmetic, int kTiles, int kGroups>
__device__ __forceinline__ void store_losses(const PairLosses<typename Arithmetic::Value>& pairs,
                                             const BlockShare& share, const Shared<Arithmetic>& shared, int tile,
                                             int first, const TensorSums<Arithmetic, kTiles, kGroups>& sums,
                                             const bool (&in_range)[kGroups]) {
  constexpr int kTilesOfChunk = Shared<Arithmetic>::kTiles;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto heads = static_cast<int>(pairs.heads);
  const LossOfRows<typename Arithmetic::Value> of{pairs.loss, static_cast<int>(pairs.classes), pairs.samples,
                                                  pairs.targets};
  const std::int64_t row = share.chunk * kChunkSamples + tile * Arithmetic::kRows;
#pragma unroll
  for (int r = 0; r < kGroups; ++r) {
    const int point = first + r;
#pragma unroll 1
    for (int head = 0; head < heads; ++head) {
      const double sum = tile_loss<Arithmetic, kTiles>(of, sums.d[r], head, row);
      if (lane == 0 && point < share.points) shared.sums[(point * heads + head) * kTilesOfChunk + tile] = sum;
    }
    if (lane == 0 && point < share.points) shared.in_range[point * kTilesOfChunk + tile] = in_range[r];
  }
}

// Makes pass after pass over the points and, in each, round after round over the tiles of the chunk.
template <class Arithmetic, int kWidth>
__device__ void run_block(const TensorPairs<typename Arithmetic::Value>& args, const BlockShare& share,
                          const Shared<Arithmetic>& shared, const WarpGrid& grid) {
  using T = typename Arithmetic::Value;
  constexpr int kGroups = TensorPolicy<Arithmetic, kWidth>::kGroups;
  const PairLosses<T>& pairs = args.pairs;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int pass_points = grid.points * kGroups, tiles = chunk_tiles<Arithmetic>(pairs, share.chunk);
  const int rounds = (tiles + grid.tiles() - 1) / grid.tiles();
  SampleStages<Arithmetic> stages(args, shared.stages, grid, rounds, share.chunk * Shared<Arithmetic>::kTiles);
  stages.start((share.points + pass_points - 1) / pass_points * rounds);
#pragma unroll 1
  for (int pass = 0; pass < share.points; pass += pass_points) {
    const int first = pass + warp % grid.points * kGroups;
    GroupPoints<T, kGroups> points{shared.alpha, args.bias + share.first_point * pairs.units, {}};
#pragma unroll
    for (int r = 0; r < kGroups; ++r) points.point[r] = min(first + r, share.points - 1);
#pragma unroll 1
    for (int tile = warp / grid.points; tile / grid.tiles() < rounds; tile += grid.tiles()) {
      const bool works = tile < tiles && first < share.points;
      RowMaxima<Arithmetic, kGroups> maxima;
      TensorSums<Arithmetic, kWidth / 8, kGroups> sums;
      first_layer<Arithmetic, kWidth / 8, kGroups>(pairs, shared.layers[0], grid, stages, works, points, maxima, sums);
      if (!works) continue;
      bool in_range[kGroups];
      other_layers<Arithmetic, kWidth / 8, kGroups>(shared.layers, pairs.depth, maxima, sums, in_range);
      store_losses<Arithmetic, kWidth / 8, kGroups>(pairs, share, shared, tile, first, sums, in_range);
    }
  }
}

// Adds up the tiles' sums for each of the block's points, in order.
template <class Arithmetic>
__device__ void reduce_tiles(const TensorPairs<typename Arithmetic::Value>& args, const BlockShare& share,
                             const Shared<Arithmetic>& shared) {
  constexpr int kTiles = Shared<Arithmetic>::kTiles;
  const auto& pairs = args.pairs;
  const auto heads = static_cast<int>(pairs.heads);
  const int tiles = chunk_tiles<Arithmetic>(pairs, share.chunk);
  for (int i = static_cast<int>(threadIdx.x); i < share.points * heads; i += kThreads) {
    double sum = 0;
    for (int tile = 0; tile < tiles; ++tile) sum += shared.sums[i * kTiles + tile];
    pairs.sums[((share.first_point + i / heads) * pairs.chunks + share.chunk) * heads + i % heads] = sum;
  }
  if constexpr (Arithmetic::kChecksRange) {
    for (int i = static_cast<int>(threadIdx.x); i < share.points; i += kThreads) {
      int all = 1;
      for (int tile = 0; tile < tiles; ++tile) all &= shared.in_range[i * kTiles + tile];
      if (!all) atomicMax(&args.flags[share.first_point + i], 1);
    }
  }
}

// Block b takes block_points points and one chunk of samples, a warp 16 samples (8 in wide f64) and kGroups points at a
// time. Weights stay in shared memory, A_d are copied once for all warps, activations stay in registers, and only the
// sums are written.
template <class Arithmetic, int kWidth>
__global__ void __launch_bounds__(kThreads, TensorPolicy<Arithmetic, kWidth>::kBlocks)
    tensor_pairs(const TensorPairs<typename Arithmetic::Value> args, const WarpGrid grid) {
  const Shared<Arithmetic> shared(args.shape);
  BlockShare share;
  share.first_point = blockIdx.x / args.pairs.chunks * args.pairs.block_points;
  share.points = static_cast<int>(min(args.pairs.block_points, args.pairs.points - share.first_point));
  share.chunk = blockIdx.x % args.pairs.chunks;
  load_layers(args, shared);
  load_alpha(args.pairs, share, shared);
  __syncthreads();  // weights, biases, layers and α are complete
  run_block<Arithmetic, kWidth>(args, share, shared, grid);
  __syncthreads();  // every warp's sums are
  reduce_tiles(args, share, shared);
}

template <class Arithmetic, int kWidth>
cudaError_t launch(const TensorPairs<typename Arithmetic::Value>& args, cudaStream_t stream) {
  const auto& pairs = args.pairs;
  const std::int64_t blocks = (pairs.points + pairs.block_points - 1) / pairs.block_points * pairs.chunks;
  WarpGrid grid{kWarps, static_cast<int>(args.shape.stage_blocks)};
  while (kWarps / grid.points < grid.blocks &&
         grid.points / 2 * TensorPolicy<Arithmetic, kWidth>::kGroups >= pairs.block_points) {
    grid.points /= 2;
  }
  const device::LaunchShape shape{dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                                  static_cast<std::size_t>(args.shape.shared_bytes()), stream};
  return device::launch(tensor_pairs<Arithmetic, kWidth>, shape, args, grid);
}

template <class Arithmetic>
cudaError_t launch_narrow(const TensorPairs<typename Arithmetic::Value>& args, cudaStream_t stream) {
  return args.shape.width <= 32 ? launch<Arithmetic, 32>(args, stream) : launch<Arithmetic, 64>(args, stream);
}

// Writes to[(tile · blocks + block) · fragment + value], in the order in which load_samples() reads.
template <class T>
struct PackSamples {
  const double* from;
  std::int64_t units, samples, rows;
  T* to;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t blocks = blocks_of(units), fragment = rows * kBlockUnits;
    const std::int64_t block = i / fragment % blocks, tile = i / fragment / blocks;
    constexpr std::int64_t kEach = 16 / sizeof(T);  // values of a plane in a lane
    const std::int64_t lane = i % fragment / kEach % 32;
    const std::int64_t value = i % fragment / (32 * kEach) * kEach + i % kEach;  // of the lane
    const std::int64_t of_tile = value % (rows / 4);
    const std::int64_t unit = block * kBlockUnits + value / (rows / 4) * 8 + lane % 4 * 2 + of_tile % 2;
    const std::int64_t n = min(tile * rows + lane / 4 + of_tile / 2 * 8, samples - 1);
    to[i] = unit < units ? static_cast<T>(from[n * units + unit]) : T(0);
  }
};

}  // namespace

std::int64_t packed_samples(std::int64_t units, std::int64_t samples, std::int64_t rows) {
  return (samples + rows - 1) / rows * rows * blocks_of(units) * kBlockUnits;
}

template <class T>
cudaError_t launch_pack_samples(const double* from, std::int64_t units, std::int64_t samples, std::int64_t rows, T* to,
                                cudaStream_t stream) {
  return launch_for_each(packed_samples(units, samples, rows), PackSamples<T>{from, units, samples, rows, to}, stream);
}

template <>
cudaError_t launch_tensor_pairs(const TensorPairs<double>& pairs, cudaStream_t stream) {
  return pairs.shape.width <= 64 ? launch_narrow<DoubleArithmetic<16>>(pairs, stream)
                                 : launch<DoubleArithmetic<8>, 128>(pairs, stream);
}

template <>
cudaError_t launch_tensor_pairs(const TensorPairs<float>& pairs, cudaStream_t stream) {
  if (pairs.shape.operands == Operands::half) {
    return pairs.shape.width <= 64 ? launch_narrow<HalfArithmetic>(pairs, stream)
                                   : launch<HalfArithmetic, 128>(pairs, stream);
  }
  return pairs.shape.width <= 64 ? launch_narrow<Tf32x2Arithmetic>(pairs, stream)
                                 : launch<Tf32x2Arithmetic, 128>(pairs, stream);
}

template cudaError_t launch_pack_samples(const double*, std::int64_t, std::int64_t, std::int64_t, float*, cudaStream_t);
template cudaError_t launch_pack_samples(const double*, std::int64_t, std::int64_t, std::int64_t, double*,
                                         cudaStream_t);

}  // namespace lossatlas::kernels
