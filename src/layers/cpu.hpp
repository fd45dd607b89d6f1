// The CPU, as the verbs of layers see it (verbs.hpp): products by BLAS on the calling thread.
#pragma once

#include <lossatlas/dense.hpp>

#include "linalg/blas.hpp"

namespace lossatlas::cpu {

struct Cpu {
  using Matrix = cpu::Matrix;
  using ConstMatrix = cpu::ConstMatrix;
  using Parameters = LayerView<const double>;
  using Gradient = LayerView<double>;
};

}  // namespace lossatlas::cpu
