// With a dot for the derivative along v = (V_l, v_l) and δ_l = ∂ℓ/∂z_l:
//
//   ż_l = V_l a_{l−1} + v_l + W_l ȧ_{l−1},   ȧ_l = φ'(z_l) ż_l,   δ̇_L = ∇²ℓ ż_L,
//   δ̇_l = φ'(z_l) (W_{l+1}ᵀ δ̇_{l+1} + V_{l+1}ᵀ δ_{l+1}) + φ''(z_l) ż_l W_{l+1}ᵀ δ_{l+1},
//   (H v)_l = mean_n δ̇_l [a_{l−1}, 1]ᵀ + δ_l [ȧ_{l−1}, 0]ᵀ;   the Gauss–Newton part is the same with δ = 0.
#include "cpu/pass.hpp"

#include <variant>

#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "layers/dense.hpp"
#include "model/layer.hpp"

namespace lossatlas::cpu {
namespace {

/// Allocates values for every layer, unless that has been done.
void make(std::vector<std::vector<double>>& values, const Network& network, std::int64_t capacity) {
  if (!values.empty()) return;
  for (const Layer& layer : network.layers()) values.emplace_back(static_cast<std::size_t>(capacity * width(layer)));
}

}  // namespace

Pass::Pass(const Problem& problem, std::span<const double> theta, PassOptions options, const Control& control)
    : network_(problem.network),
      data_(problem.data),
      loss_rows_(problem.loss, problem.data, network_.heads(), network_.outputs_per_head()),
      theta_(theta),
      options_(options),
      control_(control) {
  options_.capacity = std::min(options_.capacity, data_.size());
  make(pre_, network_, options_.capacity);
  make(post_, network_, options_.capacity);
  if (options_.slopes) make(slope_, network_, options_.capacity);
}

std::int64_t Pass::count(std::int64_t l) const { return rows_ * width(layer(l)); }

ConstMatrix Pass::of(const Values& values, std::int64_t l) const {
  return {values[static_cast<std::size_t>(l)].data(), width(layer(l))};
}

Matrix Pass::of(Values& values, std::int64_t l) {
  make(values, network_, options_.capacity);
  return {values[static_cast<std::size_t>(l)].data(), width(layer(l))};
}

void Pass::forward(std::int64_t first, std::int64_t rows, std::int64_t layers) {
  first_ = first;
  rows_ = rows;
  inputs_ = {data_.inputs().data() + first * data_.features(), data_.features()};
  run(layers);
}

void Pass::forward(ConstMatrix inputs, std::int64_t rows) {
  rows_ = rows;
  inputs_ = inputs;
  run(network_.depth());
}

void Pass::run(std::int64_t layers) {
  for (std::int64_t l = 0; l < layers; ++l) {
    check_stop(control_);
    const Matrix z = of(pre_, l);
    std::visit([&](const auto& one) { cpu::forward(one, view(l), rows_, input(l), z); }, layer(l));
    apply(activation(layer(l)), count(l), z.data, of(post_, l).data);
    if (!options_.slopes) continue;
    const Matrix slopes = of(slope_, l);
    std::fill_n(slopes.data, count(l), 1.0);
    multiply_slope(activation(layer(l)), count(l), z.data, slopes.data);
  }
}

void Pass::multiply_by_slope(std::int64_t l, double* values) const {
  if (options_.slopes) return multiply(count(l), slope(l).data, values);
  multiply_slope(activation(layer(l)), count(l), pre(l).data, values);
}

void Pass::tangents(std::span<const double> v, Values* pre_tangents) {
  for (std::int64_t l = 0; l < network_.depth(); ++l) {
    check_stop(control_);
    const LayerView<const double> direction = network_.view(v, l);
    const Matrix tangent = of(tangent_, l);
    std::visit([&](const auto& one) { cpu::forward(one, direction, rows_, input(l), tangent); }, layer(l));
    if (l > 0) {
      std::visit([&](const auto& one) { cpu::jvp(one, view(l), rows_, of(tangent_, l - 1), tangent); }, layer(l));
    }
    if (pre_tangents) std::copy_n(tangent.data, count(l), of(*pre_tangents, l).data);
    multiply_by_slope(l, tangent.data);
  }
}

ConstMatrix Pass::jvp(std::span<const double> v) {
  tangents(v, nullptr);
  return of(tangent_, network_.depth() - 1);
}

void Pass::fill_loss_cotangent(double divisor) {
  const Matrix result = cotangent();
  for (std::int64_t r = 0; r < rows_; ++r) {
    loss_rows_.gradient(outputs().at(r, 0).data, first_ + r, result.at(r, 0).data);
  }
  if (divisor == 1) return;
  for (std::int64_t i = 0; i < count(network_.depth() - 1); ++i) result.data[i] /= divisor;
}

void Pass::pull_down(std::int64_t lowest) {
  for (std::int64_t l = network_.depth() - 1; l > lowest; --l) {
    check_stop(control_);
    const Matrix below = of(delta_, l - 1);
    std::visit([&](const auto& one) { vjp_input(one, view(l), rows_, delta(l), 0, below); }, layer(l));
    multiply_by_slope(l - 1, below.data);
  }
}

void Pass::vjp(std::span<double> sum) {
  pull_down(0);
  for (std::int64_t l = network_.depth() - 1; l >= 0; --l) {
    check_stop(control_);
    std::visit([&](const auto& one) { vjp_parameters(one, rows_, delta(l), input(l), network_.view(sum, l)); },
               layer(l));
  }
}

void Pass::pull_down_bends() {
  for (std::int64_t l = network_.depth() - 1; l > 0; --l) {
    check_stop(control_);
    const Matrix below = of(delta_, l - 1), bends = of(bend_, l - 1);
    std::visit([&](const auto& one) { vjp_input(one, view(l), rows_, delta(l), 0, below); }, layer(l));
    std::copy_n(below.data, count(l - 1), bends.data);
    multiply_bend(activation(layer(l - 1)), count(l - 1), pre(l - 1).data, output(l - 1).data, slope(l - 1).data,
                  bends.data);
    multiply_by_slope(l - 1, below.data);
  }
}

void Pass::add_hessian_product(HessianPart part, std::span<const double> v, std::span<double> sum) {
  const bool full = part == HessianPart::full;
  const std::int64_t last = network_.depth() - 1;
  tangents(v, &pre_tangent_);
  const Matrix top = of(moved_delta_, last);
  std::copy_n(of(pre_tangent_, last).data, count(last), top.data);
  for (std::int64_t r = 0; r < rows_; ++r) {
    loss_rows_.multiply_curvature(outputs().at(r, 0).data, top.at(r, 0).data);
  }
  for (std::int64_t l = last;; --l) {
    const LayerView<double> result = network_.view(sum, l);
    const ConstMatrix moved = of(moved_delta_, l);
    std::visit([&](const auto& one) { vjp_parameters(one, rows_, moved, input(l), result); }, layer(l));
    if (l == 0) return;
    const Matrix below = of(moved_delta_, l - 1);
    std::visit([&](const auto& one) { vjp_input(one, view(l), rows_, moved, 0, below); }, layer(l));
    if (full) {
      const LayerView<const double> direction = network_.view(v, l);
      std::visit(
          [&](const auto& one) {
            vjp_weights(one, rows_, delta(l), of(tangent_, l - 1), result);
            vjp_input(one, direction, rows_, delta(l), 1, below);
          },
          layer(l));
    }
    multiply_by_slope(l - 1, below.data);
    if (!full) continue;
    const double* bends = bend(l - 1).data;
    const double* tangent = of(pre_tangent_, l - 1).data;
    for (std::int64_t i = 0; i < count(l - 1); ++i) below.data[i] += bends[i] * tangent[i];
  }
}

}  // namespace lossatlas::cpu
