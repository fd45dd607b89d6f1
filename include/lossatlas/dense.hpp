#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <lossatlas/activation.hpp>

namespace lossatlas {

/// A dense layer a = φ(W a₋ + b): W is (out, in), row-major; b is (out), or absent.
/// @snippet api/networks.cpp graph
struct Dense {
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
  Activation activation = Activation::identity;

  friend bool operator==(const Dense&, const Dense&) = default;
};

/// A read-only or mutable view of a weight (out, in, taps): `taps` entries from each input to each output, one in a
/// dense layer.
template <class T>
struct WeightView {
  T* data = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t taps = 1;

  std::int64_t size() const { return out * in * taps; }
  T& operator()(std::int64_t output, std::int64_t input, std::int64_t tap = 0) const {
    return data[(output * in + input) * taps + tap];
  }
  /// What goes into one output: (in, taps).
  std::span<T> row(std::int64_t output) const {
    return {data + output * in * taps, static_cast<std::size_t>(in * taps)};
  }
};

/// Weight (out, in, taps) and bias (out, or empty) of one layer inside a flat parameter vector.
/// @snippet api/networks.cpp chain
template <class T>
struct LayerView {
  WeightView<T> weight;
  std::span<T> bias;
};

}  // namespace lossatlas
