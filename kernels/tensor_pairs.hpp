// The fused tensor-core kernel of joint plans with shared later layers; tensor_shape.hpp says which plans it takes.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "pair_losses.hpp"
#include "tensor_shape.hpp"

namespace lossatlas::kernels {

template <class T>
struct TensorPairs {
  /// As for the generic kernel, except that launch_pack_samples() packs `base` and that block_chunks = 1. Weights are
  /// finite.
  PairLosses<T> pairs;
  const T* bias = nullptr;  ///< B: (points, units); float, since conversions would occupy the units that compute tanh
  TensorShape shape;
  const float* weight_scales =
      nullptr;                    ///< (depth), half only: powers of two that the weights are divided by. Null: all 1
  std::int32_t* flags = nullptr;  ///< (points), half only: set to 1 if a number was out of range
};

/// Values of one part A_d when packed for tiles of `rows` samples.
std::int64_t packed_samples(std::int64_t units, std::int64_t samples, std::int64_t rows);

/// Packs samples of A_d (samples, units) into (tiles, blocks, fragment). Units past the last are zero; samples past the
/// last repeat it.
template <class T>
cudaError_t launch_pack_samples(const double* from, std::int64_t units, std::int64_t samples, std::int64_t rows, T* to,
                                cudaStream_t stream);

/// The bits of a partial sum depend neither on the other points nor on how points are divided among blocks.
template <class T>
cudaError_t launch_tensor_pairs(const TensorPairs<T>& pairs, cudaStream_t stream);

}  // namespace lossatlas::kernels
