// Kernels of Hessians and their products with vectors, all in f64 (docs/theory.md, section 5). k ≤ l are layers and n
// is a sample of the chunk; ã_l is the input of layer l with the constant 1 of its bias, d_l entries.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lossatlas/activation.hpp>

#include "scalar.cuh"
#include "training.hpp"

namespace lossatlas::kernels {

/// A dense layer and where its parameters lie in θ.
struct PlacedLayer {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t weight = 0;  ///< first entry in θ
  std::int64_t bias = -1;   ///< first entry in θ; -1: no bias

  LOSSATLAS_HOST_DEVICE std::int64_t augmented() const { return in + (bias >= 0 ? 1 : 0); }  ///< d
  LOSSATLAS_HOST_DEVICE std::int64_t parameters() const { return out * augmented(); }
  /// Index in θ of the parameter `flat` = unit · d + input.
  LOSSATLAS_HOST_DEVICE std::int64_t at(std::int64_t flat) const {
    const std::int64_t unit = flat / augmented(), input = flat - unit * augmented();
    return input == in ? bias + unit : weight + unit * in + input;
  }
};

/// Rows of a tile of products for groups of `rows` rows. The largest tile reads the least memory per operation, which
/// justifies leaving a tenth of its rows empty.
inline std::int64_t tile_rows(std::int64_t rows) {
  if (rows <= 32) return rows <= 16 ? 16 : 32;
  const std::int64_t by_64 = (rows + 63) / 64 * 64, by_128 = (rows + 127) / 128 * 128;
  return 10 * by_128 <= 11 * by_64 ? 128 : 64;
}

/// The block (k, l) of a Hessian, summed over the samples of a chunk.
struct HessianBlock {
  PlacedLayer left;                     ///< layer k
  PlacedLayer right;                    ///< layer l
  const double* left_input = nullptr;   ///< ã_k (samples, d_k)
  const double* right_input = nullptr;  ///< ã_l (samples, d_l)
  std::int64_t samples = 0;
  double* hessian = nullptr;  ///< (size, size)
  std::int64_t size = 0;

  LOSSATLAS_HOST_DEVICE bool diagonal() const { return left.weight == right.weight; }
};

/// The factors S and J of a block: ã_k[j] (S_kl[i,p] ã_l[q] + δ_l[p] ∂a_l[q]/∂z_k[i]).
struct CurvatureFactors {
  const double* curvature = nullptr;    ///< S_kl (samples, m_l, m_k)
  const double* delta = nullptr;        ///< δ_l (samples, m_l); null: no second term
  const double* sensitivity = nullptr;  ///< ∂a_l/∂z_k (samples, m_k, in_l); null: diag φ'(z_k)
  const double* slope = nullptr;        ///< φ'(z_k) (samples, m_k)
};

/// Adds the block to `hessian`, in its upper triangle. The bits of an entry depend only on its own factors and the
/// number of samples.
cudaError_t launch_add_block(const HessianBlock& block, const CurvatureFactors& factors, cudaStream_t stream);

/// The Jacobian factors of the Gauss–Newton part of a block: weight · Jᵀ J with rows G_l[c,p] ã_l[q] of J.
struct JacobianFactors {
  const double* left = nullptr;   ///< G_k (samples, outputs, m_k)
  const double* right = nullptr;  ///< G_l (samples, outputs, m_l)
  std::int64_t outputs = 1;
  double weight = 1;
};

/// Adds the Gauss–Newton part of the block to `hessian`; otherwise as launch_add_block().
cudaError_t launch_add_gauss_newton_block(const HessianBlock& block, const JacobianFactors& factors,
                                          cudaStream_t stream);
/// hessian += Σ_n bend[i] ã_k[j] ã_k[q] for p = i: φ'' of a layer in its own block. bend (samples, m_k).
cudaError_t launch_add_bend(const HessianBlock& block, const double* bend, cudaStream_t stream);
/// hessian += Σ_n ã_k[j] δ_l[p] φ'(z_k[i]) for q = i: the residuals between adjacent layers. delta (samples, m_l),
/// slope (samples, m_k).
cudaError_t launch_add_residuals(const HessianBlock& block, const double* delta, const double* slope,
                                 cudaStream_t stream);

/// Scales the upper triangle of (size, size) by 1 / divisor and copies it to the lower one.
cudaError_t launch_mirror(double* matrix, std::int64_t size, double divisor, cudaStream_t stream);

/// slope (count) = φ'(pre).
cudaError_t launch_slope(Activation activation, const double* pre, std::int64_t count, double* slope,
                         cudaStream_t stream);
/// bend (count) = φ''(pre) ⊙ delta, then delta ← slope ⊙ delta.
cudaError_t launch_bend(Activation activation, const double* pre, const double* slope, std::int64_t count,
                        double* delta, double* bend, cudaStream_t stream);
/// block (rows, H·C, H·C) = ∇²ℓ.
cudaError_t launch_output_curvature(const OutputRows& rows, double* block, cudaStream_t stream);
/// block (rows, H·C, H·C) = F with FᵀF = ∇²ℓ for cross entropy, and FᵀF = ½∇²ℓ for the squared error.
cudaError_t launch_output_curvature_root(const OutputRows& rows, double* block, cudaStream_t stream);
/// values (rows, repeats, units) ← values ⊙ factor (rows, 1, units).
cudaError_t launch_scale_rows(const double* factor, std::int64_t rows, std::int64_t repeats, std::int64_t units,
                              double* values, cudaStream_t stream);
/// block (rows, units, units) ← diag(slope) block + diag(bend), slope and bend (rows, units); bend null: none.
cudaError_t launch_finish_diagonal(const double* slope, const double* bend, std::int64_t rows, std::int64_t units,
                                   double* block, cudaStream_t stream);
/// block (rows, in, out) = diag(lower) weightᵀ diag(upper): weight (out, in), lower (rows, in), upper (rows, out).
cudaError_t launch_first_sensitivity(const double* weight, const double* lower, const double* upper, std::int64_t rows,
                                     std::int64_t in, std::int64_t out, double* block, cudaStream_t stream);
/// product (count) = a ⊙ b.
cudaError_t launch_multiply(const double* a, const double* b, std::int64_t count, double* product, cudaStream_t stream);
/// cotangent (count) ← slope ⊙ cotangent + bend ⊙ tangent; bend null: none.
cudaError_t launch_lower_cotangent(const double* slope, const double* bend, const double* tangent, std::int64_t count,
                                   double* cotangent, cudaStream_t stream);

/// columns (size): for each row of the upper triangle, the column of its first non-finite entry, or size.
cudaError_t launch_find_not_finite(const double* matrix, std::int64_t size, std::int64_t* columns, cudaStream_t stream);
/// norms (count) = ‖image − value · vector‖₂ for the rows of images and vectors (count, size), values (count).
cudaError_t launch_residual_norms(const double* images, const double* vectors, const double* values, std::int64_t count,
                                  std::int64_t size, double* norms, cudaStream_t stream);

}  // namespace lossatlas::kernels
