// What a kind of layer does to a chunk of samples: a row for each sample, products by BLAS on the calling thread. One
// set of these functions for each kind of layer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>

#include <lossatlas/network.hpp>

#include "linalg/blas.hpp"

namespace lossatlas::cpu {

inline std::int64_t width(const Layer& layer) {
  return std::visit([](const auto& one) { return one.out; }, layer);
}

inline Activation activation(const Layer& layer) {
  return std::visit([](const auto& one) { return one.activation; }, layer);
}

inline ConstMatrix weights(const LayerView<const double>& view) { return {view.weight.data, view.weight.cols}; }

/// pre (rows, out) ← below Wᵀ + b.
inline void forward(const Dense& layer, const LayerView<const double>& view, std::int64_t rows, ConstMatrix below,
                    Matrix pre) {
  if (layer.bias) {
    for (std::int64_t r = 0; r < rows; ++r) std::copy(view.bias.begin(), view.bias.end(), pre.at(r, 0).data);
  }
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, below, weights(view), layer.bias ? 1 : 0, pre);
}

/// next (rows, out) += tangent Wᵀ, the image of a tangent (rows, in) of the input.
inline void add_image(const Dense& layer, const LayerView<const double>& view, std::int64_t rows, ConstMatrix tangent,
                      Matrix next) {
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, tangent, weights(view), 1, next);
}

/// gradient += deltaᵀ below, the weights' share of the cotangent delta (rows, out).
inline void pull_to_weights(const Dense& layer, std::int64_t rows, ConstMatrix delta, ConstMatrix below,
                            const LayerView<double>& gradient) {
  gemm(Op::transpose, Op::none, layer.out, layer.in, rows, 1, delta, below, 1,
       {gradient.weight.data, gradient.weight.cols});
}

/// gradient += deltaᵀ [below, 1], the parameters' share of the cotangent delta (rows, out).
inline void pull_to_parameters(const Dense& layer, std::int64_t rows, ConstMatrix delta, ConstMatrix below,
                               const LayerView<double>& gradient) {
  pull_to_weights(layer, rows, delta, below, gradient);
  if (!layer.bias) return;
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = delta.at(r, 0).data;
    for (std::int64_t i = 0; i < layer.out; ++i) gradient.bias[static_cast<std::size_t>(i)] += row[i];
  }
}

/// below (rows, in) ← delta W + beta·below.
inline void pull_to_input(const Dense& layer, const LayerView<const double>& view, std::int64_t rows, ConstMatrix delta,
                          double beta, Matrix below) {
  gemm(Op::none, Op::none, rows, layer.in, layer.out, 1, delta, weights(view), beta, below);
}

}  // namespace lossatlas::cpu
