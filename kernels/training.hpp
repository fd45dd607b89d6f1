// Elementwise kernels of gradients, Gauss–Newton products and the least squares of the last layer, all in f64.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lossatlas/activation.hpp>
#include <lossatlas/loss.hpp>

#include "layer_parts.hpp"

namespace lossatlas::kernels {

/// pre (rows, out) += bias (out), unless it is null.
cudaError_t launch_add_bias(double* pre, const double* bias, std::int64_t rows, std::int64_t out, cudaStream_t stream);

/// post (rows, stride), columns 0..out−1 = φ(pre (rows, out)).
cudaError_t launch_activate(Activation activation, const double* pre, std::int64_t rows, std::int64_t out, double* post,
                            std::int64_t stride, cudaStream_t stream);

/// values (count) ← φ'(pre) ⊙ values.
cudaError_t launch_multiply_slope(Activation activation, const double* pre, std::int64_t count, double* values,
                                  cudaStream_t stream);

/// sums (columns) += Σ_r values (rows, columns).
cudaError_t launch_add_column_sums(const double* values, std::int64_t rows, std::int64_t columns, double* sums,
                                   cudaStream_t stream);

/// Outputs (rows, H·C) of samples first..first+rows−1 with their targets.
struct OutputRows {
  const double* outputs = nullptr;
  std::int64_t first = 0;
  std::int64_t rows = 0;
  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  SampleTargets<double> targets;
};
/// cotangent (rows, H·C) = ∂ℓ/∂p.
cudaError_t launch_loss_gradient(const OutputRows& rows, double* cotangent, cudaStream_t stream);
/// u (rows, H·C) ← ∇²ℓ u.
cudaError_t launch_curvature(const OutputRows& rows, double* u, cudaStream_t stream);
/// y (rows, H·C): the targets of every head.
cudaError_t launch_targets(const OutputRows& rows, double* y, cudaStream_t stream);

/// Values in one piece of launch_square_sums().
inline constexpr std::int64_t kSquarePiece = 4096;
/// sums (count / kSquarePiece, rounded up) = Σ values² of each piece.
cudaError_t launch_square_sums(const double* values, std::int64_t count, double* sums, cudaStream_t stream);

/// matrix[i · stride] += value for i < count: shifts a diagonal.
cudaError_t launch_add_strided(double* matrix, std::int64_t count, std::int64_t stride, double value,
                               cudaStream_t stream);
/// to[i · stride] = value for i < count.
cudaError_t launch_fill_strided(double* to, std::int64_t count, std::int64_t stride, double value, cudaStream_t stream);

}  // namespace lossatlas::kernels
