#include "cpu/section_lists.hpp"

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
std::int64_t PointList<T>::width_of(std::span<const PlanStep> steps) {
  std::int64_t width = 0;
  for (const PlanStep& step : steps) {
    width = std::max(width, step.out);
    if (step.adds()) continue;
    const ChainLayer& layer = *step.layer;
    width = std::max(width, layer.in * (1 + count(layer.weight_directions)) + count(layer.bias_directions));
  }
  return width;
}

template <class T>
PointList<T>::PointList(const SectionKernels<T>& kernels, const PlanLists& lists, const Control& control)
    : kernels_(&kernels), steps_(lists.point), memory_(lists.point_slots, width_of(lists.point), kernels.rows) {
  for (const PlanStep& step : steps_) {
    products_.emplace_back();
    if (step.adds()) continue;
    ChainLayer layer = augmented(*step.layer, control);
    layer.activation = step.activation;
    products_.back() = std::make_unique<PackedParts<T>>(kernels, layer, control);
  }
}

template <class T>
void PointList<T>::run(const T* alpha, T* scratch) const {
  const std::int64_t rows = kernels_->rows;
  const auto value = [&](std::int32_t index) { return memory_.of(index, scratch); };
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const PlanStep& step = steps_[s];
    run_step(*kernels_, step, value, value(static_cast<std::int32_t>(s)), [&](T* input, T* output) {
      const ChainLayer& layer = *step.layer;
      if (!input) input = memory_.spare(scratch);
      T* next = input + layer.in * rows;
      for (const std::int32_t d : layer.weight_directions) {
        kernels_->scale(input, alpha + d * rows, layer.in, next);
        next += layer.in * rows;
      }
      for (const std::int32_t d : layer.bias_directions) next = std::copy_n(alpha + d * rows, rows, next);
      kernels_->dense(products_[s]->origin(), input, output);
    });
  }
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

std::int64_t SampleList::width_of(std::span<const PlanStep> steps, std::int64_t features) {
  std::int64_t width = features;
  for (const PlanStep& step : steps) width = std::max(width, step.out);
  return width;
}

SampleList::SampleList(const PlanLists& lists, const Dataset& data, const Control& control)
    : kernels_(&section_kernels<double>()),
      data_(&data),
      steps_(lists.sample),
      memory_(lists.sample_slots, width_of(lists.sample, data.features()), kernels_->rows) {
  for (const PlanStep& step : steps_) {
    if (step.adds() || layers_.contains(step.layer)) continue;
    layers_[step.layer] = std::make_unique<PackedParts<double>>(*kernels_, *step.layer, control);
  }
}

void SampleList::strip(std::int64_t first, const Control& control, double* scratch,
                       const std::function<void(std::int32_t index, const double* value)>& use) const {
  const auto value = [&](std::int32_t index) { return memory_.of(index, scratch); };
  load_inputs(*data_, first, rows(), value(-1));
  use(-1, value(-1));
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(steps_.size()); ++s) {
    check_stop(control);
    const PlanStep& step = steps_[static_cast<std::size_t>(s)];
    run_step(*kernels_, step, value, value(s), [&](const double* input, double* output) {
      const PackedParts<double>& layer = *layers_.at(step.layer);
      kernels_->dense(step.part >= 0 ? layer.part(step.part) : layer.origin(), input, output);
    });
    use(s, value(s));
  }
}

template class PointList<float>;
template class PointList<double>;
template void load_points(std::span<const double>, std::int64_t, std::int64_t, float*);
template void load_points(std::span<const double>, std::int64_t, std::int64_t, double*);
template void load_inputs(const Dataset&, std::int64_t, std::int64_t, float*);
template void load_inputs(const Dataset&, std::int64_t, std::int64_t, double*);

}  // namespace lossatlas::cpu
