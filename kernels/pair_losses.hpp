// Fused kernels of joint plans: everything from the affine layer to the loss, for pairs of a grid point and a sample.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lossatlas/loss.hpp>

#include "layer_parts.hpp"
#include "tensor_shape.hpp"

namespace lossatlas::kernels {

template <class T>
struct PairLosses {
  // z(g, n) = A_0[n] + Σ_d α_g[directions[d]] A_{d+1}[n] + B[g], a = φ(z)
  const T* base = nullptr;       ///< A: (1 + moving, units, N)
  const double* bias = nullptr;  ///< B: (points, units)
  const std::int32_t* directions = nullptr;
  std::int32_t moving = 0;
  std::int64_t units = 0;
  Activation activation = Activation::identity;

  const LayerParts<T>* later = nullptr;  ///< device memory; matrices (out, in)
  std::int32_t depth = 0;
  bool later_move = false;          ///< some later layer moves with α
  std::int64_t weight_values = 0;   ///< Σ of LayerParts::values()
  std::int64_t widths[2] = {0, 0};  ///< the largest width of: joint units, later 1, 3, ..; later 0, 2, ..

  Loss loss = Loss::mean_squared_error;
  std::int64_t heads = 1;
  std::int64_t classes = 1;
  SampleTargets<T> targets;
  std::int64_t samples = 0;  ///< N
  std::int64_t chunks = 0;   ///< N / kChunkSamples, rounded up

  const double* alpha = nullptr;  ///< (points, rank)
  std::int64_t rank = 0;
  std::int64_t points = 0;
  double* sums = nullptr;  ///< (points, chunks, H): sum of the losses of each chunk

  std::int64_t block_points = 1;  ///< per block
  std::int64_t block_chunks = 1;
};

/// Samples that a block holds in shared memory at once, 64 or 32; 0: the plan does not fit shared_limit bytes.
template <class T>
std::int64_t pair_tile(const PairLosses<T>& pairs, std::int64_t shared_limit);

/// The bits of a partial sum depend neither on the other points nor on how points and chunks are divided among blocks.
template <class T>
cudaError_t launch_pair_losses(const PairLosses<T>& pairs, std::int64_t shared_limit, cudaStream_t stream);

}  // namespace lossatlas::kernels
