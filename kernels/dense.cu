#include "dense.hpp"

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "elementwise.cuh"
#include "scalar.cuh"

namespace lossatlas::kernels {
namespace {

constexpr int kTile = 64;   // rows and units per block
constexpr int kDepth = 16;  // inputs staged at a time
constexpr int kMicro = 4;   // rows and units per thread
constexpr int kSide = kTile / kMicro;
constexpr int kThreads = kSide * kSide;

// Padded so that the transposing stores do not all hit one bank.
template <class T>
struct Stage {
  T x[kDepth][kTile + 1];
  T w[kDepth][kTile + 1];
};

// to[k][i] = from[(first + i) * in + begin + k], zero outside (count, in).
template <class T>
__device__ void stage(T (&to)[kDepth][kTile + 1], const T* from, std::int64_t first, std::int64_t count,
                      std::int64_t begin, std::int64_t in) {
  for (int item = static_cast<int>(threadIdx.x); item < kTile * kDepth; item += kThreads) {
    const int i = item / kDepth;
    const int k = item % kDepth;
    const bool inside = first + i < count && begin + k < in;
    to[k][i] = inside ? from[(first + i) * in + begin + k] : T(0);
  }
}

// Block (row tile, unit tile, b) computes 64 × 64 entries of y[b]; thread (i, j) those at rows i + 16 r, units j + 16
// u.
template <class T>
__global__ void __launch_bounds__(kThreads) dense_batch(const DenseBatch<T> args) {
  Stage<T>& shared = *device::dynamic_shared<Stage<T>>();
  const std::int64_t b = blockIdx.z;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const std::int64_t first_unit = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const int j = static_cast<int>(threadIdx.x) % kSide;
  const int i = static_cast<int>(threadIdx.x) / kSide;
  const bool works = first_row + i < args.rows && first_unit + j < args.out;

  T sum[kMicro][kMicro] = {};
  for (std::int64_t begin = 0; begin < args.in; begin += kDepth) {
    stage(shared.x, args.x + b * args.x_stride, first_row, args.rows, begin, args.in);
    stage(shared.w, args.weights + b * args.weights_stride, first_unit, args.out, begin, args.in);
    __syncthreads();  // the stage is filled
    if (works) {
      // Summed in stages, so that rounding grows with kDepth + in / kDepth instead of in.
      T part[kMicro][kMicro] = {};
#pragma unroll 4
      for (int k = 0; k < kDepth; ++k) {
        T x[kMicro], w[kMicro];
#pragma unroll
        for (int m = 0; m < kMicro; ++m) {
          x[m] = shared.x[k][i + kSide * m];
          w[m] = shared.w[k][j + kSide * m];
        }
#pragma unroll
        for (int r = 0; r < kMicro; ++r) {
#pragma unroll
          for (int u = 0; u < kMicro; ++u) part[r][u] += x[r] * w[u];
        }
      }
#pragma unroll
      for (int r = 0; r < kMicro; ++r) {
#pragma unroll
        for (int u = 0; u < kMicro; ++u) sum[r][u] += part[r][u];
      }
    }
    __syncthreads();  // the stage has been read
  }

  T* y = args.y + b * args.y_stride;
#pragma unroll
  for (int r = 0; r < kMicro; ++r) {
#pragma unroll
    for (int u = 0; u < kMicro; ++u) {
      const std::int64_t row = first_row + i + kSide * r;
      const std::int64_t unit = first_unit + j + kSide * u;
      if (row < args.rows && unit < args.out) {
        y[row * args.out + unit] = sum[r][u] + (args.bias ? args.bias[b * args.bias_stride + unit] : T(0));
      }
    }
  }
  if (args.activation == Activation::identity) return;
    // One copy of the activation's code instead of sixteen: each thread goes over its own entries again.
#pragma unroll 1
  for (int m = 0; m < kMicro * kMicro; ++m) {
    const std::int64_t row = first_row + i + kSide * (m / kMicro);
    const std::int64_t unit = first_unit + j + kSide * (m % kMicro);
    if (row < args.rows && unit < args.out) {
      T& value = y[row * args.out + unit];
      value = scalar::activate(args.activation, value);
    }
  }
}

template <class T>
struct AddTerm {
  AddBatch<T> args;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t unit = i % args.out, row = i / args.out % args.rows, b = i / args.out / args.rows;
    const T x = args.x[b * args.x_stride + row * args.x_row + unit];
    args.y[i] = scalar::activate(args.activation, args.first ? x : args.y[i] + x);
  }
};

unsigned tiles(std::int64_t count) { return static_cast<unsigned>((count + kTile - 1) / kTile); }

}  // namespace

template <class T>
cudaError_t launch_dense(const DenseBatch<T>& batch, cudaStream_t stream) {
  if (batch.rows == 0 || batch.out == 0 || batch.batch == 0) return cudaSuccess;
  const dim3 grid(tiles(batch.rows), tiles(batch.out), static_cast<unsigned>(batch.batch));
  return device::launch(dense_batch<T>, {grid, dim3(kThreads), sizeof(Stage<T>), stream}, batch);
}

template <class T>
cudaError_t launch_add(const AddBatch<T>& batch, cudaStream_t stream) {
  return launch_for_each(batch.batch * batch.rows * batch.out, AddTerm<T>{batch}, stream);
}

template cudaError_t launch_add(const AddBatch<float>&, cudaStream_t);
template cudaError_t launch_add(const AddBatch<double>&, cudaStream_t);
template cudaError_t launch_dense(const DenseBatch<float>&, cudaStream_t);
template cudaError_t launch_dense(const DenseBatch<double>&, cudaStream_t);

}  // namespace lossatlas::kernels
