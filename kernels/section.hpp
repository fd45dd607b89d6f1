// The small kernels of section evaluation: elementwise steps of the generic path, losses, sums over samples.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lossatlas/grid.hpp>
#include <lossatlas/loss.hpp>

#include "layer_parts.hpp"

namespace lossatlas::kernels {

/// to (columns, ·) = from (rows, columns)ᵀ, converted to T; row i of `to` begins at i·stride.
template <class T>
cudaError_t launch_transpose(const double* from, std::int64_t rows, std::int64_t columns, T* to, std::int64_t stride,
                             cudaStream_t stream);

/// alpha (count, rank) of points first..first+count−1 of the grid with these axes, with the bits of Grid::points().
cudaError_t launch_grid_points(const Axis* axes, std::int64_t rank, std::int64_t first, std::int64_t count,
                               double* alpha, cudaStream_t stream);

cudaError_t launch_to_float(const double* from, std::int64_t count, float* to, cudaStream_t stream);

/// to (points, values()): W(α) of one layer at every point, each followed by b(α) if there is a bias.
template <class T>
cudaError_t launch_form_layer(const LayerParts<T>& layer, const double* alpha, std::int64_t rank, std::int64_t points,
                              T* to, cudaStream_t stream);

/// The affine layer of a joint plan for a range of samples; see pair_losses.hpp.
template <class T>
struct JointRows {
  const T* base = nullptr;       ///< (1 + moving, units, N)
  const double* bias = nullptr;  ///< (points, units)
  const std::int32_t* directions = nullptr;
  std::int32_t moving = 0;
  std::int64_t units = 0;
  Activation activation = Activation::identity;
  const double* alpha = nullptr;  ///< (points, rank)
  std::int64_t rank = 0;
  std::int64_t points = 0;
  std::int64_t samples = 0;  ///< N
  std::int64_t first = 0;    ///< samples first..first+rows−1
  std::int64_t rows = 0;
  T* a = nullptr;  ///< (points, rows, units)
};
template <class T>
cudaError_t launch_joint_rows(const JointRows<T>& joint, cudaStream_t stream);

/// Sums, over chunks of kChunkSamples samples, of a value that a head's outputs give for each sample.
template <class T>
struct ChunkSums {
  const T* outputs = nullptr;  ///< (points, rows, H·C) of samples first..first+rows−1; first is the start of a chunk
  std::int64_t points = 0;
  std::int64_t first = 0;
  std::int64_t rows = 0;
  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  SampleTargets<T> targets;
  std::int64_t chunks = 0;  ///< of all samples
  double* sums = nullptr;   ///< (points, chunks, H)
};
/// Sums the losses.
template <class T>
cudaError_t launch_chunk_losses(const ChunkSums<T>& sums, cudaStream_t stream);
/// Sums hits: 1 if the first largest output is the label and no output of the head is NaN; labels only.
cudaError_t launch_chunk_hits(const ChunkSums<double>& sums, cudaStream_t stream);

/// means (points, H) = Σ over chunks of sums (points, chunks, H), in order, / samples.
cudaError_t launch_mean_of_chunks(const double* sums, std::int64_t points, std::int64_t chunks, std::int64_t heads,
                                  std::int64_t samples, double* means, cudaStream_t stream);

/// losses (points, H) of outputs (points, H·C) that depend on no sample, computed from the mean target (C) and the
/// variance.
template <class T>
struct StatisticLosses {
  const T* outputs = nullptr;
  const T* mean = nullptr;
  double variance = 0;
  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  std::int64_t points = 0;
  double* losses = nullptr;
};
template <class T>
cudaError_t launch_statistic_losses(const StatisticLosses<T>& statistics, cudaStream_t stream);

/// Residuals of a quadratic plan as columns: E = [E_0 − y, E_1, .., E_z] of each head, (rows, z+1) column-major with
/// rows ≥ N·C, zero below N·C.
struct ResidualColumns {
  const double* base = nullptr;           ///< A: (parts, H·C, N)
  const double* biases = nullptr;         ///< (bias parts, H·C), or null
  const std::int32_t* part_of = nullptr;  ///< (z+1): which part of A a column takes; −1: none
  const std::int32_t* bias_of = nullptr;  ///< (z+1): which part of the bias it takes; −1: none
  SampleTargets<double> targets;
  std::int64_t samples = 0;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  std::int64_t columns = 1;  ///< z+1
  std::int64_t rows = 0;
  double* matrix = nullptr;  ///< (H, z+1, rows)
};
cudaError_t launch_residual_columns(const ResidualColumns& residuals, cudaStream_t stream);

/// losses (points, H) = ‖F_h (1, α)‖² / samples, F_h the upper triangle of the first z+1 rows of matrix (H, z+1, rows).
cudaError_t launch_quadratic_losses(const ResidualColumns& factors, const double* alpha, std::int64_t points,
                                    double* losses, cudaStream_t stream);

}  // namespace lossatlas::kernels
