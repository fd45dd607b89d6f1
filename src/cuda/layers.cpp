#include "cuda/layers.hpp"

#include "../kernels/dense.hpp"
#include "../kernels/training.hpp"

namespace lossatlas::cuda {
namespace {

/// to (rows, width) ← from + beta·to, beta 0 or 1; `to` has no gaps between rows.
void accumulate(const Gpu& gpu, std::int64_t rows, ConstDeviceMatrix from, double beta, DeviceMatrix to) {
  kernels::AddBatch<double> term;
  term.x = from.data;
  term.x_row = from.stride;
  term.y = to.data;
  term.rows = rows;
  term.out = to.stride;
  term.first = beta == 0;
  LOSSATLAS_CUDA(kernels::launch_add(term, gpu.workspace.stream()));
}

void add_bias(const Gpu& gpu, const Dense& layer, const double* bias, std::int64_t rows, DeviceMatrix to) {
  LOSSATLAS_CUDA(kernels::launch_add_bias(to.data, bias, rows, layer.out, gpu.workspace.stream()));
}

}  // namespace

void forward(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, std::int64_t rows,
             std::span<const ConstDeviceMatrix> inputs, DeviceMatrix pre) {
  multiply_by_transposed(gpu.workspace, rows, layer.out, layer.in, inputs.front(), {parameters.weight, layer.in}, 0,
                         pre);
  add_bias(gpu, layer, parameters.bias, rows, pre);
}

void jvp(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, const Gpu::Parameters& direction,
         std::int64_t rows, std::span<const ConstDeviceMatrix> inputs, std::span<const ConstDeviceMatrix> tangents,
         DeviceMatrix next) {
  multiply_by_transposed(gpu.workspace, rows, layer.out, layer.in, inputs.front(), {direction.weight, layer.in}, 0,
                         next);
  if (tangents.front().data) {
    multiply_by_transposed(gpu.workspace, rows, layer.out, layer.in, tangents.front(), {parameters.weight, layer.in}, 1,
                           next);
  }
  add_bias(gpu, layer, direction.bias, rows, next);
}

void vjp_input(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, std::int64_t rows,
               ConstDeviceMatrix cotangent, double beta, DeviceMatrix below) {
  multiply(gpu.workspace, rows, layer.in, layer.out, cotangent, {parameters.weight, layer.in}, beta, below);
}

void vjp_parameters(const Gpu& gpu, const Dense& layer, std::int64_t rows, ConstDeviceMatrix cotangent,
                    std::span<const ConstDeviceMatrix> inputs, const Gpu::Gradient& gradient) {
  multiply_transposed(gpu.workspace, layer.out, layer.in, rows, cotangent, inputs.front(), 1,
                      {gradient.weight, layer.in});
  if (!gradient.bias) return;
  LOSSATLAS_CUDA(
      kernels::launch_add_column_sums(cotangent.data, rows, layer.out, gradient.bias, gpu.workspace.stream()));
}

void forward(const Gpu& gpu, const Add&, const Gpu::Parameters&, std::int64_t rows,
             std::span<const ConstDeviceMatrix> inputs, DeviceMatrix pre) {
  for (std::size_t i = 0; i < inputs.size(); ++i) accumulate(gpu, rows, inputs[i], i == 0 ? 0 : 1, pre);
}

void jvp(const Gpu& gpu, const Add&, const Gpu::Parameters&, const Gpu::Parameters&, std::int64_t rows,
         std::span<const ConstDeviceMatrix>, std::span<const ConstDeviceMatrix> tangents, DeviceMatrix next) {
  fill_zero(gpu.workspace.memory(), next.data, rows * next.stride);
  for (const ConstDeviceMatrix& tangent : tangents) {
    if (tangent.data) accumulate(gpu, rows, tangent, 1, next);
  }
}

void vjp_input(const Gpu& gpu, const Add&, const Gpu::Parameters&, std::int64_t rows, ConstDeviceMatrix cotangent,
               double beta, DeviceMatrix below) {
  accumulate(gpu, rows, cotangent, beta, below);
}

void vjp_parameters(const Gpu&, const Add&, std::int64_t, ConstDeviceMatrix, std::span<const ConstDeviceMatrix>,
                    const Gpu::Gradient&) {}

}  // namespace lossatlas::cuda
