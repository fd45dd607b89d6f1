#pragma once

#include <lossatlas/activation.hpp>

namespace lossatlas {

/// a = φ(a₁ + a₂ + ...): adds two or more values of one shape, such as the two branches of a residual block. It has no
/// parameters.
/// @snippet api/networks.cpp graph
struct Add {
  Activation activation = Activation::identity;

  friend bool operator==(const Add&, const Add&) = default;
};

}  // namespace lossatlas
