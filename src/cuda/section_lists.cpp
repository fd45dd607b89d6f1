#include "cuda/section_lists.hpp"

#include <algorithm>
#include <map>

#include "../kernels/dense.hpp"
#include "../kernels/section.hpp"
#include "base/parallel.hpp"
#include "cuda/section_chain.hpp"

namespace lossatlas::cuda {
namespace {

constexpr double kActivationFlop = 30;

}  // namespace

template <class T>
DeviceList<T>::DeviceList(Memory& memory, std::span<const PlanStep> steps, const ValueSlots& slots,
                          const Control& control)
    : steps_(steps.begin(), steps.end()), slots_(slots) {
  std::vector<std::int64_t> widths(static_cast<std::size_t>(slots_.count), 0);
  std::map<const ChainLayer*, std::shared_ptr<const PackedLayers<T>>> uploads;  // parts of a layer share it
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const PlanStep& step = steps_[s];
    std::int64_t& width = widths[static_cast<std::size_t>(slots_.steps[s])];
    width = std::max(width, step.out);
    layers_.emplace_back();
    flop_ += static_cast<double>(step.out) * kActivationFlop;
    if (step.adds()) continue;
    std::shared_ptr<const PackedLayers<T>>& packed = uploads[step.layer];
    if (!packed) {
      packed = std::make_shared<PackedLayers<T>>(memory, std::span(step.layer, 1), MatrixOrder::out_in, control);
    }
    layers_.back() = packed;
    const double parts = step.part >= 0 ? 1 : 1 + static_cast<double>(step.layer->weight_directions.size());
    flop_ += 2 * parts * static_cast<double>(step.layer->in * step.layer->out);
    if (step.part < 0 && !step.layer->shared()) moving_values_ += packed->layers()[0].values();
  }
  for (const std::int64_t width : widths) {
    places_.push_back(row_values_);
    row_values_ += width;
  }
}

template <class T>
void DeviceList<T>::form(const double* alpha, std::int64_t rank, std::int64_t points, T* weights,
                         cudaStream_t stream) const {
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    if (steps_[s].adds() || steps_[s].part >= 0 || layers_[s]->layers()[0].shared()) continue;
    LOSSATLAS_CUDA(kernels::launch_form_layer(layers_[s]->layers()[0], alpha, rank, points, weights, stream));
    weights += points * layers_[s]->layers()[0].values();
  }
}

template <class T>
void DeviceList<T>::run_layer(const PlanStep& step, const kernels::LayerParts<T>& layer, const ListValue<T>& from,
                              T* to, std::int64_t batch, std::int64_t rows, const T* weights,
                              cudaStream_t stream) const {
  kernels::DenseBatch<T> dense;
  dense.x = from.data;
  dense.x_stride = from.stride;
  dense.y = to;
  dense.y_stride = rows * layer.out;
  dense.batch = batch;
  dense.rows = rows;
  dense.in = layer.in;
  dense.out = layer.out;
  dense.activation = step.activation;
  if (step.part >= 0) {
    dense.weights = layer.weights + step.part * layer.out * layer.in;
  } else if (layer.shared()) {
    dense.weights = layer.weights;
    dense.bias = layer.biases;
  } else {
    dense.weights = weights;
    dense.weights_stride = layer.values();
    dense.bias = layer.biases ? weights + layer.out * layer.in : nullptr;
    dense.bias_stride = layer.values();
  }
  LOSSATLAS_CUDA(kernels::launch_dense(dense, stream));
}

template <class T>
void DeviceList<T>::run(std::int64_t batch, std::int64_t rows, const T* weights, T* buffers, const Start& start,
                        const Done& done, cudaStream_t stream) const {
  const auto input = [&](std::int32_t index) -> ListValue<T> {
    if (index < 0) return start(-1 - index);
    return {value(index, batch, rows, buffers), rows * steps_[static_cast<std::size_t>(index)].out};
  };
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const PlanStep& step = steps_[s];
    T* to = value(static_cast<std::int32_t>(s), batch, rows, buffers);
    if (step.adds()) {
      for (std::size_t term = 0; term < step.inputs.size(); ++term) {
        const ListValue<T> from = input(step.inputs[term]);
        const bool last = term + 1 == step.inputs.size();
        kernels::AddBatch<T> add{from.data, from.stride, step.out, to, batch, rows, step.out, term == 0};
        if (last) add.activation = step.activation;
        LOSSATLAS_CUDA(kernels::launch_add(add, stream));
      }
    } else {
      const kernels::LayerParts<T>& layer = layers_[s]->layers()[0];
      run_layer(step, layer, step.inputs.empty() ? ListValue<T>{} : input(step.inputs.front()), to, batch, rows,
                weights, stream);
      if (!layer.shared() && step.part < 0) weights += batch * layer.values();
    }
    if (done) done(static_cast<std::int32_t>(s), to);
  }
}

void run_sample_list(Workspace& workspace, const Problem& problem, const PlanLists& lists, const Control& control,
                     const TakeValue& take) {
  Memory& memory = workspace.memory();
  const DeviceList<double> list(memory, lists.sample, lists.sample_slots, control);
  const auto quick = static_cast<std::int64_t>(std::min(kBatchFlop / std::max(1.0, list.flop()), 1e9));
  const std::int64_t capacity = std::min(std::clamp<std::int64_t>(quick, 1, kSampleRows), problem.samples());
  const DeviceBuffer<double> buffers(memory, capacity * list.row_values());
  for (std::int64_t first = 0; first < problem.samples(); first += capacity) {
    check_stop(control);
    const std::int64_t rows = std::min(capacity, problem.samples() - first);
    const double* x = problem.inputs() + first * problem.features();
    take(-1, first, rows, x);
    list.run(
        1, rows, nullptr, buffers.data(),
        [&](std::int64_t) {
          return ListValue<double>{x, 0};
        },
        [&](std::int32_t s, const double* value) { take(s, first, rows, value); }, workspace.stream());
    synchronise(memory);
  }
}

template <class T>
std::vector<DeviceBuffer<T>> crossing_units(Workspace& workspace, const Problem& problem, const PlanLists& lists,
                                            const Control& control) {
  const std::int64_t samples = problem.samples();
  std::vector<DeviceBuffer<T>> base;
  for (const Crossing& crossing : lists.crossings) {
    base.emplace_back(workspace.memory(), std::ssize(crossing.parts) * crossing.units * samples);
  }
  run_sample_list(
      workspace, problem, lists, control,
      [&](std::int32_t index, std::int64_t first, std::int64_t rows, const double* value) {
        for (std::size_t k = 0; k < base.size(); ++k) {
          const Crossing& crossing = lists.crossings[k];
          for (std::size_t part = 0; part < crossing.parts.size(); ++part) {
            if (crossing.parts[part] != index) continue;
            T* to = base[k].data() + static_cast<std::int64_t>(part) * crossing.units * samples + first;
            LOSSATLAS_CUDA(kernels::launch_transpose(value, rows, crossing.units, to, samples, workspace.stream()));
          }
        }
      });
  return base;
}

template class DeviceList<float>;
template class DeviceList<double>;
template std::vector<DeviceBuffer<float>> crossing_units(Workspace&, const Problem&, const PlanLists&, const Control&);
template std::vector<DeviceBuffer<double>> crossing_units(Workspace&, const Problem&, const PlanLists&, const Control&);

}  // namespace lossatlas::cuda
