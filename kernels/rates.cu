#include "rates.hpp"

#include <cmath>

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "tensor_arithmetic.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 2;  // per multiprocessor
constexpr int kTiles = 4;   // of products, per warp
constexpr int kChains = 8;  // of multiply-adds, per thread
constexpr int kSteps = 16;  // of each chain in a round
constexpr int kTanhs = 4;   // per thread

__device__ __forceinline__ std::int64_t thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

// D (tiles, R × 8) += A (R × 16) B (tiles, 16 × 8) in every round; A and B never change.
template <class Arithmetic>
__global__ void __launch_bounds__(kThreads, kBlocks) products(std::int64_t rounds, double* out) {
  using Value = typename Arithmetic::Value;
  using Weight = typename Arithmetic::Weight;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  auto* const fragments = device::dynamic_shared<Weight>();  // (tiles, fragment)
  if (threadIdx.x < 32) {
    for (int n = 0; n < kTiles; ++n) {
      const Value w[4] = {Value(0.5), Value(-0.25), Value(1) / static_cast<Value>(lane + 3), Value(0.75)};
      Arithmetic::store(fragments + n * kFragmentWeights, lane, w);
    }
  }
  __syncthreads();  // the fragments are complete
  typename Arithmetic::Weights weights[kTiles];
#pragma unroll
  for (int n = 0; n < kTiles; ++n) weights[n] = Arithmetic::load(fragments + n * kFragmentWeights, lane);
  Value values[2][Arithmetic::kValues];
#pragma unroll
  for (int i = 0; i < 2 * Arithmetic::kValues; ++i) {
    values[i / Arithmetic::kValues][i % Arithmetic::kValues] = Value(1) / static_cast<Value>(lane + i + 1);
  }
  const typename Arithmetic::Inputs inputs = Arithmetic::to_inputs(values);
  const typename Arithmetic::Operand operand = Arithmetic::operand(inputs);
  Value d[kTiles][Arithmetic::kValues] = {};
  for (std::int64_t round = 0; round < rounds; ++round) {
    multiply_tiles<Arithmetic, kTiles, kTiles>(d, 0, operand, weights);
  }
  Value sum = 0;
#pragma unroll
  for (int i = 0; i < kTiles * Arithmetic::kValues; ++i) sum += d[i / Arithmetic::kValues][i % Arithmetic::kValues];
  out[thread_index()] = sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks) multiply_adds(std::int64_t rounds, double* out) {
  T chains[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) chains[i] = static_cast<T>(i);
  const T factor = T(1) / static_cast<T>(2 + threadIdx.x);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < kChains; ++i) chains[i] = std::fma(chains[i], factor, T(1));
    }
  }
  T sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += chains[i];
  out[thread_index()] = sum;
}

// x ← tanh x + s. The values of a warp tend to about ∛(3s), on both sides of the |x| at which tanh changes its formula,
// as in a layer.
template <class Arithmetic>
__global__ void __launch_bounds__(kThreads, kBlocks) tanhs(std::int64_t rounds, double* out) {
  using Value = typename Arithmetic::Value;
  const Value shift = static_cast<Value>(static_cast<int>(threadIdx.x) % 32 - 16) / 32;
  Value x[kTanhs];
#pragma unroll
  for (int i = 0; i < kTanhs; ++i) x[i] = static_cast<Value>(i) / 4;
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kTanhs; ++i) x[i] = Arithmetic::activate(Activation::tanh, x[i]) + shift;
  }
  Value sum = 0;
#pragma unroll
  for (int i = 0; i < kTanhs; ++i) sum += x[i];
  out[thread_index()] = sum;
}

cudaError_t launch(void (*kernel)(std::int64_t, double*), std::size_t shared_bytes, const RateRun& run,
                   cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(kBlocks * run.multiprocessors);
  return device::launch(kernel, {dim3(blocks), dim3(kThreads), shared_bytes, stream}, run.rounds, run.out);
}

template <class Arithmetic>
cudaError_t launch_products_of(const RateRun& run, cudaStream_t stream) {
  return launch(products<Arithmetic>, kTiles * kFragmentWeights * sizeof(typename Arithmetic::Weight), run, stream);
}

}  // namespace

std::int64_t rate_threads(std::int64_t multiprocessors) { return multiprocessors * kBlocks * kThreads; }

cudaError_t launch_products(Precision precision, const RateRun& run, cudaStream_t stream) {
  if (precision == Precision::f64) return launch_products_of<DoubleArithmetic<16>>(run, stream);
  if (precision == Precision::f32) return launch_products_of<Tf32x2Arithmetic>(run, stream);
  return launch_products_of<HalfArithmetic>(run, stream);
}
double products_flop(std::int64_t multiprocessors) {
  return static_cast<double>(rate_threads(multiprocessors) / 32) * kTiles * 2 * 16 * 16 * 8;
}

cudaError_t launch_multiply_adds(Precision precision, const RateRun& run, cudaStream_t stream) {
  return launch(precision == Precision::f64 ? multiply_adds<double> : multiply_adds<float>, 0, run, stream);
}
double multiply_adds_flop(std::int64_t multiprocessors) {
  return static_cast<double>(rate_threads(multiprocessors)) * 2 * kChains * kSteps;
}

cudaError_t launch_tanh(Precision precision, const RateRun& run, cudaStream_t stream) {
  if (precision == Precision::f64) return launch(tanhs<DoubleArithmetic<16>>, 0, run, stream);
  if (precision == Precision::f32) return launch(tanhs<Tf32x2Arithmetic>, 0, run, stream);
  return launch(tanhs<HalfArithmetic>, 0, run, stream);
}
double tanh_count(std::int64_t multiprocessors) { return static_cast<double>(rate_threads(multiprocessors)) * kTanhs; }

}  // namespace lossatlas::kernels
