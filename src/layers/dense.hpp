// The verbs of a dense layer on the CPU; see verbs.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lossatlas/dense.hpp>

#include "layers/cpu.hpp"

namespace lossatlas::cpu {

template <class T>
Block<T> matrix(const WeightView<T>& view) {
  return {view.data, view.in};
}

inline void forward(const Cpu&, const Dense& layer, const LayerView<const double>& view, std::int64_t rows,
                    std::span<const ConstMatrix> inputs, Matrix pre) {
  if (layer.bias) {
    for (std::int64_t r = 0; r < rows; ++r) std::copy(view.bias.begin(), view.bias.end(), pre.at(r, 0).data);
  }
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, inputs.front(), matrix(view.weight), layer.bias ? 1 : 0,
       pre);
}

inline void jvp(const Cpu& cpu, const Dense& layer, const LayerView<const double>& view,
                const LayerView<const double>& direction, std::int64_t rows, std::span<const ConstMatrix> inputs,
                std::span<const ConstMatrix> tangents, Matrix next) {
  forward(cpu, layer, direction, rows, inputs, next);
  if (!tangents.front().data) return;
  gemm(Op::none, Op::transpose, rows, layer.out, layer.in, 1, tangents.front(), matrix(view.weight), 1, next);
}

inline void vjp_input(const Cpu&, const Dense& layer, const LayerView<const double>& view, std::int64_t rows,
                      ConstMatrix cotangent, double beta, Matrix below) {
  gemm(Op::none, Op::none, rows, layer.in, layer.out, 1, cotangent, matrix(view.weight), beta, below);
}

inline void vjp_parameters(const Cpu&, const Dense& layer, std::int64_t rows, ConstMatrix cotangent,
                           std::span<const ConstMatrix> inputs, const LayerView<double>& gradient) {
  gemm(Op::transpose, Op::none, layer.out, layer.in, rows, 1, cotangent, inputs.front(), 1, matrix(gradient.weight));
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = cotangent.at(r, 0).data;
    for (std::size_t i = 0; i < gradient.bias.size(); ++i) gradient.bias[i] += row[i];
  }
}

}  // namespace lossatlas::cpu
