// Dense layers on many rows, for a batch of weight matrices, and the terms of Add layers.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lossatlas/activation.hpp>

namespace lossatlas::kernels {

/// y[b] (rows, out) = φ(x[b] (rows, in) w[b] (out, in)ᵀ + bias[b] (out)) for b < batch; with a stride of 0 the batch
/// shares an operand.
template <class T>
struct DenseBatch {
  const T* x = nullptr;
  std::int64_t x_stride = 0;
  const T* weights = nullptr;
  std::int64_t weights_stride = 0;
  const T* bias = nullptr;  ///< null: none
  std::int64_t bias_stride = 0;
  T* y = nullptr;
  std::int64_t y_stride = 0;
  std::int64_t batch = 1;  ///< at most kMaxBatch
  std::int64_t rows = 0;
  std::int64_t in = 0;
  std::int64_t out = 0;
  Activation activation = Activation::identity;
};

inline constexpr std::int64_t kMaxBatch = 32768;

/// The bits of an entry depend on its own row and unit alone.
template <class T>
cudaError_t launch_dense(const DenseBatch<T>& batch, cudaStream_t stream);

/// One term of a sum: y[b] (rows, out) = φ(x[b] + y[b]), or φ(x[b]) for the first term. φ is that of the last term and
/// the identity for the others. With an x_stride of 0 the batch shares x.
template <class T>
struct AddBatch {
  const T* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t x_row = 0;  ///< from one row of x to the next, at least out
  T* y = nullptr;          ///< (batch, rows, out)
  std::int64_t batch = 1;
  std::int64_t rows = 0;
  std::int64_t out = 0;
  bool first = true;
  Activation activation = Activation::identity;
};
template <class T>
cudaError_t launch_add(const AddBatch<T>& batch, cudaStream_t stream);

}  // namespace lossatlas::kernels
