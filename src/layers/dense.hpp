// The operations of a dense layer on the CPU, on a chunk of samples, one row per sample; products by BLAS on the
// calling thread. Every kind of layer has these operations, under the same names.
//
//   forward         z = W a + b
//   jvp             ż = V a + v + W ȧ, along (V, v) in the parameters and ȧ in the inputs
//   vjp_input       ā = Wᵀ z̄ + β ā
//   vjp_parameters  W̄ += Σ_n z̄_n a_nᵀ,  b̄ += Σ_n z̄_n;  vjp_weights is the first of the two
//
// A tangent without data is 0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lossatlas/dense.hpp>

#include "linalg/blas.hpp"

namespace lossatlas::cpu {

inline ConstMatrix weights(const LayerView<const double>& view) { return {view.weight.data, view.weight.cols}; }

/// pre (rows, out) ← below Wᵀ + b.
inline void forward(const Dense& layer, const LayerView<const double>& view, std::int64_t rows,
                    std::span<const ConstMatrix> inputs, Matrix pre) {
  if (layer.bias) {
    for (std::int64_t r = 0; r < rows; ++r) std::copy(view.bias.begin(), view.bias.end(), pre.at(r, 0).data);
  }
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, inputs.front(), weights(view), layer.bias ? 1 : 0, pre);
}

/// next (rows, out) ← below Vᵀ + v + tangent Wᵀ.
inline void jvp(const Dense& layer, const LayerView<const double>& view, const LayerView<const double>& direction,
                std::int64_t rows, std::span<const ConstMatrix> inputs, std::span<const ConstMatrix> tangents,
                Matrix next) {
  forward(layer, direction, rows, inputs, next);
  if (!tangents.front().data) return;
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, tangents.front(), weights(view), 1, next);
}

/// below (rows, in) ← cotangent W + beta·below for a cotangent (rows, out).
inline void vjp_input(const Dense& layer, const LayerView<const double>& view, std::int64_t rows, ConstMatrix cotangent,
                      double beta, Matrix below) {
  gemm(Op::none, Op::none, rows, layer.in, layer.out, 1, cotangent, weights(view), beta, below);
}

/// gradient += cotangentᵀ below, for the weights alone.
inline void vjp_weights(const Dense& layer, std::int64_t rows, ConstMatrix cotangent,
                        std::span<const ConstMatrix> inputs, const LayerView<double>& gradient) {
  gemm(Op::transpose, Op::none, layer.out, layer.in, rows, 1, cotangent, inputs.front(), 1,
       {gradient.weight.data, gradient.weight.cols});
}

/// gradient += cotangentᵀ [below, 1].
inline void vjp_parameters(const Dense& layer, std::int64_t rows, ConstMatrix cotangent,
                           std::span<const ConstMatrix> inputs, const LayerView<double>& gradient) {
  vjp_weights(layer, rows, cotangent, inputs, gradient);
  if (!layer.bias) return;
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = cotangent.at(r, 0).data;
    for (std::int64_t i = 0; i < layer.out; ++i) gradient.bias[static_cast<std::size_t>(i)] += row[i];
  }
}

}  // namespace lossatlas::cpu
