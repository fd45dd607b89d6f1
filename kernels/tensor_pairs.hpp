// The fused kernel of joint plans with shared later layers on the tensor cores; see tensor_shape.hpp for what it takes.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "pair_losses.hpp"
#include "tensor_shape.hpp"

namespace lossatlas::kernels {

template <class T>
struct TensorPairs {
  /// As for the generic kernel, but for `base`, which is packed by launch_pack_samples, and block_chunks = 1. Weights
  /// are finite.
  PairLosses<T> pairs;
  const T* bias = nullptr;  ///< B: (points, units); in float, conversions would take the units that compute tanh
  TensorShape shape;
  const float* unscales = nullptr;  ///< (depth), half only: powers of two, weights are divided by them. Null: all 1
  std::int32_t* flags = nullptr;    ///< (points), half only: raised to 1 where a number was out of range
};

/// Values of one part A_d when packed for tiles of `rows` samples.
std::int64_t packed_samples(std::int64_t units, std::int64_t samples, std::int64_t rows);

/// Samples of A_d (samples, units) to (tiles, blocks, fragment): units past the last are zero, samples repeat the last.
template <class T>
cudaError_t launch_pack_samples(const double* from, std::int64_t units, std::int64_t samples, std::int64_t rows, T* to,
                                cudaStream_t stream);

/// The bits of a partial sum depend neither on the other points nor on how points are given to blocks.
template <class T>
cudaError_t launch_tensor_pairs(const TensorPairs<T>& pairs, cudaStream_t stream);

}  // namespace lossatlas::kernels
