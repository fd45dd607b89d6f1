#include "cuda/hessian_pass.hpp"

#include <algorithm>
#include <variant>

namespace lossatlas::cuda {
namespace {

/// Row-major matrices are transposed column-major ones: C is transposed, and so the factors swap places.
void gemm(Workspace& workspace, cublasOperation_t op_a, cublasOperation_t op_b, std::int64_t m, std::int64_t n,
          std::int64_t k, ConstDeviceMatrix a, ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  const double one = 1;
  LOSSATLAS_CUDA(cublasDgemm_64(workspace.cublas(), op_b, op_a, n, m, k, &one, b.data, b.stride, a.data, a.stride,
                                &beta, c.data, c.stride));
}

}  // namespace

std::vector<kernels::PlacedLayer> placed_layers(const Network& network) {
  std::vector<kernels::PlacedLayer> placed;
  for (const Layer& layer : network.layers()) {
    const Dense& dense = std::get<Dense>(layer);
    placed.push_back({dense.in, dense.out});
  }
  for (const ParameterBlock& block : network.blocks()) {
    kernels::PlacedLayer& layer = placed[static_cast<std::size_t>(block.layer)];
    (block.kind == ParameterBlock::Kind::bias ? layer.bias : layer.weight) = block.offset;
  }
  return placed;
}

void multiply(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
              ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, a, b, beta, c);
}

void multiply_by_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                            ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, a, b, beta, c);
}

void multiply_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                         ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, a, b, beta, c);
}

std::int64_t HessianPass::sample_entries(const Problem& problem) {
  std::int64_t sum = 0;
  for (const kernels::PlacedLayer& layer : placed_layers(problem.network())) sum += layer.augmented() + 4 * layer.out;
  return sum;
}

HessianPass::HessianPass(Workspace& workspace, const Problem& problem, const double* theta, std::int64_t capacity)
    : workspace_(workspace), problem_(problem), theta_(theta) {
  Memory& memory = workspace.memory();
  const std::vector<kernels::PlacedLayer> placed = placed_layers(problem.network());
  for (std::size_t l = 0; l < placed.size(); ++l) {
    const auto buffer = [&](std::int64_t width) { return DeviceBuffer<double>(memory, capacity * width); };
    const std::int64_t out = placed[l].out;
    layers_.push_back({placed[l], std::get<Dense>(problem.network().layers()[l]).activation,
                       buffer(placed[l].augmented()), buffer(out), buffer(out), buffer(out), buffer(out)});
    if (placed[l].bias < 0) continue;
    LOSSATLAS_CUDA(kernels::launch_fill_strided(layers_.back().input.data() + placed[l].in, capacity,
                                                placed[l].augmented(), 1, workspace.stream()));
  }
}

void HessianPass::compute(std::int64_t first, std::int64_t rows, bool residuals) {
  first_ = first;
  rows_ = rows;
  forward_pass();
  if (residuals) backward_pass();
}

void HessianPass::forward_pass() {
  const cudaStream_t stream = workspace_.stream();
  const LayerMemory& lowest = layers_.front();
  LOSSATLAS_CUDA(kernels::launch_activate(Activation::identity, problem_.inputs() + first_ * problem_.features(), rows_,
                                          problem_.features(), lowest.input.data(), lowest.placed.augmented(), stream));
  for (std::size_t l = 0; l < depth(); ++l) {
    const LayerMemory& layer = layers_[l];
    multiply_by_transposed(workspace_, rows_, out(l), layer.placed.in, input(l), weights(l), 0,
                           {layer.pre.data(), out(l)});
    LOSSATLAS_CUDA(kernels::launch_add_bias(layer.pre.data(), bias(l, theta_), rows_, out(l), stream));
    LOSSATLAS_CUDA(
        kernels::launch_slope(layer.activation, layer.pre.data(), rows_ * out(l), layer.slope.data(), stream));
    if (l + 1 == depth()) break;
    const LayerMemory& above = layers_[l + 1];
    LOSSATLAS_CUDA(kernels::launch_activate(layer.activation, layer.pre.data(), rows_, out(l), above.input.data(),
                                            above.placed.augmented(), stream));
  }
}

void HessianPass::backward_pass() {
  const std::size_t last = depth() - 1;
  LOSSATLAS_CUDA(kernels::launch_loss_gradient(outputs(), layers_[last].delta.data(), workspace_.stream()));
  for (std::size_t l = last; l-- > 0;) {
    const LayerMemory& layer = layers_[l];
    multiply(workspace_, rows_, out(l), out(l + 1), {delta(l + 1), out(l + 1)}, weights(l + 1), 0,
             {layer.delta.data(), out(l)});
    LOSSATLAS_CUDA(kernels::launch_bend(layer.activation, layer.pre.data(), slope(l), rows_ * out(l),
                                        layer.delta.data(), layer.bend.data(), workspace_.stream()));
  }
}

kernels::OutputRows HessianPass::outputs() const {
  kernels::OutputRows rows;
  rows.outputs = layers_.back().pre.data();
  rows.first = first_;
  rows.rows = rows_;
  rows.loss = problem_.loss();
  rows.heads = problem_.network().heads();
  rows.classes = problem_.network().outputs_per_head();
  rows.targets = problem_.targets<double>();
  return rows;
}

}  // namespace lossatlas::cuda
