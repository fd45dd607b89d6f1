// Forms weights, packed as the tensor cores take them.
#include <cmath>
#include <type_traits>

#include <cuda_runtime.h>
#include <device/launch.cuh>

#include "tensor_arithmetic.cuh"
#include "tensor_forming.cuh"
#include "tensor_stream.hpp"

namespace lossatlas::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kTopExponent = 15;    // half precision ends at 2¹⁶; weights far below the bound keep their digits
constexpr int kMostExponent = 126;  // 2¹²⁶ and its inverse are normal

// The unit of the weights at α; 1 if the bound is not finite or all weights are zero.
template <class T>
__device__ double unit_of(const StreamWeights<T>& weights, const double* alpha) {
  double bound = weights.largest[0];
  for (int d = 0; d < weights.parts.moving_weights; ++d) {
    bound += std::fabs(alpha[weights.parts.weight_directions[d]]) * weights.largest[d + 1];
  }
  if (!(bound > 0 && bound < static_cast<double>(INFINITY))) return 1;
  const int exponent = std::ilogb(bound) + 1 - kTopExponent;
  return std::scalbn(1.0, exponent < -kMostExponent  ? -kMostExponent
                          : exponent > kMostExponent ? kMostExponent
                                                     : exponent);
}

// One warp per fragment, one grid row of blocks per point.
template <class T, class Arithmetic>
__global__ void __launch_bounds__(kThreads) form_weights(const StreamWeights<T> weights) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto fragment = static_cast<int>(blockIdx.x * (kThreads / 32) + threadIdx.x / 32);
  if (fragment >= weights.layer.fragment_count()) return;
  const double* alpha = weights.alpha + blockIdx.y * weights.rank;
  T scale = 1;
  if constexpr (Arithmetic::kChecksRange) scale = static_cast<T>(1 / unit_of(weights, alpha));
  auto* to = static_cast<typename Arithmetic::Weight*>(weights.weights);
  form_fragment<Arithmetic>(weights.parts, weights.layer.tiles, alpha, scale, fragment, lane,
                            to + blockIdx.y * weights.stride * kFragmentWeights);
}

// Writes b(α), zeros up to whole tiles, and the unit.
template <class T>
__global__ void __launch_bounds__(kThreads) form_biases(const StreamWeights<T> weights) {
  const LayerParts<T>& parts = weights.parts;
  const std::int64_t i = blockIdx.x * kThreads + threadIdx.x, values = 8 * weights.layer.tiles;
  const double* alpha = weights.alpha + blockIdx.y * weights.rank;
  T* to = weights.biases + blockIdx.y * weights.bias_stride;
  if (i < values) {
    const bool real = i < parts.out && parts.biases != nullptr;
    to[i] = real ? formed_value(parts.biases, parts.bias_directions, parts.moving_biases, parts.out, alpha, i) : T(0);
  } else if (i == values) {
    to[i] = weights.operands == Operands::half ? static_cast<T>(unit_of(weights, alpha)) : T(1);
  }
}

template <class Kernel, class T>
cudaError_t launch(Kernel kernel, const StreamWeights<T>& weights, std::int64_t threads, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((threads + kThreads - 1) / kThreads);
  return device::launch(kernel, {dim3(blocks, static_cast<unsigned>(weights.points)), dim3(kThreads), 0, stream},
                        weights);
}

}  // namespace

template <class T>
cudaError_t launch_stream_weights(const StreamWeights<T>& weights, cudaStream_t stream) {
  const std::int64_t threads = 32 * weights.layer.fragment_count();
  if constexpr (std::is_same_v<T, double>) {
    return launch(form_weights<double, DoubleArithmetic<16>>, weights, threads, stream);
  } else if (weights.operands == Operands::half) {
    return launch(form_weights<float, HalfArithmetic>, weights, threads, stream);
  } else {
    return launch(form_weights<float, Tf32x2Arithmetic>, weights, threads, stream);
  }
}

template <class T>
cudaError_t launch_stream_biases(const StreamWeights<T>& weights, cudaStream_t stream) {
  return launch(form_biases<T>, weights, weights.layer.bias_values(), stream);
}

template cudaError_t launch_stream_weights(const StreamWeights<float>&, cudaStream_t);
template cudaError_t launch_stream_weights(const StreamWeights<double>&, cudaStream_t);
template cudaError_t launch_stream_biases(const StreamWeights<float>&, cudaStream_t);
template cudaError_t launch_stream_biases(const StreamWeights<double>&, cudaStream_t);

}  // namespace lossatlas::kernels
