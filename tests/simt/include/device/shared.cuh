// The emulated twin of kernels/device/shared.cuh.
#pragma once

#include "simt/cuda.hpp"

namespace lossatlas::device {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(simt::detail::dynamic_shared());
}

}  // namespace lossatlas::device
