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

/// A read-only or mutable view of a row-major matrix (rows, cols).
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  T& operator()(std::int64_t row, std::int64_t col) const { return data[row * cols + col]; }
  std::span<T> row(std::int64_t index) const { return {data + index * cols, static_cast<std::size_t>(cols)}; }
};

/// Weight (out, in) and bias (out, or empty) of one layer inside a flat parameter vector.
/// @snippet api/networks.cpp chain
template <class T>
struct LayerView {
  MatrixView<T> weight;
  std::span<T> bias;
};

}  // namespace lossatlas
