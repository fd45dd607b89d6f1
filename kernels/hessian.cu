#include "hessian.hpp"

#include <cuda_runtime.h>
#include <device/launch.cuh>

#include "elementwise.cuh"
#include "reduce.cuh"
#include "scalar.cuh"
#include "tensor_block.cuh"

namespace lossatlas::kernels {
namespace {

struct Slope {
  Activation activation;
  const double* pre;
  double* slope;
  __device__ void operator()(std::int64_t i) const { slope[i] = scalar::activate_derivative(activation, pre[i]); }
};

struct Bend {
  Activation activation;
  const double* pre;
  const double* slope;
  double* delta;
  double* bend;
  __device__ void operator()(std::int64_t i) const {
    bend[i] = scalar::activate_second_derivative(activation, pre[i]) * delta[i];
    delta[i] *= slope[i];
  }
};

// One index is one row of one sample's block: of diag(s) (I − 1sᵀ) with s = softmax(p) for cross entropy, or of its
// root, in which √s replaces the first s.
struct OutputCurvature {
  OutputRows args;
  double* block;
  double order;  // 1 for the curvature, 2 for its root

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t outputs = args.heads * args.classes, n = i / outputs, c = i % outputs;
    double* row = block + i * outputs;
    for (std::int64_t d = 0; d < outputs; ++d) row[d] = 0;
    if (args.loss == Loss::mean_squared_error) {
      row[c] = 2 / order;  // 2·I, or the root of half of it
      return;
    }
    const std::int64_t head = c / args.classes * args.classes;
    const double* p = args.outputs + n * outputs;
    const auto norm = scalar::logsumexp(p + head, args.classes, 1);
    const double factor = std::exp(norm.log_share(p[c]) / order);
    double others = 0;  // 1 − s, exact near 1
    for (std::int64_t d = head; d < head + args.classes; ++d) {
      if (d == c) continue;
      const double other = std::exp(norm.log_share(p[d]));
      others += other;
      row[d] = -factor * other;
    }
    row[c] = factor * others;
  }
};

// One index is one entry (j, q) of one unit; adjacent indices have adjacent units.
struct AddBend {
  HessianBlock block;
  const double* bend;

  __device__ void operator()(std::int64_t index) const {
    const std::int64_t units = block.left.out, inputs = block.left.augmented();
    const std::int64_t i = index % units, j = index / units / inputs, q = index / units % inputs;
    if (j > q) return;
    double sum = 0;
    for (std::int64_t n = 0; n < block.samples; ++n) {
      const double* input = block.left_input + n * inputs;
      sum += bend[n * units + i] * input[j] * input[q];
    }
    const std::int64_t row = block.left.at(i * inputs + j), column = block.left.at(i * inputs + q);
    block.hessian[min(row, column) * block.size + max(row, column)] += sum;
  }
};

// One index is one unit p and one parameter (i, j) of the lower layer; adjacent indices have adjacent units i.
struct AddResiduals {
  HessianBlock block;
  const double* delta;
  const double* slope;

  __device__ void operator()(std::int64_t index) const {
    const std::int64_t lower = block.left.out, upper = block.right.out, inputs = block.left.augmented();
    const std::int64_t i = index % lower, j = index / lower % inputs, p = index / lower / inputs;
    double sum = 0;
    for (std::int64_t n = 0; n < block.samples; ++n) {
      sum += delta[n * upper + p] * slope[n * lower + i] * block.left_input[n * inputs + j];
    }
    const std::int64_t row = block.left.at(i * inputs + j), column = block.right.at(p * block.right.augmented() + i);
    block.hessian[row * block.size + column] += sum;
  }
};

struct ScaleRows {
  const double* factor;
  std::int64_t repeats;
  std::int64_t units;
  double* values;
  __device__ void operator()(std::int64_t i) const { values[i] *= factor[i / (repeats * units) * units + i % units]; }
};

struct FinishDiagonal {
  const double* slope;
  const double* bend;
  std::int64_t units;
  double* block;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / units;  // n · units + p
    const double value = block[i] * slope[row];
    block[i] = bend != nullptr && row % units == i % units ? value + bend[row] : value;
  }
};

struct FirstSensitivity {
  const double* weight;
  const double* lower;
  const double* upper;
  std::int64_t in;
  std::int64_t out;
  double* block;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t q = i % out, row = i / out, n = row / in;
    block[i] = lower[row] * weight[q * in + row % in] * upper[n * out + q];
  }
};

struct Multiply {
  const double* a;
  const double* b;
  double* product;
  __device__ void operator()(std::int64_t i) const { product[i] = a[i] * b[i]; }
};

struct LowerCotangent {
  const double* slope;
  const double* bend;
  const double* tangent;
  double* cotangent;
  __device__ void operator()(std::int64_t i) const {
    const double value = cotangent[i] * slope[i];
    cotangent[i] = bend == nullptr ? value : value + bend[i] * tangent[i];
  }
};

constexpr int kSide = 32;
constexpr int kMirrorRows = 8;

// Block (x, y), y ≤ x, handles the tile with rows from 32 y and columns from 32 x.
__global__ void __launch_bounds__(kSide* kMirrorRows) mirror(double* matrix, std::int64_t size, double divisor) {
  if (blockIdx.y > blockIdx.x) return;
  auto& tile = *device::dynamic_shared<double[kSide][kSide + 1]>();
  const std::int64_t top = static_cast<std::int64_t>(blockIdx.y) * kSide;
  const std::int64_t left = static_cast<std::int64_t>(blockIdx.x) * kSide;
  const int x = static_cast<int>(threadIdx.x);
  for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kMirrorRows) {
    const std::int64_t r = top + y, c = left + x;
    if (r >= size || c >= size || r > c) continue;
    const double value = matrix[r * size + c] / divisor;
    matrix[r * size + c] = tile[y][x] = value;
  }
  __syncthreads();  // the tile is complete
  for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kMirrorRows) {
    const std::int64_t r = left + y, c = top + x;
    if (r < size && c < r) matrix[r * size + c] = tile[x][y];
  }
}

constexpr int kRowThreads = 256;

__device__ std::int64_t warp_min(std::int64_t value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const std::int64_t other = __shfl_xor_sync(0xffffffffu, static_cast<long long>(value), offset);
    value = other < value ? other : value;
  }
  return value;
}

__device__ double warp_max(double value) {
  for (int offset = 16; offset > 0; offset /= 2) value = fmax(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

/// The row of this warp; may lie past the last.
__device__ std::int64_t warp_row() { return (static_cast<std::int64_t>(blockIdx.x) * kRowThreads + threadIdx.x) / 32; }

// One warp per row.
__global__ void __launch_bounds__(kRowThreads)
    find_not_finite(const double* matrix, std::int64_t size, std::int64_t* columns) {
  const std::int64_t row = warp_row();
  if (row >= size) return;
  std::int64_t found = size;
  for (std::int64_t c = row + threadIdx.x % 32; c < size && found == size; c += 32) {
    if (!(fabs(matrix[row * size + c]) < INFINITY)) found = c;
  }
  found = warp_min(found);
  if (threadIdx.x % 32 == 0) columns[row] = found;
}

// One warp per row. Scaled so that no square overflows or vanishes.
__global__ void __launch_bounds__(kRowThreads)
    residual_norms(const double* images, const double* vectors, const double* values, std::int64_t count,
                   std::int64_t size, double* norms) {
  const std::int64_t row = warp_row();
  if (row >= count) return;
  const double* image = images + row * size;
  const double* vector = vectors + row * size;
  const double value = values[row];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double scale = 0, sum = 0;
  for (std::int64_t c = lane; c < size; c += 32) scale = fmax(scale, fabs(image[c] - value * vector[c]));
  scale = warp_max(scale);
  const double unit = scale > 0 ? scale : 1;
  for (std::int64_t c = lane; c < size; c += 32) {  // needed also without a scale: fmax has dropped any NaN
    const double entry = (image[c] - value * vector[c]) / unit;
    sum += entry * entry;
  }
  sum = warp_sum(sum);
  if (lane == 0) norms[row] = scale * sqrt(sum);
}

dim3 warps(std::int64_t rows) { return dim3(static_cast<unsigned>((rows * 32 + kRowThreads - 1) / kRowThreads)); }

/// Rows are the inputs of one unit i; the sum runs over samples.
struct CurvatureSource {
  HessianBlock block;
  CurvatureFactors factors;

  LOSSATLAS_HOST_DEVICE std::int64_t depth() const { return block.samples; }
  LOSSATLAS_HOST_DEVICE std::int64_t groups() const { return block.left.out; }
  LOSSATLAS_HOST_DEVICE std::int64_t group_rows() const { return block.left.augmented(); }

  struct Left {
    const double* input;
    std::int64_t stride;
    __device__ double operator()(std::int64_t n) const { return input[n * stride]; }
  };
  __device__ Left left(std::int64_t row) const {
    return {block.left_input + row % block.left.augmented(), block.left.augmented()};
  }

  struct Right {
    const double* input;
    const double* curvature;
    const double* delta;                               // null: no second term
    const double* moving;                              // ∂a_l[q]/∂z_k[i]
    std::int64_t inputs, curvatures, deltas, movings;  // strides

    __device__ double operator()(std::int64_t n) const {
      const double first = curvature[n * curvatures] * input[n * inputs];
      return delta == nullptr ? first : first + delta[n * deltas] * moving[n * movings];
    }
  };
  __device__ Right right(std::int64_t group, std::int64_t column) const {
    const std::int64_t inputs = block.right.augmented(), p = column / inputs, q = column - p * inputs;
    const std::int64_t left_units = block.left.out, right_units = block.right.out;
    Right result{block.right_input + q,
                 factors.curvature + p * left_units + group,
                 nullptr,
                 nullptr,
                 inputs,
                 left_units * right_units,
                 right_units,
                 0};
    if (factors.delta == nullptr || q == block.right.in) return result;
    if (factors.sensitivity != nullptr) {
      result.moving = factors.sensitivity + group * block.right.in + q;
      result.movings = left_units * block.right.in;
    } else if (q == group) {
      result.moving = factors.slope + group;
      result.movings = left_units;
    } else {
      return result;
    }
    result.delta = factors.delta + p;
    return result;
  }
};

/// The sum runs over the rows of the Jacobian, one for each output of each sample.
struct JacobianSource {
  HessianBlock block;
  JacobianFactors factors;

  LOSSATLAS_HOST_DEVICE std::int64_t depth() const { return block.samples * factors.outputs; }
  LOSSATLAS_HOST_DEVICE std::int64_t groups() const { return 1; }
  LOSSATLAS_HOST_DEVICE std::int64_t group_rows() const { return block.left.parameters(); }

  struct Column {
    const double* cotangent;
    const double* input;
    std::int64_t cotangents, inputs;  // strides
    unsigned outputs;
    double weight;

    __device__ double operator()(std::int64_t term) const {
      const unsigned sample = static_cast<unsigned>(term) / outputs;
      return weight * cotangent[term * cotangents] * input[sample * inputs];
    }
  };
  __device__ Column column(const PlacedLayer& layer, const double* cotangents, const double* inputs, double weight,
                           std::int64_t flat) const {
    const std::int64_t stride = layer.augmented(), unit = flat / stride;
    return {cotangents + unit,
            inputs + (flat - unit * stride),
            layer.out,
            stride,
            static_cast<unsigned>(factors.outputs),
            weight};
  }
  __device__ Column left(std::int64_t row) const {
    return column(block.left, factors.left, block.left_input, factors.weight, row);
  }
  __device__ Column right(std::int64_t, std::int64_t flat) const {
    return column(block.right, factors.right, block.right_input, 1, flat);
  }
};

}  // namespace

cudaError_t launch_add_gauss_newton_block(const HessianBlock& block, const JacobianFactors& factors,
                                          cudaStream_t stream) {
  return launch_add_products(JacobianSource{block, factors}, stream);
}

cudaError_t launch_add_bend(const HessianBlock& block, const double* bend, cudaStream_t stream) {
  const std::int64_t inputs = block.left.augmented();
  return launch_for_each(block.left.out * inputs * inputs, AddBend{block, bend}, stream);
}

cudaError_t launch_add_residuals(const HessianBlock& block, const double* delta, const double* slope,
                                 cudaStream_t stream) {
  return launch_for_each(block.right.out * block.left.parameters(), AddResiduals{block, delta, slope}, stream);
}

cudaError_t launch_output_curvature_root(const OutputRows& rows, double* block, cudaStream_t stream) {
  return launch_for_each(rows.rows * rows.heads * rows.classes, OutputCurvature{rows, block, 2}, stream);
}

cudaError_t launch_add_block(const HessianBlock& block, const CurvatureFactors& factors, cudaStream_t stream) {
  return launch_add_products(CurvatureSource{block, factors}, stream);
}

cudaError_t launch_mirror(double* matrix, std::int64_t size, double divisor, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>((size + kSide - 1) / kSide);
  return device::launch(mirror,
                        {dim3(tiles, tiles), dim3(kSide, kMirrorRows), sizeof(double[kSide][kSide + 1]), stream},
                        matrix, size, divisor);
}

cudaError_t launch_slope(Activation activation, const double* pre, std::int64_t count, double* slope,
                         cudaStream_t stream) {
  return launch_for_each(count, Slope{activation, pre, slope}, stream);
}

cudaError_t launch_bend(Activation activation, const double* pre, const double* slope, std::int64_t count,
                        double* delta, double* bend, cudaStream_t stream) {
  return launch_for_each(count, Bend{activation, pre, slope, delta, bend}, stream);
}

cudaError_t launch_output_curvature(const OutputRows& rows, double* block, cudaStream_t stream) {
  return launch_for_each(rows.rows * rows.heads * rows.classes, OutputCurvature{rows, block, 1}, stream);
}

cudaError_t launch_scale_rows(const double* factor, std::int64_t rows, std::int64_t repeats, std::int64_t units,
                              double* values, cudaStream_t stream) {
  return launch_for_each(rows * repeats * units, ScaleRows{factor, repeats, units, values}, stream);
}

cudaError_t launch_finish_diagonal(const double* slope, const double* bend, std::int64_t rows, std::int64_t units,
                                   double* block, cudaStream_t stream) {
  return launch_for_each(rows * units * units, FinishDiagonal{slope, bend, units, block}, stream);
}

cudaError_t launch_first_sensitivity(const double* weight, const double* lower, const double* upper, std::int64_t rows,
                                     std::int64_t in, std::int64_t out, double* block, cudaStream_t stream) {
  return launch_for_each(rows * in * out, FirstSensitivity{weight, lower, upper, in, out, block}, stream);
}

cudaError_t launch_multiply(const double* a, const double* b, std::int64_t count, double* product,
                            cudaStream_t stream) {
  return launch_for_each(count, Multiply{a, b, product}, stream);
}

cudaError_t launch_lower_cotangent(const double* slope, const double* bend, const double* tangent, std::int64_t count,
                                   double* cotangent, cudaStream_t stream) {
  return launch_for_each(count, LowerCotangent{slope, bend, tangent, cotangent}, stream);
}

cudaError_t launch_find_not_finite(const double* matrix, std::int64_t size, std::int64_t* columns,
                                   cudaStream_t stream) {
  return device::launch(find_not_finite, {warps(size), dim3(kRowThreads), 0, stream}, matrix, size, columns);
}

cudaError_t launch_residual_norms(const double* images, const double* vectors, const double* values, std::int64_t count,
                                  std::int64_t size, double* norms, cudaStream_t stream) {
  return device::launch(residual_norms, {warps(count), dim3(kRowThreads), 0, stream}, images, vectors, values, count,
                        size, norms);
}

}  // namespace lossatlas::kernels
