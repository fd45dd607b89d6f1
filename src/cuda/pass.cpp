#include "cuda/pass.hpp"

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

std::int64_t Pass::curvature_entries(const Problem& problem) {
  std::int64_t sum = 0;
  for (const kernels::PlacedLayer& layer : placed_layers(problem.network())) sum += layer.augmented() + 4 * layer.out;
  return sum;
}

Pass::Pass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers, PassDetail detail,
           std::int64_t capacity)
    : workspace_(workspace), problem_(problem), theta_(theta), detail_(detail), capacity_(capacity) {
  const std::vector<kernels::PlacedLayer> placed = placed_layers(problem.network());
  for (std::size_t l = 0; l < layers; ++l) {
    LayerMemory& layer = layers_.emplace_back();
    layer.placed = placed[l];
    layer.activation = std::get<Dense>(problem.network().layers()[l]).activation;
    layer.pre = buffer(placed[l].out);
    if (!keeps_curvature()) {
      if (l > 0) layer.input = buffer(placed[l].in);
      continue;
    }
    layer.input = buffer(placed[l].augmented());
    for (auto* values : {&layer.slope, &layer.delta, &layer.bend}) *values = buffer(placed[l].out);
    if (placed[l].bias < 0) continue;
    LOSSATLAS_CUDA(kernels::launch_fill_strided(layer.input.data() + placed[l].in, capacity, placed[l].augmented(), 1,
                                                workspace.stream()));
  }
  if (!keeps_curvature() && layers > 0) last_ = buffer(layers_.back().placed.out);
}

DeviceBuffer<double> Pass::buffer(std::int64_t width) const {
  return DeviceBuffer<double>(workspace_.memory(), capacity_ * width);
}

ConstDeviceMatrix Pass::input(std::size_t l) const {
  if (keeps_curvature()) return {layers_[l].input.data(), placed(l).augmented()};
  return {l == 0 ? data_rows() : layers_[l].input.data(), placed(l).in};
}

void Pass::forward(std::int64_t first, std::int64_t rows) {
  first_ = first;
  rows_ = rows;
  const cudaStream_t stream = workspace_.stream();
  const auto activate = [&](Activation activation, const double* from, std::int64_t width, double* to,
                            std::int64_t stride) {
    LOSSATLAS_CUDA(kernels::launch_activate(activation, from, rows, width, to, stride, stream));
  };
  if (keeps_curvature()) {
    activate(Activation::identity, data_rows(), problem_.features(), layers_.front().input.data(), input(0).stride);
  }
  for (std::size_t l = 0; l < depth(); ++l) {
    const LayerMemory& layer = layers_[l];
    multiply_by_transposed(workspace_, rows, out(l), placed(l).in, input(l), weights(l), 0, {layer.pre.data(), out(l)});
    LOSSATLAS_CUDA(kernels::launch_add_bias(layer.pre.data(), bias(l, theta_), rows, out(l), stream));
    if (keeps_curvature()) {
      LOSSATLAS_CUDA(
          kernels::launch_slope(layer.activation, layer.pre.data(), rows * out(l), layer.slope.data(), stream));
    }
    if (l + 1 < depth()) {
      activate(layer.activation, layer.pre.data(), out(l), layers_[l + 1].input.data(), input(l + 1).stride);
    } else if (!keeps_curvature()) {
      activate(layer.activation, layer.pre.data(), out(l), last_.data(), out(l));
    }
  }
}

kernels::OutputRows Pass::outputs() const {
  kernels::OutputRows rows;
  rows.outputs = keeps_curvature() ? layers_.back().pre.data() : last();  // the last activation is the identity
  rows.first = first_;
  rows.rows = rows_;
  rows.loss = problem_.loss();
  rows.heads = problem_.network().heads();
  rows.classes = problem_.network().outputs_per_head();
  rows.targets = problem_.targets<double>();
  return rows;
}

double* Pass::moved(std::size_t l) {
  std::int64_t widest = 0;
  for (const LayerMemory& layer : layers_) widest = std::max(widest, layer.placed.out);
  for (auto& values : moved_) {
    if (values.size() == 0) values = buffer(widest);
  }
  return moved_[l % 2].data();
}

double* Pass::cotangent() { return moved(depth() - 1); }

void Pass::jvp(const double* v) {
  const cudaStream_t stream = workspace_.stream();
  for (std::size_t l = 0; l < depth(); ++l) {
    const LayerMemory& layer = layers_[l];
    const DeviceMatrix tangent{moved(l), out(l)};
    multiply_by_transposed(workspace_, rows_, out(l), placed(l).in, input(l), weights(l, v), 0, tangent);
    if (l > 0) {
      multiply_by_transposed(workspace_, rows_, out(l), placed(l).in, {moved(l - 1), out(l - 1)}, weights(l), 1,
                             tangent);
    }
    LOSSATLAS_CUDA(kernels::launch_add_bias(tangent.data, bias(l, v), rows_, out(l), stream));
    LOSSATLAS_CUDA(
        kernels::launch_multiply_slope(layer.activation, layer.pre.data(), rows_ * out(l), tangent.data, stream));
  }
}

void Pass::vjp(double* sum) {
  for (std::size_t l = depth(); l-- > 0;) {
    const LayerMemory& layer = layers_[l];
    LOSSATLAS_CUDA(kernels::launch_multiply_slope(layer.activation, layer.pre.data(), rows_ * out(l), moved(l),
                                                  workspace_.stream()));
    add_to_gradient(l, false, sum);
    if (l == 0) return;
    multiply(workspace_, rows_, out(l - 1), out(l), {moved(l), out(l)}, weights(l), 0, {moved(l - 1), out(l - 1)});
  }
}

void Pass::pull_down_bends() {
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

void Pass::add_hessian_product(bool full, const double* v, double* sum) {
  tangents(v);
  const std::size_t last = depth() - 1;
  LOSSATLAS_CUDA(cudaMemcpyAsync(moved(last), layers_[last].pre_tangent.data(),
                                 static_cast<std::size_t>(rows_ * out(last)) * sizeof(double), cudaMemcpyDeviceToDevice,
                                 workspace_.stream()));
  LOSSATLAS_CUDA(kernels::launch_curvature(outputs(), moved(last), workspace_.stream()));
  for (std::size_t l = last;; --l) {
    add_to_gradient(l, full, sum);
    if (l == 0) return;
    lower_moved(l, full, v);
  }
}

/// Computes ż and ȧ of every layer.
void Pass::tangents(const double* v) {
  const cudaStream_t stream = workspace_.stream();
  for (std::size_t l = 0; l < depth(); ++l) {
    LayerMemory& layer = layers_[l];
    for (auto* values : {&layer.pre_tangent, &layer.post_tangent}) {
      if (values->size() == 0) *values = buffer(out(l));
    }
    const DeviceMatrix tangent{layer.pre_tangent.data(), out(l)};
    multiply_by_transposed(workspace_, rows_, out(l), placed(l).in, input(l), weights(l, v), 0, tangent);
    if (l > 0) {
      multiply_by_transposed(workspace_, rows_, out(l), placed(l).in,
                             {layers_[l - 1].post_tangent.data(), placed(l).in}, weights(l), 1, tangent);
    }
    LOSSATLAS_CUDA(kernels::launch_add_bias(tangent.data, bias(l, v), rows_, out(l), stream));
    LOSSATLAS_CUDA(kernels::launch_multiply(slope(l), tangent.data, rows_ * out(l), layer.post_tangent.data(), stream));
  }
}

/// sum += the gradients of layer l: of the cotangent z̄ in moved(l), z̄ᵀ [a, 1]; with `full` also δᵀ ȧ.
void Pass::add_to_gradient(std::size_t l, bool full, double* sum) {
  const kernels::PlacedLayer& layer = placed(l);
  const DeviceMatrix gradient{sum + layer.weight, layer.in};
  multiply_transposed(workspace_, layer.out, layer.in, rows_, {moved(l), layer.out}, input(l), 1, gradient);
  if (full && l > 0) {
    multiply_transposed(workspace_, layer.out, layer.in, rows_, {delta(l), layer.out},
                        {layers_[l - 1].post_tangent.data(), layer.in}, 1, gradient);
  }
  if (layer.bias < 0) return;
  LOSSATLAS_CUDA(kernels::launch_add_column_sums(moved(l), rows_, layer.out, sum + layer.bias, workspace_.stream()));
}

/// Computes δ̇_{l−1} from δ̇_l.
void Pass::lower_moved(std::size_t l, bool full, const double* v) {
  const DeviceMatrix lower{moved(l - 1), out(l - 1)};
  multiply(workspace_, rows_, out(l - 1), out(l), {moved(l), out(l)}, weights(l), 0, lower);
  if (full) multiply(workspace_, rows_, out(l - 1), out(l), {delta(l), out(l)}, weights(l, v), 1, lower);
  LOSSATLAS_CUDA(kernels::launch_lower_cotangent(slope(l - 1), full ? bend(l - 1) : nullptr,
                                                 layers_[l - 1].pre_tangent.data(), rows_ * out(l - 1), lower.data,
                                                 workspace_.stream()));
}

}  // namespace lossatlas::cuda
