#include "pair_losses.hpp"

#include <algorithm>

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "reduce.cuh"
#include "sample_loss.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kUnits = 4;  // per thread at a time

// The shared memory of a block. The R samples are the lanes: an activation is (units, R).
template <class T, int kRows>
struct Shared {
  double* row_sums;  // (H, R): losses so far of the chunk's samples at place r of their tiles
  T* weights;        // W(α), b(α) of the later layers
  T* activations[2];

  static std::int64_t bytes(const PairLosses<T>& pairs) {
    return static_cast<std::int64_t>(sizeof(double)) * pairs.heads * kRows +
           static_cast<std::int64_t>(sizeof(T)) * (pairs.weight_values + (pairs.widths[0] + pairs.widths[1]) * kRows);
  }
  __device__ explicit Shared(const PairLosses<T>& pairs) {
    row_sums = device::dynamic_shared<double>();
    activations[0] = reinterpret_cast<T*>(row_sums + pairs.heads * kRows);
    activations[1] = activations[0] + pairs.widths[0] * kRows;
    weights = activations[1] + pairs.widths[1] * kRows;
  }
};

// to (count) = parts_0 + Σ_d α[directions[d]] parts_{d+1}.
template <class T>
__device__ void form(const T* parts, const std::int32_t* directions, int moving, const double* alpha,
                     std::int64_t count, T* to) {
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
    T sum = parts ? parts[i] : T(0);
    for (int d = 0; d < moving; ++d) sum += static_cast<T>(alpha[directions[d]]) * parts[(d + 1) * count + i];
    to[i] = sum;
  }
}

template <class T>
__device__ void form_weights(const PairLosses<T>& pairs, const double* alpha, T* weights) {
  for (int l = 0; l < pairs.depth; ++l) {
    const LayerParts<T>& layer = pairs.later[l];
    form(layer.weights, layer.weight_directions, layer.moving_weights, alpha, layer.out * layer.in, weights);
    weights += layer.out * layer.in;
    form(layer.biases, layer.bias_directions, layer.moving_biases, alpha, layer.out, weights);
    weights += layer.out;
  }
}

// a (units, R) = φ(A_0 + Σ_d α_d A_d + B) for samples first..; rows past the data repeat the last sample.
template <class T, int kRows>
__device__ void joint_layer(const PairLosses<T>& pairs, const double* alpha, const double* bias, std::int64_t first,
                            T* a) {
  for (std::int64_t i = threadIdx.x; i < pairs.units * kRows; i += kThreads) {
    const std::int64_t unit = i / kRows;
    const std::int64_t n = min(first + i % kRows, pairs.samples - 1);
    const T* base = pairs.base + unit * pairs.samples + n;
    T sum = base[0] + static_cast<T>(bias[unit]);
    for (int d = 0; d < pairs.moving; ++d) {
      base += pairs.units * pairs.samples;
      sum += static_cast<T>(alpha[pairs.directions[d]]) * base[0];
    }
    a[i] = scalar::activate(pairs.activation, sum);
  }
}

// y (out, R) = φ(W x + b), x (in, R). A warp computes kUnits units, a lane R/32 samples: weights are broadcast, and
// samples lie in different banks.
template <class T, int kRows>
__device__ void later_layer(const LayerParts<T>& layer, const T* weights, const T* x, T* y) {
  constexpr int kLanes = kRows / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const T* bias = weights + layer.out * layer.in;
  for (std::int64_t first = warp * kUnits; first < layer.out; first += kWarps * kUnits) {
    T sum[kUnits][kLanes];
    const T* row[kUnits];
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const std::int64_t unit = min(first + u, layer.out - 1);
      row[u] = weights + unit * layer.in;
#pragma unroll
      for (int v = 0; v < kLanes; ++v) sum[u][v] = bias[unit];
    }
    for (std::int64_t k = 0; k < layer.in; ++k) {
      T sample[kLanes];
#pragma unroll
      for (int v = 0; v < kLanes; ++v) sample[v] = x[k * kRows + lane + 32 * v];
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        const T weight = row[u][k];
#pragma unroll
        for (int v = 0; v < kLanes; ++v) sum[u][v] += weight * sample[v];
      }
    }
    T* to = y + first * kRows + lane;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
#pragma unroll
      for (int v = 0; v < kLanes; ++v) {
        if (first + u < layer.out) to[u * kRows + 32 * v] = sum[u][v];
      }
    }
    if (layer.activation == Activation::identity) continue;
    const int entries = static_cast<int>(min(layer.out - first, static_cast<std::int64_t>(kUnits))) * kLanes;
#pragma unroll 1
    for (int i = 0; i < entries; ++i) to[i * 32] = scalar::activate(layer.activation, to[i * 32]);
  }
}

// Adds the losses of samples first.. to the sums of their places. One thread serves a place in every tile.
template <class T, int kRows>
__device__ void add_losses(const PairLosses<T>& pairs, std::int64_t first, const T* outputs, double* row_sums) {
  for (std::int64_t i = threadIdx.x; i < pairs.heads * kRows; i += kThreads) {
    const std::int64_t n = first + i % kRows;
    if (n >= pairs.samples) continue;
    const T* p = outputs + i / kRows * pairs.classes * kRows + i % kRows;
    row_sums[i] += static_cast<double>(sample_loss<T>(pairs.loss, p, pairs.classes, kRows, pairs.targets, n));
  }
}

// sums (H) = Σ_r row_sums (H, R), a warp for each head.
template <int kRows>
__device__ void reduce_rows(const double* row_sums, std::int64_t heads, double* sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (std::int64_t head = threadIdx.x / 32; head < heads; head += kWarps) {
    double sum = row_sums[head * kRows + lane];
    if constexpr (kRows == 64) sum += row_sums[head * kRows + lane + 32];
    sum = warp_sum(sum);
    if (lane == 0) sums[head] = sum;
  }
}

// Computes the chunk of one point: tiles of R samples through joint layer, later layers and loss.
template <class T, int kRows>
__device__ void chunk_losses(const PairLosses<T>& pairs, const Shared<T, kRows>& shared, std::int64_t point,
                             std::int64_t chunk) {
  const double* alpha = pairs.alpha + point * pairs.rank;
  for (std::int64_t i = threadIdx.x; i < pairs.heads * kRows; i += kThreads) shared.row_sums[i] = 0;
  const std::int64_t begin = chunk * kChunkSamples;
  const std::int64_t end = min(begin + kChunkSamples, pairs.samples);
  for (std::int64_t first = begin; first < end; first += kRows) {
    joint_layer<T, kRows>(pairs, alpha, pairs.bias + point * pairs.units, first, shared.activations[0]);
    __syncthreads();  // the joint layer and the weights are complete
    const T* weights = shared.weights;
    for (int l = 0; l < pairs.depth; ++l) {
      const LayerParts<T>& layer = pairs.later[l];
      later_layer<T, kRows>(layer, weights, shared.activations[l % 2], shared.activations[(l + 1) % 2]);
      weights += layer.out * (layer.in + 1);
      __syncthreads();  // the layer is complete and its input may be overwritten
    }
    add_losses<T, kRows>(pairs, first, shared.activations[pairs.depth % 2], shared.row_sums);
    __syncthreads();  // the outputs have been read, the sums written
  }
  reduce_rows<kRows>(shared.row_sums, pairs.heads, pairs.sums + (point * pairs.chunks + chunk) * pairs.heads);
  __syncthreads();  // the sums have been read
}

// Block b takes block_points points and block_chunks chunks. It forms moving weights once per point, fixed ones
// once. Half as many rows are used if one block needs all the shared memory of a multiprocessor.
template <class T, int kRows, bool kLaterMove>
__global__ void __launch_bounds__(kThreads, kRows / 32) pair_losses(const PairLosses<T> pairs) {
  const Shared<T, kRows> shared(pairs);
  const std::int64_t chunk_groups = (pairs.chunks + pairs.block_chunks - 1) / pairs.block_chunks;
  const std::int64_t first_point = blockIdx.x / chunk_groups * pairs.block_points;
  const std::int64_t last_point = min(first_point + pairs.block_points, pairs.points);
  const std::int64_t first_chunk = blockIdx.x % chunk_groups * pairs.block_chunks;
  const std::int64_t last_chunk = min(first_chunk + pairs.block_chunks, pairs.chunks);
  if constexpr (!kLaterMove) form_weights(pairs, pairs.alpha, shared.weights);
  for (std::int64_t point = first_point; point < last_point; ++point) {
    if constexpr (kLaterMove) form_weights(pairs, pairs.alpha + point * pairs.rank, shared.weights);
    for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) chunk_losses(pairs, shared, point, chunk);
  }
}

template <int kRows, class T>
cudaError_t launch(const PairLosses<T>& pairs, cudaStream_t stream) {
  const std::int64_t blocks = (pairs.points + pairs.block_points - 1) / pairs.block_points *
                              ((pairs.chunks + pairs.block_chunks - 1) / pairs.block_chunks);
  const device::LaunchShape shape{dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                                  static_cast<std::size_t>(Shared<T, kRows>::bytes(pairs)), stream};
  return pairs.later_move ? device::launch(pair_losses<T, kRows, true>, shape, pairs)
                          : device::launch(pair_losses<T, kRows, false>, shape, pairs);
}

}  // namespace

template <class T>
std::int64_t pair_tile(const PairLosses<T>& pairs, std::int64_t shared_limit) {
  if (Shared<T, 64>::bytes(pairs) <= shared_limit) return 64;
  return Shared<T, 32>::bytes(pairs) <= shared_limit ? 32 : 0;
}

template <class T>
cudaError_t launch_pair_losses(const PairLosses<T>& pairs, std::int64_t shared_limit, cudaStream_t stream) {
  return pair_tile(pairs, shared_limit) == 64 ? launch<64>(pairs, stream) : launch<32>(pairs, stream);
}

template std::int64_t pair_tile(const PairLosses<float>&, std::int64_t);
template std::int64_t pair_tile(const PairLosses<double>&, std::int64_t);
template cudaError_t launch_pair_losses(const PairLosses<float>&, std::int64_t, cudaStream_t);
template cudaError_t launch_pair_losses(const PairLosses<double>&, std::int64_t, cudaStream_t);

}  // namespace lossatlas::kernels
