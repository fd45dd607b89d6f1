#include "cuda/pass.hpp"

#include <algorithm>

#include "../kernels/dense.hpp"

namespace lossatlas::cuda {
namespace {

/// to (rows, width) ← from (rows, stride) + beta·to, beta 0 or 1.
void accumulate(Workspace& workspace, ConstDeviceMatrix from, std::int64_t rows, std::int64_t width, double beta,
                double* to) {
  kernels::AddBatch<double> term;
  term.x = from.data;
  term.x_row = from.stride;
  term.y = to;
  term.rows = rows;
  term.out = width;
  term.first = beta == 0;
  LOSSATLAS_CUDA(kernels::launch_add(term, workspace.stream()));
}

/// Row-major matrices are transposed column-major ones: C is transposed, and so the factors swap places.
void gemm(Workspace& workspace, cublasOperation_t op_a, cublasOperation_t op_b, std::int64_t m, std::int64_t n,
          std::int64_t k, ConstDeviceMatrix a, ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  const double one = 1;
  LOSSATLAS_CUDA(cublasDgemm_64(workspace.cublas(), op_b, op_a, n, m, k, &one, b.data, b.stride, a.data, a.stride,
                                &beta, c.data, c.stride));
}

/// Widths of x and of each node's value, and one more where a 1 for the bias of a layer that takes it stands behind
/// each row.
std::vector<std::int64_t> augmented_widths(const Network& network) {
  std::vector<std::int64_t> widths;
  for (std::int64_t l = -1; l < network.depth(); ++l) widths.push_back(network.width(l));
  for (const ParameterBlock& block : network.blocks()) {
    if (block.kind != ParameterBlock::Kind::bias) continue;
    const std::int32_t input = network.nodes()[static_cast<std::size_t>(block.layer)].inputs.front();
    widths[static_cast<std::size_t>(input + 1)] = network.width(input) + 1;
  }
  return widths;
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
  for (std::int64_t l = 0; l < network.depth(); ++l) placed.push_back({0, network.width(l), -1});
  for (const ParameterBlock& block : network.blocks()) {
    kernels::PlacedLayer& layer = placed[static_cast<std::size_t>(block.layer)];
    if (block.kind == ParameterBlock::Kind::bias) {
      layer.bias = block.offset;
    } else {
      layer.weight = block.offset;
      layer.in = block.cols;
    }
  }
  return placed;
}

std::int64_t Pass::curvature_entries(const Problem& problem) {
  const std::vector<std::int64_t> strides = augmented_widths(problem.network());
  std::int64_t sum = strides.front();  // of x
  for (std::int64_t l = 0; l < problem.network().depth(); ++l) {
    sum += 4 * problem.network().width(l);
    if (l + 1 < problem.network().depth()) sum += strides[static_cast<std::size_t>(l + 1)];
  }
  return sum;
}

Pass::Pass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers, PassDetail detail,
           std::int64_t capacity)
    : workspace_(workspace),
      problem_(problem),
      theta_(theta),
      detail_(detail),
      capacity_(capacity),
      chain_(problem.network().is_chain()),
      edges_(backward_edges(problem.network())),
      input_stride_(problem.features()) {
  const std::vector<std::int64_t> strides = augmented_widths(problem.network());
  const std::vector<kernels::PlacedLayer> placed = placed_layers(problem.network());
  layers_.resize(layers);
  const auto fill_ones = [&](const DeviceBuffer<double>& values, std::int64_t width, std::int64_t stride) {
    if (stride == width) return;
    LOSSATLAS_CUDA(kernels::launch_fill_strided(values.data() + width, capacity, stride, 1, workspace.stream()));
  };
  if (keeps_curvature()) {
    input_stride_ = strides.front();
    input_ = buffer(input_stride_);
    fill_ones(input_, problem.features(), input_stride_);
  }
  for (std::size_t l = 0; l < layers; ++l) {
    LayerMemory& layer = layers_[l];
    layer.placed = placed[l];
    layer.activation = activation(node(l).layer);
    layer.stride = keeps_curvature() ? strides[l + 1] : placed[l].out;
    layer.pre = buffer(placed[l].out);
    if (keeps_value(l)) {
      layer.value = buffer(layer.stride);
      fill_ones(layer.value, placed[l].out, layer.stride);
    }
    if (!keeps_curvature()) continue;
    for (auto* values : {&layer.slope, &layer.delta, &layer.bend}) *values = buffer(placed[l].out);
  }
}

DeviceBuffer<double> Pass::buffer(std::int64_t width) const {
  return DeviceBuffer<double>(workspace_.memory(), capacity_ * width);
}

ConstDeviceMatrix Pass::value(std::int64_t l) const {
  if (l >= 0) return {layers_[static_cast<std::size_t>(l)].value.data(), layers_[static_cast<std::size_t>(l)].stride};
  return {keeps_curvature() ? input_.data() : data_rows(), input_stride_};
}

/// z of layer l.
void Pass::sum_layer(std::size_t l) {
  const LayerMemory& layer = layers_[l];
  if (has_weights(l)) {
    multiply_by_transposed(workspace_, rows_, out(l), placed(l).in, input(l), weights(l), 0,
                           {layer.pre.data(), out(l)});
    LOSSATLAS_CUDA(kernels::launch_add_bias(layer.pre.data(), bias(l, theta_), rows_, out(l), workspace_.stream()));
    return;
  }
  double beta = 0;
  for (const std::int32_t input : node(l).inputs) {
    const ConstDeviceMatrix from = value(input);
    accumulate(workspace_, from, rows_, out(l), beta, layer.pre.data());
    beta = 1;
  }
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
    activate(Activation::identity, data_rows(), problem_.features(), input_.data(), input_stride_);
  }
  for (std::size_t l = 0; l < depth(); ++l) {
    const LayerMemory& layer = layers_[l];
    sum_layer(l);
    if (keeps_curvature()) {
      LOSSATLAS_CUDA(
          kernels::launch_slope(layer.activation, layer.pre.data(), rows * out(l), layer.slope.data(), stream));
    }
    if (keeps_value(l)) activate(layer.activation, layer.pre.data(), out(l), layer.value.data(), layer.stride);
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
  if (moved_.empty()) {
    std::int64_t widest = 0;
    for (const LayerMemory& layer : layers_) widest = std::max(widest, layer.placed.out);
    for (std::size_t i = 0; i < (chain_ ? 2 : depth()); ++i) moved_.push_back(buffer(chain_ ? widest : out(i)));
  }
  return moved_[chain_ ? l % 2 : l].data();
}

/// tangent ← ż of layer l along v, for tangents tangent_of(k) of the values of layers k.
template <class Tangent>
void Pass::push_tangent(std::size_t l, const double* v, Tangent&& tangent_of, double* tangent) {
  const std::int64_t below = node(l).inputs.front();
  if (has_weights(l)) {
    multiply_by_transposed(workspace_, rows_, out(l), placed(l).in, input(l), weights(l, v), 0, {tangent, out(l)});
    if (below >= 0) {
      multiply_by_transposed(workspace_, rows_, out(l), placed(l).in,
                             {tangent_of(static_cast<std::size_t>(below)), placed(l).in}, weights(l), 1,
                             {tangent, out(l)});
    }
    LOSSATLAS_CUDA(kernels::launch_add_bias(tangent, bias(l, v), rows_, out(l), workspace_.stream()));
    return;
  }
  fill_zero(workspace_.memory(), tangent, rows_ * out(l));
  for (const std::int32_t input : node(l).inputs) {
    if (input < 0) continue;
    accumulate(workspace_, {tangent_of(static_cast<std::size_t>(input)), out(l)}, rows_, out(l), 1, tangent);
  }
}

/// to ← Wᵀ from + beta·to, for the cotangent of a value that layer l takes; W is in `vector` (M).
void Pass::pull_cotangent(std::size_t l, const double* vector, const double* from, double beta, double* to) {
  if (has_weights(l)) {
    multiply(workspace_, rows_, placed(l).in, out(l), {from, out(l)}, weights(l, vector), beta, {to, placed(l).in});
  } else {
    accumulate(workspace_, {from, out(l)}, rows_, out(l), beta, to);
  }
}

void Pass::jvp(const double* v) {
  for (std::size_t l = 0; l < depth(); ++l) {
    double* tangent = moved(l);
    push_tangent(
        l, v, [&](std::size_t k) { return moved(k); }, tangent);
    LOSSATLAS_CUDA(kernels::launch_multiply_slope(layers_[l].activation, layers_[l].pre.data(), rows_ * out(l), tangent,
                                                  workspace_.stream()));
  }
}

void Pass::vjp(double* sum) {
  for (std::size_t l = depth(); l-- > 0;) {
    LOSSATLAS_CUDA(kernels::launch_multiply_slope(layers_[l].activation, layers_[l].pre.data(), rows_ * out(l),
                                                  moved(l), workspace_.stream()));
    add_to_gradient(l, false, sum);
    for (const BackwardEdge& edge : edges_[l]) {
      pull_cotangent(l, theta_, moved(l), edge.beta, moved(static_cast<std::size_t>(edge.node)));
    }
  }
}

void Pass::pull_down_bends() {
  const std::size_t last = depth() - 1;
  LOSSATLAS_CUDA(kernels::launch_loss_gradient(outputs(), layers_[last].delta.data(), workspace_.stream()));
  for (std::size_t l = depth(); l-- > 0;) {
    const LayerMemory& layer = layers_[l];
    if (l < last) {
      LOSSATLAS_CUDA(kernels::launch_bend(layer.activation, layer.pre.data(), slope(l), rows_ * out(l),
                                          layer.delta.data(), layer.bend.data(), workspace_.stream()));
    }
    for (const BackwardEdge& edge : edges_[l]) {
      pull_cotangent(l, theta_, delta(l), edge.beta, layers_[static_cast<std::size_t>(edge.node)].delta.data());
    }
  }
}

void Pass::add_hessian_product(bool full, const double* v, double* sum) {
  tangents(v);
  const std::size_t last = depth() - 1;
  LOSSATLAS_CUDA(cudaMemcpyAsync(moved(last), layers_[last].pre_tangent.data(),
                                 static_cast<std::size_t>(rows_ * out(last)) * sizeof(double), cudaMemcpyDeviceToDevice,
                                 workspace_.stream()));
  LOSSATLAS_CUDA(kernels::launch_curvature(outputs(), moved(last), workspace_.stream()));
  for (std::size_t l = depth(); l-- > 0;) {
    if (l < last) {
      LOSSATLAS_CUDA(kernels::launch_lower_cotangent(slope(l), full ? bend(l) : nullptr, layers_[l].pre_tangent.data(),
                                                     rows_ * out(l), moved(l), workspace_.stream()));
    }
    add_to_gradient(l, full, sum);
    for (const BackwardEdge& edge : edges_[l]) {
      double* below = moved(static_cast<std::size_t>(edge.node));
      pull_cotangent(l, theta_, moved(l), edge.beta, below);
      if (full && has_weights(l)) pull_cotangent(l, v, delta(l), 1, below);
    }
  }
}

/// Computes ż and ȧ of every layer.
void Pass::tangents(const double* v) {
  for (std::size_t l = 0; l < depth(); ++l) {
    LayerMemory& layer = layers_[l];
    for (auto* values : {&layer.pre_tangent, &layer.post_tangent}) {
      if (values->size() == 0) *values = buffer(out(l));
    }
    push_tangent(
        l, v, [&](std::size_t k) { return layers_[k].post_tangent.data(); }, layer.pre_tangent.data());
    LOSSATLAS_CUDA(kernels::launch_multiply(slope(l), layer.pre_tangent.data(), rows_ * out(l),
                                            layer.post_tangent.data(), workspace_.stream()));
  }
}

/// sum += the gradients of layer l: of the cotangent z̄ in moved(l), z̄ᵀ [a, 1]; with `full` also δᵀ ȧ.
void Pass::add_to_gradient(std::size_t l, bool full, double* sum) {
  if (!has_weights(l)) return;
  const kernels::PlacedLayer& layer = placed(l);
  const DeviceMatrix gradient{sum + layer.weight, layer.in};
  multiply_transposed(workspace_, layer.out, layer.in, rows_, {moved(l), layer.out}, input(l), 1, gradient);
  const std::int64_t below = node(l).inputs.front();
  if (full && below >= 0) {
    multiply_transposed(workspace_, layer.out, layer.in, rows_, {delta(l), layer.out},
                        {layers_[static_cast<std::size_t>(below)].post_tangent.data(), layer.in}, 1, gradient);
  }
  if (layer.bias < 0) return;
  LOSSATLAS_CUDA(kernels::launch_add_column_sums(moved(l), rows_, layer.out, sum + layer.bias, workspace_.stream()));
}

}  // namespace lossatlas::cuda
