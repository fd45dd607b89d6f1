#include "training.hpp"

#include <cuda_runtime.h>
#include <device/launch.cuh>
#include <device/shared.cuh>

#include "elementwise.cuh"
#include "reduce.cuh"
#include "scalar.cuh"

namespace lossatlas::kernels {
namespace {

struct AddBias {
  double* pre;
  const double* bias;
  std::int64_t out;
  __device__ void operator()(std::int64_t i) const { pre[i] += bias[i % out]; }
};

struct Activate {
  Activation activation;
  const double* pre;
  std::int64_t out;
  double* post;
  std::int64_t stride;
  __device__ void operator()(std::int64_t i) const {
    post[i / out * stride + i % out] = scalar::activate(activation, pre[i]);
  }
};

struct MultiplySlope {
  Activation activation;
  const double* pre;
  double* values;
  __device__ void operator()(std::int64_t i) const { values[i] *= scalar::activate_derivative(activation, pre[i]); }
};

constexpr int kColumns = 32;
constexpr int kSlices = 8;

// Block b sums 32 columns: thread (x, y) adds rows y, y + 8, .. of column x; the eight slices are then added in order.
__global__ void __launch_bounds__(kColumns* kSlices)
    add_column_sums(const double* values, std::int64_t rows, std::int64_t columns, double* sums) {
  auto& partial = *device::dynamic_shared<double[kSlices][kColumns]>();
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kColumns + x;
  double sum = 0;
  if (column < columns) {
    for (std::int64_t row = y; row < rows; row += kSlices) sum += values[row * columns + column];
  }
  partial[y][x] = sum;
  __syncthreads();  // all slices are there
  if (y != 0 || column >= columns) return;
  for (int slice = 1; slice < kSlices; ++slice) sum += partial[slice][x];
  sums[column] += sum;
}

__device__ double target(const OutputRows& rows, std::int64_t n, std::int64_t c) {
  if (rows.targets.labels != nullptr) return rows.targets.labels[n] == c ? 1.0 : 0.0;
  return rows.targets.values[n * rows.classes + c];
}

// One index is one head of one row.
struct LossGradient {
  OutputRows args;
  double* cotangent;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t n = args.first + i / args.heads;
    const double* p = args.outputs + i * args.classes;
    double* result = cotangent + i * args.classes;
    if (args.loss == Loss::mean_squared_error) {
      for (std::int64_t c = 0; c < args.classes; ++c) {
        result[c] = scalar::squared_error_derivative(p[c], target(args, n, c));
      }
      return;
    }
    const auto norm = scalar::logsumexp(p, args.classes, 1);
    for (std::int64_t c = 0; c < args.classes; ++c) {
      result[c] = scalar::cross_entropy_derivative(p[c], norm, target(args, n, c));
    }
  }
};

// 2u, or s ⊙ (u − s·u) with s = softmax(p).
struct Curvature {
  OutputRows args;
  double* tangent;

  __device__ void operator()(std::int64_t i) const {
    const double* p = args.outputs + i * args.classes;
    double* u = tangent + i * args.classes;
    if (args.loss == Loss::mean_squared_error) {
      for (std::int64_t c = 0; c < args.classes; ++c) u[c] *= 2;
      return;
    }
    const auto norm = scalar::logsumexp(p, args.classes, 1);
    double mean = 0;
    for (std::int64_t c = 0; c < args.classes; ++c) mean += std::exp(norm.log_share(p[c])) * u[c];
    for (std::int64_t c = 0; c < args.classes; ++c) u[c] = std::exp(norm.log_share(p[c])) * (u[c] - mean);
  }
};

struct Targets {
  OutputRows args;
  double* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = target(args, args.first + i / (args.heads * args.classes), i % args.classes);
  }
};

constexpr int kSquareThreads = 256;

__global__ void __launch_bounds__(kSquareThreads) square_sums(const double* values, std::int64_t count, double* sums) {
  auto& partial = *device::dynamic_shared<double[kSquareThreads / 32]>();
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kSquarePiece;
  const std::int64_t end = min(begin + kSquarePiece, count);
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kSquareThreads) sum += values[i] * values[i];
  sum = block_sum<kSquareThreads>(sum, partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct AddStrided {
  double* to;
  std::int64_t stride;
  double value;
  __device__ void operator()(std::int64_t i) const { to[i * stride] += value; }
};

struct FillStrided {
  double* to;
  std::int64_t stride;
  double value;
  __device__ void operator()(std::int64_t i) const { to[i * stride] = value; }
};

}  // namespace

cudaError_t launch_add_bias(double* pre, const double* bias, std::int64_t rows, std::int64_t out, cudaStream_t stream) {
  return bias == nullptr ? cudaSuccess : launch_for_each(rows * out, AddBias{pre, bias, out}, stream);
}

cudaError_t launch_activate(Activation activation, const double* pre, std::int64_t rows, std::int64_t out, double* post,
                            std::int64_t stride, cudaStream_t stream) {
  return launch_for_each(rows * out, Activate{activation, pre, out, post, stride}, stream);
}

cudaError_t launch_multiply_slope(Activation activation, const double* pre, std::int64_t count, double* values,
                                  cudaStream_t stream) {
  if (activation == Activation::identity) return cudaSuccess;
  return launch_for_each(count, MultiplySlope{activation, pre, values}, stream);
}

cudaError_t launch_add_column_sums(const double* values, std::int64_t rows, std::int64_t columns, double* sums,
                                   cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((columns + kColumns - 1) / kColumns));
  return device::launch(add_column_sums, {grid, dim3(kColumns, kSlices), sizeof(double[kSlices][kColumns]), stream},
                        values, rows, columns, sums);
}

cudaError_t launch_loss_gradient(const OutputRows& rows, double* cotangent, cudaStream_t stream) {
  return launch_for_each(rows.rows * rows.heads, LossGradient{rows, cotangent}, stream);
}

cudaError_t launch_curvature(const OutputRows& rows, double* u, cudaStream_t stream) {
  return launch_for_each(rows.rows * rows.heads, Curvature{rows, u}, stream);
}

cudaError_t launch_targets(const OutputRows& rows, double* y, cudaStream_t stream) {
  return launch_for_each(rows.rows * rows.heads * rows.classes, Targets{rows, y}, stream);
}

cudaError_t launch_square_sums(const double* values, std::int64_t count, double* sums, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((count + kSquarePiece - 1) / kSquarePiece));
  return device::launch(square_sums, {grid, dim3(kSquareThreads), sizeof(double[kSquareThreads / 32]), stream}, values,
                        count, sums);
}

cudaError_t launch_add_strided(double* matrix, std::int64_t count, std::int64_t stride, double value,
                               cudaStream_t stream) {
  return launch_for_each(count, AddStrided{matrix, stride, value}, stream);
}

cudaError_t launch_fill_strided(double* to, std::int64_t count, std::int64_t stride, double value,
                                cudaStream_t stream) {
  return launch_for_each(count, FillStrided{to, stride, value}, stream);
}

}  // namespace lossatlas::kernels
