#include "cuda/section_chain.hpp"

#include <algorithm>

#include "../kernels/dense.hpp"
#include "../kernels/section.hpp"
#include "base/parallel.hpp"

namespace lossatlas::cuda {
namespace {

// y (rows, out) = φ(W x + b) with matrix `part` of the layer; b and φ apply only if `whole`.
void run_dense(const kernels::LayerParts<double>& layer, const double* weights, bool whole, std::int64_t rows,
               const double* x, double* y, cudaStream_t stream) {
  kernels::DenseBatch<double> batch;
  batch.x = x;
  batch.weights = weights;
  batch.bias = whole ? layer.biases : nullptr;
  batch.y = y;
  batch.rows = rows;
  batch.in = layer.in;
  batch.out = layer.out;
  batch.activation = whole ? layer.activation : Activation::identity;
  LOSSATLAS_CUDA(kernels::launch_dense(batch, stream));
}

// Rows of a group of samples: few enough for a quick stop, and a multiple of a tensor kernel's tile.
std::int64_t group_rows(const SectionPlan& plan) {
  constexpr std::int64_t kStep = 64;
  auto flop = 2.0 * static_cast<double>(plan.joint_sample.weights.size());
  for (const ChainLayer& layer : plan.sample_chain) flop += 2.0 * static_cast<double>(layer.weights.size());
  const auto quick = static_cast<std::int64_t>(std::min(kBatchFlop / std::max(1.0, flop), 1e9));
  return std::clamp(quick / kStep * kStep, kStep, kSampleRows);
}

}  // namespace

template <class T>
PointUnits<T>::PointUnits(Workspace& workspace, std::span<const ChainLayer> layers, const Control& control)
    : workspace_(workspace), layers_(workspace.memory(), layers, MatrixOrder::in_out, control) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    widths_[l % 2] = std::max(widths_[l % 2], layers[l].out);
    flop_ += 4.0 * static_cast<double>(layers[l].weights.size());
  }
}

template <class T>
kernels::PointChain<T> PointUnits<T>::chain(std::int64_t points) const {
  kernels::PointChain<T> chain;
  chain.layers = layers_.on_device();
  chain.depth = static_cast<std::int32_t>(layers_.layers().size());
  chain.widths[0] = widths_[0];
  chain.widths[1] = widths_[1];
  chain.points = points;
  return chain;
}

template <class T>
std::int64_t PointUnits<T>::scratch(std::int64_t points) const {
  return kernels::point_chain_scratch(chain(points), workspace_.limits().shared_bytes);
}

template <class T>
void PointUnits<T>::run(const double* alpha, std::int64_t rank, std::int64_t points, T* scratch, T* outputs) const {
  kernels::PointChain<T> chain = this->chain(points);
  chain.alpha = alpha;
  chain.rank = rank;
  chain.outputs = outputs;
  LOSSATLAS_CUDA(kernels::launch_point_chain(chain, scratch, workspace_.limits().shared_bytes, workspace_.stream()));
}

std::vector<ChainLayer> point_layers(const SectionPlan& plan) {
  std::vector<ChainLayer> layers = plan.point_chain;
  layers.push_back(plan.joint_point);
  layers.back().activation = Activation::identity;
  return layers;
}

void for_sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control,
                      const TakeUnits& take) {
  Memory& memory = workspace.memory();
  const cudaStream_t stream = workspace.stream();
  const PackedLayers<double> chain(memory, plan.sample_chain, MatrixOrder::out_in, control);
  const PackedLayers<double> joint(memory, std::span(&plan.joint_sample, 1), MatrixOrder::out_in, control);
  const kernels::LayerParts<double>& affine = joint.layers()[0];
  std::int64_t width = affine.out;
  for (const ChainLayer& layer : plan.sample_chain) width = std::max(width, layer.out);
  const std::int64_t capacity = std::min(group_rows(plan), problem.samples());
  const DeviceBuffer<double> buffers[2] = {{memory, capacity * width}, {memory, capacity * width}};
  for (std::int64_t first = 0; first < problem.samples(); first += capacity) {
    check_stop(control);
    const std::int64_t rows = std::min(capacity, problem.samples() - first);
    const double* below = problem.inputs() + first * problem.features();
    std::size_t next = 0;
    for (const auto& layer : chain.layers()) {
      run_dense(layer, layer.weights, true, rows, below, buffers[next].data(), stream);
      below = buffers[next].data();
      next = 1 - next;
    }
    for (std::int64_t part = 0; part <= affine.moving_weights; ++part) {
      run_dense(affine, affine.weights + part * affine.out * affine.in, false, rows, below, buffers[next].data(),
                stream);
      take(part, first, rows, buffers[next].data());
    }
    synchronise(memory);
  }
}

template <class T>
DeviceBuffer<T> sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                             const Control& control) {
  const auto parts = static_cast<std::int64_t>(1 + plan.joint_sample.weight_directions.size());
  const std::int64_t units = plan.joint_sample.out, samples = problem.samples();
  DeviceBuffer<T> base(workspace.memory(), parts * units * samples);
  for_sample_units(workspace, problem, plan, control,
                   [&](std::int64_t part, std::int64_t first, std::int64_t rows, const double* from) {
                     LOSSATLAS_CUDA(kernels::launch_transpose(
                         from, rows, units, base.data() + part * units * samples + first, samples, workspace.stream()));
                   });
  return base;
}

template class PointUnits<float>;
template class PointUnits<double>;
template DeviceBuffer<float> sample_units(Workspace&, const Problem&, const SectionPlan&, const Control&);
template DeviceBuffer<double> sample_units(Workspace&, const Problem&, const SectionPlan&, const Control&);

}  // namespace lossatlas::cuda
