// A layer of a section plan in device memory.
#pragma once

#include <cstdint>

#include <lossatlas/activation.hpp>

namespace lossatlas::kernels {

/// W(α) = W_0 + Σ_k α[weight_directions[k]] W_{k+1} between `in` and `out` units; b(α) likewise. The kernel that reads
/// a matrix decides its layout, (out, in) or (in, out).
template <class T>
struct LayerParts {
  std::int64_t in = 0;
  std::int64_t out = 0;
  Activation activation = Activation::identity;
  std::int32_t moving_weights = 0;  ///< directions that move W
  std::int32_t moving_biases = 0;   ///< directions that move b
  const std::int32_t* weight_directions = nullptr;
  const std::int32_t* bias_directions = nullptr;
  const T* weights = nullptr;  ///< (1 + moving_weights, out·in)
  const T* biases = nullptr;   ///< (1 + moving_biases, out), or null: no bias

  bool shared() const { return moving_weights == 0 && moving_biases == 0; }
  /// Values of W(α) and b(α) together.
  std::int64_t values() const { return out * (in + 1); }
};

/// Labels (N), or real targets (N, C); one of them is null.
template <class T>
struct SampleTargets {
  const std::int32_t* labels = nullptr;
  const T* values = nullptr;
};

}  // namespace lossatlas::kernels
