#include "cuda/pass.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include "layers/verbs.hpp"

namespace lossatlas::cuda {
namespace {

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

static_assert(has_all_verbs<Gpu, Layer>);

std::vector<kernels::PlacedLayer> placed_layers(const Network& network) {
  std::vector<kernels::PlacedLayer> placed;
  for (std::int64_t l = 0; l < network.depth(); ++l) placed.push_back({0, network.width(l), -1});
  for (const ParameterBlock& block : network.blocks()) {
    kernels::PlacedLayer& layer = placed[static_cast<std::size_t>(block.layer)];
    if (block.kind == ParameterBlock::Kind::bias) {
      layer.bias = block.offset;
    } else {
      layer.weight = block.offset;
      layer.in = block.in;
    }
  }
  return placed;
}

std::int64_t curvature_entries(const Problem& problem) {
  const std::vector<std::int64_t> strides = augmented_widths(problem.network());
  std::int64_t sum = strides.front();  // of x
  for (std::int64_t l = 0; l < problem.network().depth(); ++l) {
    sum += 4 * problem.network().width(l);
    if (l + 1 < problem.network().depth()) sum += strides[static_cast<std::size_t>(l + 1)];
  }
  return sum;
}

ForwardPass::ForwardPass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers,
                         PassDetail detail, std::int64_t capacity)
    : gpu_{workspace},
      problem_(problem),
      theta_(theta),
      detail_(detail),
      capacity_(capacity),
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
    layer.stride = keeps_curvature() ? strides[l + 1] : placed[l].out;
    layer.pre = buffer(placed[l].out);
    if (keeps_value(l)) {
      layer.value = buffer(layer.stride);
      fill_ones(layer.value, placed[l].out, layer.stride);
    }
    if (keeps_curvature()) layer.slope = buffer(placed[l].out);
  }
}

DeviceBuffer<double> ForwardPass::buffer(std::int64_t width) const {
  return DeviceBuffer<double>(gpu_.workspace.memory(), capacity_ * width);
}

ConstDeviceMatrix ForwardPass::value(std::int64_t l) const {
  if (l >= 0) return {layers_[static_cast<std::size_t>(l)].value.data(), layers_[static_cast<std::size_t>(l)].stride};
  return {keeps_curvature() ? input_.data() : data_rows(), input_stride_};
}

std::vector<ConstDeviceMatrix> ForwardPass::inputs(std::size_t l) const {
  std::vector<ConstDeviceMatrix> result;
  for (const std::int32_t input : node(l).inputs) result.push_back(value(input));
  return result;
}

void ForwardPass::forward(std::int64_t first, std::int64_t rows) {
  first_ = first;
  rows_ = rows;
  const cudaStream_t stream = gpu_.workspace.stream();
  const auto activate = [&](Activation activation, const double* from, std::int64_t width, double* to,
                            std::int64_t stride) {
    LOSSATLAS_CUDA(kernels::launch_activate(activation, from, rows, width, to, stride, stream));
  };
  if (keeps_curvature()) {
    activate(Activation::identity, data_rows(), problem_.features(), input_.data(), input_stride_);
  }
  for (std::size_t l = 0; l < depth(); ++l) {
    const LayerMemory& layer = layers_[l];
    const Activation phi = activation(node(l).layer);
    const DeviceMatrix z{layer.pre.data(), out(l)};
    std::visit([&](const auto& one) { cuda::forward(gpu_, one, parameters(l, theta_), rows, inputs(l), z); },
               node(l).layer);
    if (keeps_curvature()) {
      LOSSATLAS_CUDA(kernels::launch_slope(phi, z.data, rows * out(l), layer.slope.data(), stream));
    }
    if (keeps_value(l)) activate(phi, z.data, out(l), layer.value.data(), layer.stride);
  }
}

kernels::OutputRows ForwardPass::outputs() const {
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

Pass::Pass(Workspace& workspace, const Problem& problem, const double* theta, PassDetail detail, std::int64_t capacity)
    : ForwardPass(workspace, problem, theta, problem.network().nodes().size(), detail, capacity),
      chain_(problem.network().is_chain()),
      edges_(backward_edges(problem.network())),
      derivatives_(depth()) {
  if (!keeps_curvature()) return;
  for (std::size_t l = 0; l < depth(); ++l) {
    for (auto* values : {&derivatives_[l].delta, &derivatives_[l].bend}) *values = buffer(out(l));
  }
}

DeviceMatrix Pass::moved(std::size_t l) {
  if (moved_.empty()) {
    std::int64_t widest = 0;
    for (const LayerMemory& layer : layers_) widest = std::max(widest, layer.placed.out);
    for (std::size_t i = 0; i < (chain_ ? 2 : depth()); ++i) moved_.push_back(buffer(chain_ ? widest : out(i)));
  }
  return {moved_[chain_ ? l % 2 : l].data(), out(l)};
}

/// tangent ← ż of layer l along v, for tangents tangent_of(k) of the values of layers k.
template <class TangentOf>
void Pass::push_tangent(std::size_t l, const double* v, TangentOf&& tangent_of, DeviceMatrix tangent) {
  std::vector<ConstDeviceMatrix> tangents;
  for (const std::int32_t input : node(l).inputs) {
    tangents.push_back(input < 0 ? ConstDeviceMatrix{} : tangent_of(static_cast<std::size_t>(input)));
  }
  std::visit(
      [&](const auto& one) {
        cuda::jvp(gpu_, one, parameters(l, theta_), parameters(l, v), rows_, inputs(l), tangents, tangent);
      },
      node(l).layer);
}

void Pass::multiply_by_slope(std::size_t l, double* values) const {
  LOSSATLAS_CUDA(kernels::launch_multiply_slope(activation(node(l).layer), layers_[l].pre.data(), rows_ * out(l),
                                                values, gpu_.workspace.stream()));
}

void Pass::jvp(const double* v) {
  for (std::size_t l = 0; l < depth(); ++l) {
    const DeviceMatrix tangent = moved(l);
    push_tangent(
        l, v, [&](std::size_t k) { return moved(k); }, tangent);
    multiply_by_slope(l, tangent.data);
  }
}

void Pass::vjp(double* sum) {
  for (std::size_t l = depth(); l-- > 0;) {
    const DeviceMatrix cotangent = moved(l);
    multiply_by_slope(l, cotangent.data);
    std::visit(
        [&](const auto& one) {
          vjp_parameters(gpu_, one, rows_, cotangent, inputs(l), parameters(l, sum));
          for (const BackwardEdge& edge : edges_[l]) {
            vjp_input(gpu_, one, parameters(l, theta_), rows_, cotangent, edge.beta,
                      moved(static_cast<std::size_t>(edge.node)));
          }
        },
        node(l).layer);
  }
}

void Pass::pull_down_bends() {
  const std::size_t last = depth() - 1;
  const cudaStream_t stream = gpu_.workspace.stream();
  const auto delta_of = [&](std::size_t l) { return DeviceMatrix{derivatives_[l].delta.data(), out(l)}; };
  LOSSATLAS_CUDA(kernels::launch_loss_gradient(outputs(), delta_of(last).data, stream));
  for (std::size_t l = depth(); l-- > 0;) {
    if (l < last) {
      LOSSATLAS_CUDA(kernels::launch_bend(activation(node(l).layer), layers_[l].pre.data(), slope(l), rows_ * out(l),
                                          delta_of(l).data, derivatives_[l].bend.data(), stream));
    }
    for (const BackwardEdge& edge : edges_[l]) {
      const DeviceMatrix below = delta_of(static_cast<std::size_t>(edge.node));
      std::visit(
          [&](const auto& one) { vjp_input(gpu_, one, parameters(l, theta_), rows_, delta_of(l), edge.beta, below); },
          node(l).layer);
    }
  }
}

/// Computes ż and ȧ of every layer.
void Pass::tangents(const double* v) {
  for (std::size_t l = 0; l < depth(); ++l) {
    LayerDerivatives& layer = derivatives_[l];
    for (auto* values : {&layer.pre_tangent, &layer.post_tangent}) {
      if (values->size() == 0) *values = buffer(out(l));
    }
    push_tangent(l, v, [&](std::size_t k) { return post_tangent(k); }, {layer.pre_tangent.data(), out(l)});
    LOSSATLAS_CUDA(kernels::launch_multiply(slope(l), layer.pre_tangent.data(), rows_ * out(l),
                                            layer.post_tangent.data(), gpu_.workspace.stream()));
  }
}

void Pass::add_hessian_product(bool full, const double* v, double* sum) {
  tangents(v);
  const std::size_t last = depth() - 1;
  const cudaStream_t stream = gpu_.workspace.stream();
  LOSSATLAS_CUDA(cudaMemcpyAsync(cotangent(), derivatives_[last].pre_tangent.data(),
                                 static_cast<std::size_t>(rows_ * out(last)) * sizeof(double), cudaMemcpyDeviceToDevice,
                                 stream));
  LOSSATLAS_CUDA(kernels::launch_curvature(outputs(), cotangent(), stream));
  for (std::size_t l = depth(); l-- > 0;) {
    const DeviceMatrix here = moved(l);
    if (l < last) {
      LOSSATLAS_CUDA(kernels::launch_lower_cotangent(
          slope(l), full ? bend(l) : nullptr, derivatives_[l].pre_tangent.data(), rows_ * out(l), here.data, stream));
    }
    const ConstDeviceMatrix error{delta(l), out(l)};
    const DeviceParameters<double> gradient = parameters(l, sum);
    const bool second = full && gradient.weight;  // z is bilinear in the weights and the inputs
    std::visit(
        [&](const auto& one) {
          vjp_parameters(gpu_, one, rows_, here, inputs(l), gradient);
          for (const BackwardEdge& edge : edges_[l]) {
            const DeviceMatrix below = moved(static_cast<std::size_t>(edge.node));
            vjp_input(gpu_, one, parameters(l, theta_), rows_, here, edge.beta, below);
            if (!second) continue;
            const std::array<ConstDeviceMatrix, 1> tangent = {post_tangent(static_cast<std::size_t>(edge.node))};
            vjp_parameters(gpu_, one, rows_, error, tangent, {gradient.weight, nullptr});
            vjp_input(gpu_, one, parameters(l, v), rows_, error, 1, below);
          }
        },
        node(l).layer);
  }
}

}  // namespace lossatlas::cuda
