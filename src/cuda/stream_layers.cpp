#include "cuda/stream_layers.hpp"

#include <algorithm>
#include <cmath>

#include "../kernels/tensor_pairs.hpp"
#include "cuda/tensor_choice.hpp"

namespace lossatlas::cuda {
namespace {

using kernels::Operands;
using kernels::StreamLayer;
using kernels::StreamRows;

struct StreamSizes {
  std::vector<StreamLayer> layers;
  std::int64_t fixed = 0;   // fragments of layers that no direction moves
  std::int64_t moving = 0;  // fragments of each point's own layers
  std::int64_t bias_values = 0;
};

StreamSizes stream_sizes(const AffineChain& chain) {
  StreamSizes sizes;
  for (const ChainLayer& from : chain.later) {
    const bool last = &from == &chain.later.back();
    StreamLayer layer;
    layer.blocks = static_cast<std::int32_t>(kernels::blocks_of(from.in));
    layer.tiles = static_cast<std::int32_t>(last ? kernels::tiles_of(from.out) : 2 * kernels::blocks_of(from.out));
    layer.out = static_cast<std::int32_t>(from.out);
    layer.activation = from.activation;
    layer.moving = !from.weight_directions.empty();
    layer.biases = static_cast<std::int32_t>(sizes.bias_values);
    std::int64_t& fragments = layer.moving ? sizes.moving : sizes.fixed;
    layer.fragments = fragments;
    fragments += layer.fragment_count();
    sizes.bias_values += layer.bias_values();
    sizes.layers.push_back(layer);
  }
  return sizes;
}

std::int64_t fragment_bytes(Operands operands) {
  return kernels::kFragmentWeights * (operands == Operands::f64 ? 8 : operands == Operands::tf32x2 ? 4 : 2);
}

bool all_shared(const AffineChain& chain) {
  const auto shared = [](const ChainLayer& layer) { return layer.shared(); };
  return std::all_of(chain.later.begin(), chain.later.end(), shared);
}

template <class T>
kernels::StreamLayout layout_for(const AffineChain& chain, StreamRows rows, Operands operands, std::int64_t samples,
                                 std::int64_t shared_limit) {
  const StreamSizes sizes = stream_sizes(chain);
  kernels::TensorStream<T> problem;
  problem.pairs.depth = static_cast<std::int32_t>(sizes.layers.size());
  problem.pairs.heads = chain.heads;
  problem.pairs.samples = samples;
  problem.pairs.moving = static_cast<std::int32_t>(chain.moving);
  problem.operands = operands;
  problem.shared = rows == StreamRows::samples && all_shared(chain);
  problem.fixed_fragments = sizes.fixed;
  problem.moving_fragments = sizes.moving;
  problem.bias_values = static_cast<std::int32_t>(sizes.bias_values);
  return kernels::stream_layout(problem, rows, sizes.layers.data(), shared_limit);
}

/// max |W_d| of each part of the layers, one layer after another.
std::vector<double> largest_weights(const AffineChain& chain, std::vector<std::int64_t>& first) {
  std::vector<double> largest;
  for (const ChainLayer& layer : chain.later) {
    first.push_back(static_cast<std::int64_t>(largest.size()));
    const auto each = layer.out * layer.in;
    for (auto part = layer.weights.begin(); part != layer.weights.end(); part += each) {
      double top = 0;
      std::for_each(part, part + each, [&](double weight) { top = std::max(top, std::abs(weight)); });
      largest.push_back(top);
    }
  }
  return largest;
}

bool fits(const AffineChain& chain, StreamRows rows, Operands operands, std::int64_t samples,
          std::int64_t shared_limit) {
  const auto fine = [&](const ChainLayer& layer) { return weights_fit(layer, operands); };
  if (chain.later.empty() || !std::all_of(chain.later.begin(), chain.later.end(), fine)) return false;
  const auto layout = operands == Operands::f64 ? layout_for<double>(chain, rows, operands, samples, shared_limit)
                                                : layout_for<float>(chain, rows, operands, samples, shared_limit);
  return layout.shape >= 0;
}

}  // namespace

AffineChain AffineChain::of_samples(const SectionPlan& plan) {
  return {plan.later, plan.rank, plan.heads, std::ssize(plan.joint_sample.weight_directions)};
}

AffineChain AffineChain::of_points(const SectionPlan& plan) {
  return {std::span(plan.point_chain).subspan(1), plan.rank, plan.heads,
          std::ssize(plan.point_chain.front().bias_directions)};
}

bool stream_takes(const SectionPlan& plan, Operands operands, std::int64_t samples, std::int64_t shared_limit) {
  return plan.kind == PlanKind::joint &&
         fits(AffineChain::of_samples(plan), StreamRows::samples, operands, samples, shared_limit);
}

bool stream_takes_points(const AffineChain& chain, Operands operands, std::int64_t shared_limit) {
  return fits(chain, StreamRows::points, operands, 1, shared_limit);  // the fewest rows possible
}

std::optional<Operands> stream_operands(const SectionPlan& plan, Precision precision, std::int64_t samples,
                                        std::int64_t shared_limit) {
  return operands_for(precision,
                      [&](Operands operands) { return stream_takes(plan, operands, samples, shared_limit); });
}

template <class T>
StreamLayers<T>::StreamLayers(Workspace& workspace, const AffineChain& chain, std::int64_t samples,
                              const PackedLayers<T>& parts, Operands operands)
    : workspace_(workspace), chain_(chain), parts_(parts), operands_(operands) {
  set_layers();
  const std::int64_t limit = workspace.limits().shared_bytes;
  blocks_form_ = layout_for<T>(chain, StreamRows::samples, operands, samples, limit).resident;
  Memory& memory = workspace.memory();
  device_layers_ = uploaded(memory, std::span<const StreamLayer>(layers_));
  if (operands == Operands::half) {
    const std::vector<double> largest = largest_weights(chain, first_largest_);
    largest_ = uploaded(memory, std::span(largest));
  }
  fixed_ = DeviceBuffer<unsigned char>(memory, fragments_[0] * fragment_bytes(operands_));
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l].moving) continue;
    kernels::StreamWeights<T> arguments = weights(l);
    arguments.points = 1;
    arguments.weights = fixed_.data() + layers_[l].fragments * fragment_bytes(operands_);
    LOSSATLAS_CUDA(kernels::launch_stream_weights(arguments, workspace_.stream()));
  }
}

template <class T>
void StreamLayers<T>::set_layers() {
  StreamSizes sizes = stream_sizes(chain_);
  layers_ = std::move(sizes.layers);
  fragments_[0] = sizes.fixed;
  fragments_[1] = sizes.moving;
  bias_values_ = sizes.bias_values;
}

template <class T>
std::int64_t StreamLayers<T>::weight_bytes() const {
  return blocks_form_ ? 0 : fragments_[1] * fragment_bytes(operands_);
}

template <class T>
std::int64_t StreamLayers<T>::bytes_per_point() const {
  return weight_bytes() + bias_values_ * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
typename StreamLayers<T>::Scratch StreamLayers<T>::scratch(std::int64_t points) const {
  Memory& memory = workspace_.memory();
  return {DeviceBuffer<unsigned char>(memory, points * weight_bytes()), DeviceBuffer<T>(memory, points * bias_values_)};
}

template <class T>
kernels::StreamWeights<T> StreamLayers<T>::weights(std::size_t l) const {
  kernels::StreamWeights<T> weights;
  weights.parts = parts_.layers()[l];
  weights.layer = layers_[l];
  weights.operands = operands_;
  if (operands_ == Operands::half) weights.largest = largest_.data() + first_largest_[l];
  weights.rank = chain_.rank;
  weights.stride = fragments_[1];
  weights.bias_stride = bias_values_;
  return weights;
}

// Forms the biases and, unless blocks do so, the weights at pairs.points points.
template <class T>
void StreamLayers<T>::form(const kernels::PairLosses<T>& pairs, const Scratch& scratch) const {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    kernels::StreamWeights<T> arguments = weights(l);
    arguments.alpha = pairs.alpha;
    arguments.points = pairs.points;
    arguments.biases = scratch.biases.data() + layers_[l].biases;
    if (layers_[l].moving && !blocks_form_) {
      arguments.weights = scratch.weights.data() + layers_[l].fragments * fragment_bytes(operands_);
      LOSSATLAS_CUDA(kernels::launch_stream_weights(arguments, workspace_.stream()));
    }
    LOSSATLAS_CUDA(kernels::launch_stream_biases(arguments, workspace_.stream()));
  }
}

template <class T>
kernels::TensorStream<T> StreamLayers<T>::problem(const kernels::PairLosses<T>& pairs, const Scratch& scratch) const {
  kernels::TensorStream<T> problem;
  problem.pairs = pairs;
  problem.operands = operands_;
  problem.layers = device_layers_.data();
  problem.fixed_fragments = fragments_[0];
  problem.moving_fragments = fragments_[1];
  problem.fixed_weights = fixed_.data();
  problem.moving_weights = scratch.weights.data();
  problem.biases = scratch.biases.data();
  problem.bias_values = static_cast<std::int32_t>(bias_values_);
  return problem;
}

template <class T>
void StreamLayers<T>::run(const kernels::PairLosses<T>& pairs, const T* bias, const Scratch& scratch,
                          std::int32_t* flags) const {
  form(pairs, scratch);
  kernels::TensorStream<T> problem = this->problem(pairs, scratch);
  problem.shared = all_shared(chain_) && pairs.points > 2;  // otherwise most places would repeat a point
  problem.part_values = kernels::packed_samples(pairs.units, pairs.samples, kernels::kStreamRows);
  problem.bias = bias;
  problem.flags = flags;
  const auto layout =
      kernels::stream_layout(problem, StreamRows::samples, layers_.data(), workspace_.limits().shared_bytes);
  LOSSATLAS_CUDA(kernels::launch_tensor_stream(problem, layout, workspace_.stream()));
}

template <class T>
void StreamLayers<T>::run_points(const kernels::PairLosses<T>& rows, double variance, const Scratch& scratch) const {
  form(rows, scratch);
  kernels::TensorStream<T> problem = this->problem(rows, scratch);
  problem.variance = variance;
  const auto layout =
      kernels::stream_layout(problem, StreamRows::points, layers_.data(), workspace_.limits().shared_bytes);
  LOSSATLAS_CUDA(kernels::launch_tensor_points(problem, layout, workspace_.stream()));
}

template class StreamLayers<float>;
template class StreamLayers<double>;

}  // namespace lossatlas::cuda
