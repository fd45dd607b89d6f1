// Layers of a section plan in device memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

#include "../kernels/layer_parts.hpp"
#include "cuda/memory.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// How a matrix is stored: row-major (out, in), or transposed.
enum class MatrixOrder { out_in, in_out };

template <class T>
class PackedLayers {
 public:
  /// Uploads the layers and waits. Heeds a requested stop.
  PackedLayers(Memory& memory, std::span<const ChainLayer> layers, MatrixOrder order, const Control& control);

  /// The layers with device pointers, in host memory and in device memory.
  std::span<const kernels::LayerParts<T>> layers() const { return parts_; }
  const kernels::LayerParts<T>* on_device() const { return device_parts_.data(); }

 private:
  std::vector<kernels::LayerParts<T>> parts_;
  DeviceBuffer<T> values_;
  DeviceBuffer<std::int32_t> directions_;
  DeviceBuffer<kernels::LayerParts<T>> device_parts_;
};

}  // namespace lossatlas::cuda
