#include "section.hpp"

#include <algorithm>

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "elementwise.cuh"
#include "pair_losses.hpp"
#include "reduce.cuh"
#include "sample_loss.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kSide = 32;  // of a transposed tile
constexpr int kLines = 8;
constexpr std::int64_t kMostRowTiles = 32768;  // per launch

// Block (column tile, y) moves 32 × 32 entries at row tiles y, y + gridDim.y, .. through shared memory, so that reads
// and writes are both contiguous.
template <class T>
__global__ void __launch_bounds__(kSide* kLines)
    transpose(const double* from, std::int64_t rows, std::int64_t columns, T* to, std::int64_t stride) {
  auto& tile = *device::dynamic_shared<T[kSide][kSide + 1]>();
  const int x = static_cast<int>(threadIdx.x);
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * kSide;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * kSide;
  for (std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kSide; first_row < rows; first_row += step) {
    for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kLines) {
      const std::int64_t row = first_row + y, column = first_column + x;
      if (row < rows && column < columns) tile[y][x] = static_cast<T>(from[row * columns + column]);
    }
    __syncthreads();  // the tile is complete
    for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kLines) {
      const std::int64_t row = first_row + x, column = first_column + y;
      if (row < rows && column < columns) to[column * stride + row] = tile[x][y];
    }
    __syncthreads();  // the tile has been read
  }
}

struct GridPoint {
  const Axis* axes;
  std::int64_t rank;
  std::int64_t first;
  double* alpha;

  __device__ void operator()(std::int64_t i) const {
    std::int64_t g = first + i;
    for (std::int64_t d = rank; d-- > 0;) {
      const Axis axis = axes[d];
      alpha[i * rank + d] = coordinate(axis, g % axis.points);
      g /= axis.points;
    }
  }
  // As src/section/grid.cpp does: the host rounds the product before it adds, whereas the compiler would fuse the two.
  static __device__ double coordinate(const Axis& axis, std::int64_t k) {
    const std::int64_t last = axis.points - 1;
    if (k == 0) return axis.lo;
    if (k == last) return axis.hi;
    const auto steps = static_cast<double>(last);
    const double range = axis.hi - axis.lo;
    if (fabs(range) < INFINITY) return __dadd_rn(axis.lo, __dmul_rn(static_cast<double>(k), range / steps));
    const double step = axis.hi / steps - axis.lo / steps;
    if (k > last / 2) return __dadd_rn(axis.hi, -__dmul_rn(static_cast<double>(last - k), step));
    return 2 * __dadd_rn(axis.lo / 2, __dmul_rn(static_cast<double>(k), step / 2));
  }
};

struct ToFloat {
  const double* from;
  float* to;
  __device__ void operator()(std::int64_t i) const { to[i] = static_cast<float>(from[i]); }
};

template <class T>
struct FormLayer {
  LayerParts<T> layer;
  const double* alpha;
  std::int64_t rank;
  T* to;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t weights = layer.out * layer.in, size = weights + layer.out;
    const double* point = alpha + i / size * rank;
    const std::int64_t entry = i % size;
    to[i] = entry < weights
                ? at(point, layer.weights, layer.weight_directions, layer.moving_weights, weights, entry)
                : at(point, layer.biases, layer.bias_directions, layer.moving_biases, layer.out, entry - weights);
  }
  static __device__ T at(const double* point, const T* parts, const std::int32_t* directions, int moving,
                         std::int64_t size, std::int64_t entry) {
    T sum = parts ? parts[entry] : T(0);
    for (int d = 0; d < moving; ++d) sum += static_cast<T>(point[directions[d]]) * parts[(d + 1) * size + entry];
    return sum;
  }
};

template <class T>
struct FillJointRows {
  JointRows<T> joint;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t unit = i % joint.units, row = i / joint.units % joint.rows;
    const std::int64_t point = i / (joint.units * joint.rows);
    const T* base = joint.base + unit * joint.samples + joint.first + row;
    T sum = base[0] + static_cast<T>(joint.bias[point * joint.units + unit]);
    for (int d = 0; d < joint.moving; ++d) {
      base += joint.units * joint.samples;
      sum += static_cast<T>(joint.alpha[point * joint.rank + joint.directions[d]]) * base[0];
    }
    joint.a[i] = scalar::activate(joint.activation, sum);
  }
};

constexpr int kChunkThreads = static_cast<int>(kChunkSamples);

template <class T>
struct LossOf {
  __device__ double operator()(const ChunkSums<T>& sums, const T* p, std::int64_t n) const {
    return static_cast<double>(sample_loss<T>(sums.loss, p, sums.classes, 1, sums.targets, n));
  }
};

struct HitOf {
  __device__ double operator()(const ChunkSums<double>& sums, const double* p, std::int64_t n) const {
    const std::int64_t label = sums.targets.labels[n];
    bool hit = true;
    for (std::int64_t c = 0; c < sums.classes; ++c) {
      // False also when either is NaN.
      if (c < label) hit = hit && p[c] < p[label];
      if (c >= label) hit = hit && p[c] <= p[label];
    }
    return hit ? 1 : 0;
  }
};

// Block (chunk, point): thread r takes sample r of the chunk, one head after another.
template <class T, class Value>
__global__ void __launch_bounds__(kChunkThreads, 2) chunk_sums(const ChunkSums<T> args, const Value value) {
  auto& partial = *device::dynamic_shared<double[kChunkThreads / 32]>();
  const std::int64_t point = blockIdx.y;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kChunkSamples + threadIdx.x;
  const std::int64_t chunk = args.first / kChunkSamples + blockIdx.x;
  for (std::int64_t head = 0; head < args.heads; ++head) {
    double sum = 0;
    if (row < args.rows) {
      const T* p = args.outputs + ((point * args.rows + row) * args.heads + head) * args.classes;
      sum = value(args, p, args.first + row);
    }
    sum = block_sum<kChunkThreads>(sum, partial);
    if (threadIdx.x == 0) args.sums[(point * args.chunks + chunk) * args.heads + head] = sum;
    __syncthreads();  // partial has been read
  }
}

template <class T, class Value>
cudaError_t launch_chunk_sums(const ChunkSums<T>& sums, const Value& value, cudaStream_t stream) {
  const auto chunks = static_cast<unsigned>((sums.rows + kChunkSamples - 1) / kChunkSamples);
  const dim3 grid(chunks, static_cast<unsigned>(sums.points));
  return device::launch(chunk_sums<T, Value>, {grid, dim3(kChunkThreads), sizeof(double[kChunkThreads / 32]), stream},
                        sums, value);
}

struct MeanOfChunks {
  const double* sums;
  std::int64_t chunks, heads;
  double samples;
  double* means;

  __device__ void operator()(std::int64_t i) const {
    const double* from = sums + i / heads * chunks * heads + i % heads;
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += from[chunk * heads];
    means[i] = sum / samples;
  }
};

template <class T>
struct StatisticLoss {
  StatisticLosses<T> args;

  __device__ void operator()(std::int64_t i) const {
    const T* p = args.outputs + i * args.classes;
    const bool entropy = args.loss == Loss::cross_entropy;
    const T loss = entropy ? scalar::cross_entropy(p, args.classes, 1, args.mean)
                           : scalar::squared_error(p, args.classes, 1, args.mean);
    args.losses[i] = static_cast<double>(loss) + (entropy ? 0.0 : args.variance);
  }
};

struct FillResiduals {
  ResidualColumns args;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i % args.rows, column = i / args.rows % args.columns;
    const std::int64_t head = i / (args.rows * args.columns);
    const std::int64_t n = row % args.samples, c = row / args.samples;
    if (c >= args.classes) {
      args.matrix[i] = 0;
      return;
    }
    const std::int64_t outputs = args.heads * args.classes, output = head * args.classes + c;
    double value = 0;
    if (args.bias_of[column] >= 0) value += args.biases[args.bias_of[column] * outputs + output];
    if (args.part_of[column] >= 0) value += args.base[(args.part_of[column] * outputs + output) * args.samples + n];
    if (column == 0) {
      value -=
          args.targets.labels ? (args.targets.labels[n] == c ? 1.0 : 0.0) : args.targets.values[n * args.classes + c];
    }
    args.matrix[i] = value;
  }
};

struct QuadraticLoss {
  ResidualColumns args;
  const double* alpha;
  double* losses;

  __device__ void operator()(std::int64_t i) const {
    const double* factor = args.matrix + i % args.heads * args.columns * args.rows;
    const double* point = alpha + i / args.heads * (args.columns - 1);
    double sum = 0;
    for (std::int64_t row = 0; row < args.columns; ++row) {
      double entry = row == 0 ? factor[0] : 0.0;
      for (std::int64_t c = row > 0 ? row : 1; c < args.columns; ++c)
        entry += factor[c * args.rows + row] * point[c - 1];
      sum += entry * entry;
    }
    losses[i] = sum / static_cast<double>(args.samples);
  }
};

}  // namespace

template <class T>
cudaError_t launch_transpose(const double* from, std::int64_t rows, std::int64_t columns, T* to, std::int64_t stride,
                             cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  const std::int64_t row_tiles = std::min<std::int64_t>((rows + kSide - 1) / kSide, kMostRowTiles);
  const dim3 grid(static_cast<unsigned>((columns + kSide - 1) / kSide), static_cast<unsigned>(row_tiles));
  return device::launch(transpose<T>, {grid, dim3(kSide, kLines), sizeof(T[kSide][kSide + 1]), stream}, from, rows,
                        columns, to, stride);
}

cudaError_t launch_grid_points(const Axis* axes, std::int64_t rank, std::int64_t first, std::int64_t count,
                               double* alpha, cudaStream_t stream) {
  return launch_for_each(count, GridPoint{axes, rank, first, alpha}, stream);
}

cudaError_t launch_to_float(const double* from, std::int64_t count, float* to, cudaStream_t stream) {
  return launch_for_each(count, ToFloat{from, to}, stream);
}

template <class T>
cudaError_t launch_form_layer(const LayerParts<T>& layer, const double* alpha, std::int64_t rank, std::int64_t points,
                              T* to, cudaStream_t stream) {
  return launch_for_each(points * layer.values(), FormLayer<T>{layer, alpha, rank, to}, stream);
}

template <class T>
cudaError_t launch_joint_rows(const JointRows<T>& joint, cudaStream_t stream) {
  return launch_for_each(joint.points * joint.rows * joint.units, FillJointRows<T>{joint}, stream);
}

template <class T>
cudaError_t launch_chunk_losses(const ChunkSums<T>& sums, cudaStream_t stream) {
  return launch_chunk_sums(sums, LossOf<T>{}, stream);
}

cudaError_t launch_chunk_hits(const ChunkSums<double>& sums, cudaStream_t stream) {
  return launch_chunk_sums(sums, HitOf{}, stream);
}

cudaError_t launch_mean_of_chunks(const double* sums, std::int64_t points, std::int64_t chunks, std::int64_t heads,
                                  std::int64_t samples, double* means, cudaStream_t stream) {
  return launch_for_each(points * heads, MeanOfChunks{sums, chunks, heads, static_cast<double>(samples), means},
                         stream);
}

template <class T>
cudaError_t launch_statistic_losses(const StatisticLosses<T>& statistics, cudaStream_t stream) {
  return launch_for_each(statistics.points * statistics.heads, StatisticLoss<T>{statistics}, stream);
}

cudaError_t launch_residual_columns(const ResidualColumns& residuals, cudaStream_t stream) {
  return launch_for_each(residuals.heads * residuals.columns * residuals.rows, FillResiduals{residuals}, stream);
}

cudaError_t launch_quadratic_losses(const ResidualColumns& factors, const double* alpha, std::int64_t points,
                                    double* losses, cudaStream_t stream) {
  return launch_for_each(points * factors.heads, QuadraticLoss{factors, alpha, losses}, stream);
}

template cudaError_t launch_transpose(const double*, std::int64_t, std::int64_t, float*, std::int64_t, cudaStream_t);
template cudaError_t launch_transpose(const double*, std::int64_t, std::int64_t, double*, std::int64_t, cudaStream_t);
template cudaError_t launch_form_layer(const LayerParts<float>&, const double*, std::int64_t, std::int64_t, float*,
                                       cudaStream_t);
template cudaError_t launch_form_layer(const LayerParts<double>&, const double*, std::int64_t, std::int64_t, double*,
                                       cudaStream_t);
template cudaError_t launch_joint_rows(const JointRows<float>&, cudaStream_t);
template cudaError_t launch_joint_rows(const JointRows<double>&, cudaStream_t);
template cudaError_t launch_chunk_losses(const ChunkSums<float>&, cudaStream_t);
template cudaError_t launch_chunk_losses(const ChunkSums<double>&, cudaStream_t);
template cudaError_t launch_statistic_losses(const StatisticLosses<float>&, cudaStream_t);
template cudaError_t launch_statistic_losses(const StatisticLosses<double>&, cudaStream_t);

}  // namespace lossatlas::kernels
