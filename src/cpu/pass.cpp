#include "cpu/pass.hpp"

#include <variant>

#include "cpu/elementwise.hpp"
#include "cpu/loss_rows.hpp"

namespace lossatlas {

using cpu::ConstMatrix;
using cpu::Matrix;

SamplePass::SamplePass(const Network& network, const Dataset& data, Loss loss, std::span<const double> theta)
    : network_(network), data_(data), loss_(loss), theta_(theta) {
  const std::int64_t capacity = std::min(cpu::kChunk, data.size());
  for (const Layer& layer : network.layers()) {
    const auto size = static_cast<std::size_t>(capacity * cpu::width(layer));
    values_.push_back({std::vector<double>(size), std::vector<double>(size), std::vector<double>(size)});
  }
}

void SamplePass::forward(std::int64_t first, std::int64_t rows) {
  first_ = first;
  rows_ = rows;
  for (std::int64_t l = 0; l < network_.depth(); ++l) {
    const Layer& layer = network_.layers()[static_cast<std::size_t>(l)];
    Values& here = values_[static_cast<std::size_t>(l)];
    const Matrix pre{here.pre.data(), cpu::width(layer)};
    std::visit([&](const auto& one) { cpu::forward(one, network_.view(theta_, l), rows, input(l), pre); }, layer);
    cpu::apply(cpu::activation(layer), rows * cpu::width(layer), here.pre.data(), here.output.data());
  }
}

void SamplePass::backward(std::int64_t lowest) {
  const cpu::LossRows rows_of(loss_, data_, network_.heads(), network_.outputs_per_head());
  std::vector<double>& last = values_.back().error;
  for (std::int64_t r = 0; r < rows_; ++r) {
    rows_of.gradient(output(network_.depth() - 1).at(r, 0).data, first_ + r, last.data() + r * network_.outputs());
  }
  for (std::int64_t i = 0; i < rows_ * network_.outputs(); ++i) {
    last[static_cast<std::size_t>(i)] /= static_cast<double>(data_.size());
  }
  pull_down(lowest);
}

void SamplePass::pull_back(std::span<const double> outputs, std::span<double> gradient) {
  std::copy(outputs.begin(), outputs.end(), values_.back().error.begin());
  pull_down(0);
  for (std::int64_t l = 0; l < network_.depth(); ++l) {
    std::visit(
        [&](const auto& one) { cpu::pull_to_parameters(one, rows_, error(l), input(l), network_.view(gradient, l)); },
        network_.layers()[static_cast<std::size_t>(l)]);
  }
}

std::vector<double> SamplePass::image(std::span<const double> direction) const {
  std::vector<double> below, here;
  for (std::int64_t l = 0; l < network_.depth(); ++l) {
    const Layer& layer = network_.layers()[static_cast<std::size_t>(l)];
    here.assign(static_cast<std::size_t>(rows_ * cpu::width(layer)), 0.0);
    const Matrix result{here.data(), cpu::width(layer)};
    std::visit(
        [&](const auto& one) {
          cpu::forward(one, network_.view(direction, l), rows_, input(l), result);
          if (l > 0) cpu::add_image(one, network_.view(theta_, l), rows_, {below.data(), one.in}, result);
        },
        layer);
    cpu::multiply_slope(cpu::activation(layer), rows_ * cpu::width(layer), pre(l).data, here.data());
    below.swap(here);
  }
  return below;
}

void SamplePass::pull_down(std::int64_t lowest) {
  for (std::int64_t l = network_.depth() - 1; l > lowest; --l) {
    const Layer& layer = network_.layers()[static_cast<std::size_t>(l)];
    const Layer& under = network_.layers()[static_cast<std::size_t>(l - 1)];
    Values& below = values_[static_cast<std::size_t>(l - 1)];
    const Matrix result{below.error.data(), cpu::width(under)};
    std::visit([&](const auto& one) { cpu::pull_to_input(one, network_.view(theta_, l), rows_, error(l), 0, result); },
               layer);
    cpu::multiply_slope(cpu::activation(under), rows_ * cpu::width(under), below.pre.data(), result.data);
  }
}

ConstMatrix SamplePass::input(std::int64_t layer) const {
  if (layer == 0) return {data_.inputs().data() + first_ * data_.features(), data_.features()};
  return output(layer - 1);
}

ConstMatrix SamplePass::pre(std::int64_t layer) const {
  return {values(layer).pre.data(), cpu::width(network_.layers()[static_cast<std::size_t>(layer)])};
}

ConstMatrix SamplePass::output(std::int64_t layer) const {
  return {values(layer).output.data(), cpu::width(network_.layers()[static_cast<std::size_t>(layer)])};
}

ConstMatrix SamplePass::error(std::int64_t layer) const {
  return {values(layer).error.data(), cpu::width(network_.layers()[static_cast<std::size_t>(layer)])};
}

}  // namespace lossatlas
