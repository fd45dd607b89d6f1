#include "point_chain.hpp"

#include <algorithm>

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "scalar.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kDepth = 32;         // inputs summed before they join the rest: rounding grows with kDepth + in / kDepth
constexpr int kScratchPoints = 8;  // of a block whose activations lie in global memory

// output (out, kPoints) = φ(W(α_p) input + b(α_p)), input (in, kPoints), α_p at alpha[p]. A thread computes whole
// units, so that the weights of a warp are read from adjacent addresses and serve kPoints points.
template <class T, int kPoints>
__device__ void chain_layer(const LayerParts<T>& layer, const double* const (&alpha)[kPoints], const T* input,
                            T* output) {
  for (std::int64_t unit = threadIdx.x; unit < layer.out; unit += kThreads) {
    T sum[kPoints];
#pragma unroll
    for (int p = 0; p < kPoints; ++p) sum[p] = layer.biases ? layer.biases[unit] : T(0);
    for (int d = 0; d < layer.moving_biases; ++d) {
      const T bias = layer.biases[(d + 1) * layer.out + unit];
#pragma unroll
      for (int p = 0; p < kPoints; ++p) sum[p] += static_cast<T>(alpha[p][layer.bias_directions[d]]) * bias;
    }
    for (int d = 0; d <= layer.moving_weights; ++d) {
      T factor[kPoints];
#pragma unroll
      for (int p = 0; p < kPoints; ++p) {
        factor[p] = d == 0 ? T(1) : static_cast<T>(alpha[p][layer.weight_directions[d - 1]]);
      }
      const T* weights = layer.weights + d * layer.in * layer.out + unit;
      for (std::int64_t begin = 0; begin < layer.in; begin += kDepth) {
        const std::int64_t end = begin + kDepth < layer.in ? begin + kDepth : layer.in;
        T part[kPoints] = {};
        for (std::int64_t k = begin; k < end; ++k) {
          const T weight = weights[k * layer.out];
#pragma unroll
          for (int p = 0; p < kPoints; ++p) part[p] += weight * input[k * kPoints + p];
        }
#pragma unroll
        for (int p = 0; p < kPoints; ++p) sum[p] += factor[p] * part[p];
      }
    }
    T* to = output + unit * kPoints;
#pragma unroll
    for (int p = 0; p < kPoints; ++p) to[p] = sum[p];
#pragma unroll 1
    for (int p = 0; p < kPoints; ++p) to[p] = scalar::activate(layer.activation, to[p]);
  }
}

// Block b computes points kPoints·b .. through all layers; places past the end repeat the last point.
template <class T, int kPoints>
__global__ void __launch_bounds__(kThreads, 2) point_chain(const PointChain<T> chain, T* scratch) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kPoints;
  const double* alpha[kPoints];
#pragma unroll
  for (int p = 0; p < kPoints; ++p) {
    const std::int64_t point = first + p < chain.points ? first + p : chain.points - 1;
    alpha[p] = chain.alpha + point * chain.rank;
  }
  const std::int64_t size = (chain.widths[0] + chain.widths[1]) * kPoints;
  T* const even = scratch ? scratch + static_cast<std::int64_t>(blockIdx.x) * size : device::dynamic_shared<T>();
  T* const odd = even + chain.widths[0] * kPoints;
  for (int l = 0; l < chain.depth; ++l) {
    chain_layer<T, kPoints>(chain.layers[l], alpha, l % 2 == 0 ? odd : even, l % 2 == 0 ? even : odd);
    __syncthreads();  // the layer is complete and its input may be overwritten
  }
  const T* last = chain.depth % 2 == 1 ? even : odd;
  const std::int64_t out = chain.layers[chain.depth - 1].out;
  for (std::int64_t i = threadIdx.x; i < out * kPoints; i += kThreads) {
    const std::int64_t p = i / out;
    if (first + p < chain.points) chain.outputs[(first + p) * out + i % out] = last[i % out * kPoints + p];
  }
}

template <class T>
std::int64_t bytes_of_point(const PointChain<T>& chain) {
  return (chain.widths[0] + chain.widths[1]) * static_cast<std::int64_t>(sizeof(T));
}

// Points of a block that fit in shared memory: 8, 4, 2 or 1; 0 if not even one fits.
std::int64_t points_in_shared(std::int64_t bytes, std::int64_t limit) {
  for (const std::int64_t points : {8, 4, 2, 1}) {
    if (points * bytes <= limit) return points;
  }
  return 0;
}

template <int kPoints, class T>
cudaError_t launch(const PointChain<T>& chain, T* scratch, std::int64_t shared_bytes, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((chain.points + kPoints - 1) / kPoints);
  return device::launch(point_chain<T, kPoints>,
                        {dim3(blocks), dim3(kThreads), static_cast<std::size_t>(shared_bytes), stream}, chain, scratch);
}

}  // namespace

template <class T>
std::int64_t point_chain_scratch(const PointChain<T>& chain, std::int64_t shared_limit) {
  if (points_in_shared(bytes_of_point(chain), shared_limit) > 0) return 0;
  const std::int64_t blocks = (chain.points + kScratchPoints - 1) / kScratchPoints;
  return blocks * kScratchPoints * (chain.widths[0] + chain.widths[1]);
}

template <class T>
cudaError_t launch_point_chain(const PointChain<T>& chain, T* scratch, std::int64_t shared_limit, cudaStream_t stream) {
  const std::int64_t bytes = bytes_of_point(chain);
  switch (points_in_shared(bytes, shared_limit)) {
    case 8:
      return launch<8, T>(chain, nullptr, 8 * bytes, stream);
    case 4:
      return launch<4, T>(chain, nullptr, 4 * bytes, stream);
    case 2:
      return launch<2, T>(chain, nullptr, 2 * bytes, stream);
    case 1:
      return launch<1, T>(chain, nullptr, bytes, stream);
  }
  return launch<kScratchPoints, T>(chain, scratch, 0, stream);
}

template std::int64_t point_chain_scratch(const PointChain<float>&, std::int64_t);
template std::int64_t point_chain_scratch(const PointChain<double>&, std::int64_t);
template cudaError_t launch_point_chain(const PointChain<float>&, float*, std::int64_t, cudaStream_t);
template cudaError_t launch_point_chain(const PointChain<double>&, double*, std::int64_t, cudaStream_t);

}  // namespace lossatlas::kernels
