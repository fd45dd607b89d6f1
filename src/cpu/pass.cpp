// For a chain of dense layers, with a dot for the derivative along v = (V_l, v_l) and δ_l = ∂ℓ/∂z_l:
//
//   ż_l = V_l a_{l−1} + v_l + W_l ȧ_{l−1},   ȧ_l = φ'(z_l) ż_l,   δ̇_L = ∇²ℓ ż_L,
//   δ̇_l = φ'(z_l) (W_{l+1}ᵀ δ̇_{l+1} + V_{l+1}ᵀ δ_{l+1}) + φ''(z_l) ż_l W_{l+1}ᵀ δ_{l+1},
//   (H v)_l = mean_n δ̇_l [a_{l−1}, 1]ᵀ + δ_l [ȧ_{l−1}, 0]ᵀ;   the Gauss–Newton part is the same with δ = 0.
//
// In other graphs W_{l+1}ᵀ δ_{l+1} is a sum over the layers that take a_l, and a layer without parameters has V = v =
// 0.
#include "cpu/pass.hpp"

#include <array>
#include <variant>

#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "layers/add.hpp"
#include "layers/dense.hpp"
#include "layers/verbs.hpp"

namespace lossatlas::cpu {

static_assert(has_all_verbs<Cpu, Layer>);

ForwardPass::ForwardPass(const Problem& problem, std::span<const double> theta, PassOptions options,
                         const Control& control)
    : network_(problem.network),
      control_(control),
      options_{std::min(options.capacity, problem.data.size()), options.slopes},
      data_(problem.data),
      theta_(theta),
      pre_(network_, options_.capacity),
      post_(network_, options_.capacity),
      slope_(network_, options_.capacity) {
  pre_.allocate();
  post_.allocate();
  if (options_.slopes) slope_.allocate();
}

std::vector<ConstMatrix> ForwardPass::inputs(std::int64_t l) const {
  std::vector<ConstMatrix> result;
  for (const std::int32_t input : node(l).inputs) result.push_back(value(input));
  return result;
}

void ForwardPass::forward(std::int64_t first, std::int64_t rows, std::int64_t layers) {
  first_ = first;
  rows_ = rows;
  inputs_ = {data_.inputs().data() + first * data_.features(), data_.features()};
  run(layers);
}

void ForwardPass::forward(ConstMatrix inputs, std::int64_t rows) {
  rows_ = rows;
  inputs_ = inputs;
  run(network_.depth());
}

void ForwardPass::run(std::int64_t layers) {
  for (std::int64_t l = 0; l < layers; ++l) {
    check_stop(control_);
    const Activation phi = activation(node(l).layer);
    const Matrix z = pre_[l];
    std::visit([&](const auto& one) { cpu::forward(Cpu{}, one, view(l), rows_, inputs(l), z); }, node(l).layer);
    apply(phi, count(l), z.data, post_[l].data);
    if (!options_.slopes) continue;
    const Matrix slopes = slope_[l];
    std::fill_n(slopes.data, count(l), 1.0);
    multiply_slope(phi, count(l), z.data, slopes.data);
  }
}

void ForwardPass::multiply_by_slope(std::int64_t l, double* values) const {
  if (options_.slopes) return multiply(count(l), slope(l).data, values);
  multiply_slope(activation(node(l).layer), count(l), pre(l).data, values);
}

Pass::Pass(const Problem& problem, std::span<const double> theta, PassOptions options, const Control& control)
    : ForwardPass(problem, theta, options, control),
      loss_rows_(problem.loss, problem.data, network_.heads(), network_.outputs_per_head()),
      edges_(backward_edges(network_)),
      delta_(network_, options_.capacity),
      bend_(delta_),
      tangent_(delta_),
      pre_tangent_(delta_),
      moved_delta_(delta_) {}

std::vector<ConstMatrix> Pass::input_tangents(std::int64_t l) const {
  std::vector<ConstMatrix> result;
  for (const std::int32_t input : node(l).inputs) {
    result.push_back(input < 0 ? ConstMatrix{nullptr, 0} : tangent_[input]);
  }
  return result;
}

void Pass::tangents(std::span<const double> v, LayerValues* pre_tangents) {
  for (std::int64_t l = 0; l < network_.depth(); ++l) {
    check_stop(control_);
    const LayerView<const double> direction = network_.view(v, l);
    const Matrix tangent = tangent_[l];
    std::visit(
        [&](const auto& one) {
          cpu::jvp(Cpu{}, one, view(l), direction, rows(), inputs(l), input_tangents(l), tangent);
        },
        node(l).layer);
    if (pre_tangents) std::copy_n(tangent.data, count(l), (*pre_tangents)[l].data);
    multiply_by_slope(l, tangent.data);
  }
}

ConstMatrix Pass::jvp(std::span<const double> v) {
  tangents(v, nullptr);
  return tangent_[network_.depth() - 1];
}

void Pass::fill_loss_cotangent(double divisor) {
  const Matrix result = cotangent();
  for (std::int64_t r = 0; r < rows(); ++r) {
    loss_rows_.gradient(outputs().at(r, 0).data, first() + r, result.at(r, 0).data);
  }
  if (divisor == 1) return;
  for (std::int64_t i = 0; i < count(network_.depth() - 1); ++i) result.data[i] /= divisor;
}

/// Adds what δ_l makes of the cotangents of the values that layer l takes, down to layer `lowest`.
void Pass::lower_cotangent(std::int64_t l, std::int64_t lowest) {
  check_stop(control_);
  for (const BackwardEdge& edge : edges_[static_cast<std::size_t>(l)]) {
    if (edge.node < lowest) continue;
    const Matrix below = delta_[edge.node];
    std::visit([&](const auto& one) { vjp_input(Cpu{}, one, view(l), rows(), delta(l), edge.beta, below); },
               node(l).layer);
  }
}

void Pass::pull_down(std::int64_t lowest) {
  const std::int64_t last = network_.depth() - 1;
  for (std::int64_t l = last; l >= lowest; --l) {
    if (l < last) multiply_by_slope(l, delta_[l].data);
    lower_cotangent(l, lowest);
  }
}

void Pass::vjp(std::span<double> sum) {
  pull_down(0);
  for (std::int64_t l = network_.depth() - 1; l >= 0; --l) {
    check_stop(control_);
    std::visit([&](const auto& one) { vjp_parameters(Cpu{}, one, rows(), delta(l), inputs(l), network_.view(sum, l)); },
               node(l).layer);
  }
}

void Pass::pull_down_bends() {
  const std::int64_t last = network_.depth() - 1;
  for (std::int64_t l = last; l >= 0; --l) {
    if (l < last) {
      const Matrix here = delta_[l], bends = bend_[l];
      std::copy_n(here.data, count(l), bends.data);
      multiply_bend(activation(node(l).layer), count(l), pre(l).data, output(l).data, slope(l).data, bends.data);
      multiply_by_slope(l, here.data);
    }
    lower_cotangent(l, 0);
  }
}

void Pass::add_hessian_product(HessianPart part, std::span<const double> v, std::span<double> sum) {
  const bool full = part == HessianPart::full;
  const std::int64_t last = network_.depth() - 1;
  tangents(v, &pre_tangent_);
  const Matrix top = moved_delta_[last];
  std::copy_n(pre_tangent_[last].data, count(last), top.data);
  for (std::int64_t r = 0; r < rows(); ++r) {
    loss_rows_.multiply_curvature(outputs().at(r, 0).data, top.at(r, 0).data);
  }
  for (std::int64_t l = last; l >= 0; --l) {
    const Matrix moved = moved_delta_[l];
    if (l < last) {
      multiply_by_slope(l, moved.data);
      if (full) {
        const double* bends = bend(l).data;
        const double* tangent = pre_tangent_[l].data;
        for (std::int64_t i = 0; i < count(l); ++i) moved.data[i] += bends[i] * tangent[i];
      }
    }
    const LayerView<double> result = network_.view(sum, l);
    const bool second = full && result.weight.data;  // z is bilinear in the weights and the inputs
    std::visit([&](const auto& one) { vjp_parameters(Cpu{}, one, rows(), moved, inputs(l), result); }, node(l).layer);
    for (const BackwardEdge& edge : edges_[static_cast<std::size_t>(l)]) {
      const Matrix below = moved_delta_[edge.node];
      std::visit(
          [&](const auto& one) {
            vjp_input(Cpu{}, one, view(l), rows(), moved, edge.beta, below);
            if (!second) return;
            const std::array<ConstMatrix, 1> tangent = {tangent_[edge.node]};
            vjp_parameters(Cpu{}, one, rows(), delta(l), tangent, LayerView<double>{result.weight, {}});
            vjp_input(Cpu{}, one, network_.view(v, l), rows(), delta(l), 1, below);
          },
          node(l).layer);
    }
  }
}

}  // namespace lossatlas::cpu
