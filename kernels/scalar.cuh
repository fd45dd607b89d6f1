// Activations with two derivatives and the losses of one sample, on host and device, in float or double. Every formula
// avoids cancellation and keeps NaN; infinite arguments give the limits.
#pragma once

#include <cmath>
#include <cstdint>

#include <lossatlas/activation.hpp>

#ifdef __CUDACC__
#define LOSSATLAS_HOST_DEVICE __host__ __device__
#else
#define LOSSATLAS_HOST_DEVICE
#endif

namespace lossatlas::scalar {

/// c for every x, except that NaN stays NaN.
template <class T>
LOSSATLAS_HOST_DEVICE inline T constant(T c, T x) {
  return x == x ? c : x;
}

/// 1 / (1 + exp(-x)).
template <class T>
LOSSATLAS_HOST_DEVICE inline T sigmoid(T x) {
  if (x >= T(0)) return T(1) / (T(1) + std::exp(-x));
  const T e = std::exp(x);
  return e / (T(1) + e);
}

/// s (1 - s), s = sigmoid(x).
template <class T>
LOSSATLAS_HOST_DEVICE inline T sigmoid_derivative(T x) {
  const T e = std::exp(-std::fabs(x));
  return e / ((T(1) + e) * (T(1) + e));
}

/// s (1 - s) (1 - 2 s), where 1 - 2 s = -tanh(x / 2).
template <class T>
LOSSATLAS_HOST_DEVICE inline T sigmoid_second_derivative(T x) {
  return -sigmoid_derivative(x) * std::tanh(x / T(2));
}

/// 1 - tanh² = 4 s (1 - s) at 2x.
template <class T>
LOSSATLAS_HOST_DEVICE inline T tanh_derivative(T x) {
  return T(4) * sigmoid_derivative(T(2) * x);
}

/// log(1 + exp(x)).
template <class T>
LOSSATLAS_HOST_DEVICE inline T softplus(T x) {
  return (x < T(0) ? T(0) : x) + std::log1p(std::exp(-std::fabs(x)));
}

/// The normal distribution function Φ(x) = erfc(-x/√2) / 2.
template <class T>
LOSSATLAS_HOST_DEVICE inline T normal_distribution(T x) {
  return std::erfc(x * T(-0.70710678118654752440)) / T(2);
}

/// The normal density exp(-x²/2) / √(2π).
template <class T>
LOSSATLAS_HOST_DEVICE inline T normal_density(T x) {
  return T(0.39894228040143267794) * std::exp(x * x / T(-2));
}

// The comparisons with zero in the three gelu functions replace ∞·0 by its limit.

/// x Φ(x).
template <class T>
LOSSATLAS_HOST_DEVICE inline T gelu(T x) {
  const T distribution = normal_distribution(x);
  return distribution == T(0) ? -distribution : x * distribution;
}

/// Φ(x) + x φ(x).
template <class T>
LOSSATLAS_HOST_DEVICE inline T gelu_derivative(T x) {
  const T density = normal_density(x);
  return normal_distribution(x) + (density == T(0) ? density : x * density);
}

/// φ(x) (2 - x²).
template <class T>
LOSSATLAS_HOST_DEVICE inline T gelu_second_derivative(T x) {
  const T density = normal_density(x);
  return density == T(0) ? -density : density * (T(2) - x * x);
}

/// φ(x) of the named activation.
template <class T>
LOSSATLAS_HOST_DEVICE inline T activate(Activation activation, T x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x < T(0) ? T(0) : x;
    case Activation::leaky_relu:
      return x < T(0) ? T(kLeakySlope) * x : x;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::softplus:
      return softplus(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::sine:
      return std::sin(x);
  }
  return x;
}

/// φ'(x).
template <class T>
LOSSATLAS_HOST_DEVICE inline T activate_derivative(Activation activation, T x) {
  switch (activation) {
    case Activation::identity:
      return constant(T(1), x);
    case Activation::relu:
      return constant(x > T(0) ? T(1) : T(0), x);
    case Activation::leaky_relu:
      return constant(x < T(0) ? T(kLeakySlope) : T(1), x);
    case Activation::tanh:
      return tanh_derivative(x);
    case Activation::sigmoid:
      return sigmoid_derivative(x);
    case Activation::softplus:
      return sigmoid(x);
    case Activation::gelu:
      return gelu_derivative(x);
    case Activation::sine:
      return std::cos(x);
  }
  return x;
}

/// φ''(x).
template <class T>
LOSSATLAS_HOST_DEVICE inline T activate_second_derivative(Activation activation, T x) {
  switch (activation) {
    case Activation::identity:
    case Activation::relu:
    case Activation::leaky_relu:
      return constant(T(0), x);
    case Activation::tanh:
      return T(-2) * std::tanh(x) * tanh_derivative(x);
    case Activation::sigmoid:
      return sigmoid_second_derivative(x);
    case Activation::softplus:
      return sigmoid_derivative(x);
    case Activation::gelu:
      return gelu_second_derivative(x);
    case Activation::sine:
      return -std::sin(x);
  }
  return x;
}

// Losses of one sample. Entry c of the outputs p is p[c * stride].

/// log Σ_c exp(p_c) = shift + log_sum, kept apart: the rounded sum would lose the differences between large outputs.
template <class T>
struct LogSumExp {
  T shift;    ///< max_c p_c; 0 if that is infinite, since a difference of infinities is NaN where a limit exists
  T log_sum;  ///< log Σ_c exp(p_c - shift)

  /// p_c - log Σ exp(p), the logarithm of softmax(p)_c.
  LOSSATLAS_HOST_DEVICE T log_share(T p) const { return (p - shift) - log_sum; }
};

template <class T>
LOSSATLAS_HOST_DEVICE inline LogSumExp<T> logsumexp(const T* p, std::int64_t count, std::int64_t stride) {
  T largest = p[0];
  for (std::int64_t c = 1; c < count; ++c) largest = p[c * stride] > largest ? p[c * stride] : largest;
  const T shift = std::fabs(largest) < T(INFINITY) ? largest : T(0);
  T sum = T(0);
  for (std::int64_t c = 0; c < count; ++c) sum += std::exp(p[c * stride] - shift);
  return {shift, std::log(sum)};
}

/// logsumexp(p) - p_label.
template <class T>
LOSSATLAS_HOST_DEVICE inline T cross_entropy(const T* p, std::int64_t count, std::int64_t stride, std::int64_t label) {
  const LogSumExp<T> norm = logsumexp(p, count, stride);
  return norm.log_sum - (p[label * stride] - norm.shift);
}

/// logsumexp(p) - y·p for a label distribution y of `count` adjacent entries; 0·(-∞) counts as 0.
template <class T>
LOSSATLAS_HOST_DEVICE inline T cross_entropy(const T* p, std::int64_t count, std::int64_t stride, const T* y) {
  const LogSumExp<T> norm = logsumexp(p, count, stride);
  T product = T(0);
  for (std::int64_t c = 0; c < count; ++c) product += y[c] == T(0) ? T(0) : y[c] * (p[c * stride] - norm.shift);
  return norm.log_sum - product;
}

/// ∂/∂p_c of the cross entropy, softmax(p)_c - y_c, from the logsumexp of all outputs.
template <class T>
LOSSATLAS_HOST_DEVICE inline T cross_entropy_derivative(T p, const LogSumExp<T>& norm, T y) {
  return std::exp(norm.log_share(p)) - y;
}

/// ‖p − y‖² for targets y of `count` adjacent entries.
template <class T>
LOSSATLAS_HOST_DEVICE inline T squared_error(const T* p, std::int64_t count, std::int64_t stride, const T* y) {
  T sum = T(0);
  for (std::int64_t c = 0; c < count; ++c) sum += (p[c * stride] - y[c]) * (p[c * stride] - y[c]);
  return sum;
}

/// ‖p − onehot(label)‖².
template <class T>
LOSSATLAS_HOST_DEVICE inline T squared_error(const T* p, std::int64_t count, std::int64_t stride, std::int64_t label) {
  T sum = T(0);
  for (std::int64_t c = 0; c < count; ++c) {
    const T difference = p[c * stride] - (c == label ? T(1) : T(0));
    sum += difference * difference;
  }
  return sum;
}

/// ∂/∂p_c of the squared error, 2 (p_c − y_c).
template <class T>
LOSSATLAS_HOST_DEVICE inline T squared_error_derivative(T p, T y) {
  return T(2) * (p - y);
}

}  // namespace lossatlas::scalar
