#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// An elementwise activation φ.
///
/// relu has φ'(0) = 0 and φ'' = 0; leaky_relu has slope kLeakySlope for x < 0; gelu is the exact form
/// x·(1 + erf(x/√2))/2; softplus is log(1 + eˣ). NaN stays NaN under every one of them.
enum class Activation : std::uint8_t { identity, relu, leaky_relu, tanh, sigmoid, softplus, gelu, sine };

inline constexpr double kLeakySlope = 0.01;

/// φ(x).
LOSSATLAS_API double activate(Activation activation, double x);
/// φ'(x).
LOSSATLAS_API double activate_derivative(Activation activation, double x);
/// φ''(x).
LOSSATLAS_API double activate_second_derivative(Activation activation, double x);

/// The lower-case name: "identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "gelu", "sine".
LOSSATLAS_API std::string_view name(Activation activation);
/// The inverse of name(). Throws InvalidArgument with a list of the names.
LOSSATLAS_API Activation parse_activation(std::string_view text);
/// All activations, in the order of the enumeration.
LOSSATLAS_API std::span<const Activation> all_activations();

}  // namespace lossatlas
