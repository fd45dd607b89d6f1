#include "cpu/section_chain.hpp"

#include <algorithm>

namespace lossatlas::cpu {
namespace {

std::int64_t count(const std::vector<std::int32_t>& directions) { return static_cast<std::int64_t>(directions.size()); }

// [W_0 W_1 .. W_k | b_1 .. b_q] with bias b_0.
ChainLayer augmented(const ChainLayer& layer, const Control& control) {
  const std::int64_t weight_parts = 1 + count(layer.weight_directions);
  const std::int64_t bias_parts = count(layer.bias_directions);
  ChainLayer result;
  result.in = weight_parts * layer.in + bias_parts;
  result.out = layer.out;
  result.activation = layer.activation;
  result.weights.reserve(static_cast<std::size_t>(result.in * result.out));
  for (std::int64_t unit = 0; unit < layer.out; ++unit) {
    check_stop(control);
    for (std::int64_t part = 0; part < weight_parts; ++part) {
      const double* row = layer.weights.data() + (part * layer.out + unit) * layer.in;
      result.weights.insert(result.weights.end(), row, row + layer.in);
    }
    for (std::int64_t part = 1; part <= bias_parts; ++part) {
      result.weights.push_back(layer.biases[static_cast<std::size_t>(part * layer.out + unit)]);
    }
  }
  if (!layer.biases.empty()) result.biases.assign(layer.biases.begin(), layer.biases.begin() + layer.out);
  return result;
}

}  // namespace

template <class T>
PointChain<T>::PointChain(const SectionKernels<T>& kernels, std::span<const ChainLayer> layers, const Control& control)
    : kernels_(&kernels) {
  for (const ChainLayer& layer : layers) {
    steps_.push_back(
        {layer.in, layer.weight_directions, layer.bias_directions, {kernels, augmented(layer, control), control}});
    width_ = std::max({width_, steps_.back().product.in(), layer.out});
  }
}

template <class T>
const T* PointChain<T>::run(const T* alpha, T* scratch) const {
  const std::int64_t rows = kernels_->rows;
  T* inputs = scratch;
  T* outputs = scratch + width_ * rows;
  for (const Step& step : steps_) {
    T* next = inputs + step.in * rows;
    for (const std::int32_t d : step.weight_directions) {
      kernels_->scale(inputs, alpha + d * rows, step.in, next);
      next += step.in * rows;
    }
    for (const std::int32_t d : step.bias_directions) next = std::copy_n(alpha + d * rows, rows, next);
    kernels_->dense(step.product.origin(), inputs, outputs);
    std::swap(inputs, outputs);
  }
  return inputs;
}

template <class T>
void load_points(std::span<const double> points, std::int64_t rank, std::int64_t rows, T* alpha) {
  const std::int64_t last = static_cast<std::int64_t>(points.size()) / rank - 1;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double* point = points.data() + std::min(row, last) * rank;
    for (std::int64_t d = 0; d < rank; ++d) alpha[d * rows + row] = static_cast<T>(point[d]);
  }
}

template <class T>
void load_inputs(const Dataset& data, std::int64_t first, std::int64_t rows, T* x) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::span<const double> input = data.input(std::min(first + row, data.size() - 1));
    for (std::size_t i = 0; i < input.size(); ++i)
      x[static_cast<std::int64_t>(i) * rows + row] = static_cast<T>(input[i]);
  }
}

SampleChain::SampleChain(const SectionPlan& plan, const Dataset& data, const Control& control)
    : kernels_(&section_kernels<double>()),
      data_(&data),
      joint_(*kernels_, plan.joint_sample, control),
      parts_(1 + count(plan.joint_sample.weight_directions)),
      width_(std::max({data.features(), plan.joint_sample.in, plan.joint_sample.out})) {
  for (const ChainLayer& layer : plan.sample_chain) {
    layers_.emplace_back(*kernels_, layer, control);
    width_ = std::max(width_, layer.out);
  }
}

std::pair<const double*, double*> SampleChain::activations(std::int64_t first, const Control& control,
                                                           double* scratch) const {
  double* inputs = scratch;
  double* outputs = scratch + width_ * rows();
  load_inputs(*data_, first, rows(), inputs);
  for (const PackedParts<double>& layer : layers_) {
    check_stop(control);
    kernels_->dense(layer.origin(), inputs, outputs);
    std::swap(inputs, outputs);
  }
  return {inputs, outputs};
}

template class PointChain<float>;
template class PointChain<double>;
template void load_points(std::span<const double>, std::int64_t, std::int64_t, float*);
template void load_points(std::span<const double>, std::int64_t, std::int64_t, double*);
template void load_inputs(const Dataset&, std::int64_t, std::int64_t, float*);
template void load_inputs(const Dataset&, std::int64_t, std::int64_t, double*);

}  // namespace lossatlas::cpu
