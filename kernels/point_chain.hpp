// Units that depend only on the grid point: a chain of layers with its weights at α, for many points at once.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "layer_parts.hpp"

namespace lossatlas::kernels {

template <class T>
struct PointChain {
  const LayerParts<T>* layers = nullptr;  ///< device memory; matrices (in, out); the first has in = 0
  std::int32_t depth = 0;
  std::int64_t widths[2] = {0, 0};  ///< the largest width of layers 0, 2, .. and of layers 1, 3, ..
  const double* alpha = nullptr;    ///< (points, rank)
  std::int64_t rank = 0;
  std::int64_t points = 0;
  T* outputs = nullptr;  ///< (points, out of the last layer)
};

/// Values of scratch memory that launch_point_chain() needs: 0 if a block's activations fit in its shared memory.
template <class T>
std::int64_t point_chain_scratch(const PointChain<T>& chain, std::int64_t shared_limit);

/// The bits of a point's outputs depend only on that point.
template <class T>
cudaError_t launch_point_chain(const PointChain<T>& chain, T* scratch, std::int64_t shared_limit, cudaStream_t stream);

}  // namespace lossatlas::kernels
