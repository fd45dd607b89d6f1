// The loss of one sample on the device.
#pragma once

#include <cstdint>

#include <lossatlas/loss.hpp>

#include "layer_parts.hpp"
#include "scalar.cuh"

namespace lossatlas::kernels {

/// ℓ(p, y_n) for outputs p[c * stride], c < classes.
template <class T>
__device__ T sample_loss(Loss loss, const T* p, std::int64_t classes, std::int64_t stride,
                         const SampleTargets<T>& targets, std::int64_t n) {
  const bool entropy = loss == Loss::cross_entropy;
  if (targets.labels != nullptr) {
    const std::int64_t label = targets.labels[n];
    return entropy ? scalar::cross_entropy(p, classes, stride, label)
                   : scalar::squared_error(p, classes, stride, label);
  }
  const T* y = targets.values + n * classes;
  return entropy ? scalar::cross_entropy(p, classes, stride, y) : scalar::squared_error(p, classes, stride, y);
}

}  // namespace lossatlas::kernels
