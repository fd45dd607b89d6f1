// Activations over contiguous values, the choice of the function outside the loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <lossatlas/activation.hpp>

#include "../kernels/scalar.cuh"

namespace lossatlas::cpu {

/// body(constant) with the activation as a compile-time constant.
template <class Body>
void with_constant(Activation activation, Body&& body) {
  using enum Activation;
  switch (activation) {
    case identity:
      return body(std::integral_constant<Activation, identity>{});
    case relu:
      return body(std::integral_constant<Activation, relu>{});
    case leaky_relu:
      return body(std::integral_constant<Activation, leaky_relu>{});
    case tanh:
      return body(std::integral_constant<Activation, tanh>{});
    case sigmoid:
      return body(std::integral_constant<Activation, sigmoid>{});
    case softplus:
      return body(std::integral_constant<Activation, softplus>{});
    case gelu:
      return body(std::integral_constant<Activation, gelu>{});
    case sine:
      return body(std::integral_constant<Activation, sine>{});
  }
}

/// result (count) ← φ(x); result may be x.
inline void apply(Activation activation, std::int64_t count, const double* x, double* result) {
  with_constant(activation, [&](auto chosen) {
    for (std::int64_t i = 0; i < count; ++i) result[i] = scalar::activate(chosen(), x[i]);
  });
}

/// values (count) ← φ'(x) ⊙ values.
inline void multiply_slope(Activation activation, std::int64_t count, const double* x, double* values) {
  with_constant(activation, [&](auto chosen) {
    for (std::int64_t i = 0; i < count; ++i) values[i] *= scalar::activate_derivative(chosen(), x[i]);
  });
}

/// values (count) ← φ''(x) ⊙ values, from x, φ(x) and φ'(x).
inline void multiply_bend(Activation activation, std::int64_t count, const double* x, const double* post,
                          const double* slope, double* values) {
  with_constant(activation, [&](auto chosen) {
    for (std::int64_t i = 0; i < count; ++i) {
      if constexpr (chosen() == Activation::tanh) {  // the same bits without a second tanh, the dearest part of a pass
        values[i] *= -2 * post[i] * slope[i];
      } else {
        values[i] *= scalar::activate_second_derivative(chosen(), x[i]);
      }
    }
  });
}

}  // namespace lossatlas::cpu
