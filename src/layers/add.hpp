// The verbs of an Add layer on the CPU; see verbs.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lossatlas/add.hpp>

#include "layers/cpu.hpp"

namespace lossatlas::cpu {

/// to (rows, width) ← from + beta·to, for matrices without gaps between rows.
inline void accumulate(std::int64_t rows, ConstMatrix from, double beta, Matrix to) {
  const std::int64_t count = rows * to.stride;
  if (beta == 0) {
    std::copy_n(from.data, count, to.data);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) to.data[i] = from.data[i] + beta * to.data[i];
}

inline void forward(const Cpu&, const Add&, const LayerView<const double>&, std::int64_t rows,
                    std::span<const ConstMatrix> inputs, Matrix pre) {
  for (std::size_t i = 0; i < inputs.size(); ++i) accumulate(rows, inputs[i], i == 0 ? 0 : 1, pre);
}

inline void jvp(const Cpu&, const Add&, const LayerView<const double>&, const LayerView<const double>&,
                std::int64_t rows, std::span<const ConstMatrix>, std::span<const ConstMatrix> tangents, Matrix next) {
  std::fill_n(next.data, rows * next.stride, 0.0);
  for (const ConstMatrix& tangent : tangents) {
    if (tangent.data) accumulate(rows, tangent, 1, next);
  }
}

inline void vjp_input(const Cpu&, const Add&, const LayerView<const double>&, std::int64_t rows, ConstMatrix cotangent,
                      double beta, Matrix below) {
  accumulate(rows, cotangent, beta, below);
}

inline void vjp_parameters(const Cpu&, const Add&, std::int64_t, ConstMatrix, std::span<const ConstMatrix>,
                           const LayerView<double>&) {}

}  // namespace lossatlas::cpu
