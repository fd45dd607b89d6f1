#include "cuda/section_pairs.hpp"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "../kernels/compaction.hpp"
#include "../kernels/dense.hpp"
#include "../kernels/pair_losses.hpp"
#include "../kernels/section.hpp"
#include "../kernels/tensor_pairs.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/pair_blocks.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/sample_groups.hpp"
#include "cuda/section_chain.hpp"
#include "cuda/stream_layers.hpp"
#include "cuda/tensor_choice.hpp"

namespace lossatlas::cuda {
namespace {

/// What every kernel reads: A_d or the inputs, the later layers, the targets.
template <class T>
struct PairData {
  PairData(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control)
      : workspace(workspace),
        problem(problem),
        plan(plan),
        groups(workspace, problem, plan),
        later(workspace.memory(), plan.later, MatrixOrder::out_in, control) {
    pairs.units = direct() ? problem.features() : plan.joint_sample.out;
    pairs.activation = plan.joint_sample.activation;
    pairs.later = later.on_device();
    pairs.depth = static_cast<std::int32_t>(later.layers().size());
    pairs.loss = plan.loss;
    pairs.heads = plan.heads;
    pairs.classes = plan.outputs / plan.heads;
    pairs.targets = problem.targets<T>();
    pairs.samples = problem.samples();
    pairs.chunks = groups.chunks();
    pairs.rank = plan.rank;
    if (!direct()) {
      directions = uploaded(memory(), std::span(plan.joint_sample.weight_directions));
      pairs.directions = directions.data();
      pairs.moving = static_cast<std::int32_t>(directions.size());
      pairs.widths[0] = pairs.units;
    } else if constexpr (std::is_same_v<T, float>) {
      base = DeviceBuffer<float>(memory(), pairs.samples * pairs.units);
      LOSSATLAS_CUDA(kernels::launch_to_float(problem.inputs(), base.size(), base.data(), stream()));
      pairs.base = base.data();
    } else {
      pairs.base = problem.inputs();
    }
    for (std::size_t l = 0; l < later.layers().size(); ++l) {
      const kernels::LayerParts<T>& layer = later.layers()[l];
      pairs.widths[(l + 1) % 2] = std::max(pairs.widths[(l + 1) % 2], layer.out);
      pairs.weight_values += layer.values();
      if (!layer.shared()) moving_values += layer.values();
    }
    pairs.later_move = moving_values > 0;
  }

  Memory& memory() const { return workspace.memory(); }
  cudaStream_t stream() const { return workspace.stream(); }
  std::int64_t shared_bytes() const { return workspace.limits().shared_bytes; }
  bool direct() const { return plan.kind == PlanKind::direct; }

  // Loads A_d in the order in which the kernel reads them: packed for tiles of so many samples, or not packed at all.
  void load_units(std::optional<std::int64_t> tile, const Control& control) {
    if (tile) {
      const std::int64_t each = kernels::packed_samples(pairs.units, pairs.samples, *tile);
      base = DeviceBuffer<T>(memory(), (1 + directions.size()) * each);
      for_sample_units(workspace, problem, plan, control,
                       [&](std::int64_t part, std::int64_t first, std::int64_t rows, const double* from) {
                         T* to = base.data() + part * each + kernels::packed_samples(pairs.units, first, *tile);
                         LOSSATLAS_CUDA(kernels::launch_pack_samples(from, pairs.units, rows, *tile, to, stream()));
                       });
    } else {
      base = sample_units<T>(workspace, problem, plan, control);
    }
    pairs.base = base.data();
  }

  Workspace& workspace;
  const Problem& problem;
  const SectionPlan& plan;
  SampleGroups<T> groups;
  PackedLayers<T> later;
  DeviceBuffer<T> base;  // A: (parts, units, N), packed for tensor cores; direct: the inputs (N, d) if converted
  DeviceBuffer<std::int32_t> directions;
  std::int64_t moving_values = 0;  // of the later layers that move
  kernels::PairLosses<T> pairs;    // without points; of a direct plan, the base is the inputs, m_j = d
};

/// The pairs with one launch per layer, which every plan allows.
template <class T>
class LayerByLayer {
 public:
  explicit LayerByLayer(const PairData<T>& data) : data_(data) {}

  struct Scratch {
    DeviceBuffer<T> weights;         // of all moving layers: (points, values)
    DeviceBuffer<T> activations[2];  // (points, rows, width): the joint layer and later 1, 3, ..; later 0, 2, ..
  };
  std::int64_t bytes_per_point() const {
    const std::int64_t values =
        data_.moving_values + data_.groups.rows() * (data_.pairs.widths[0] + data_.pairs.widths[1]);
    return static_cast<std::int64_t>(sizeof(T)) * values;
  }
  Scratch scratch(std::int64_t points) const {
    const auto buffer = [&](std::int64_t values) { return DeviceBuffer<T>(data_.memory(), points * values); };
    const std::int64_t rows = data_.groups.rows();
    return {buffer(data_.moving_values), {buffer(rows * data_.pairs.widths[0]), buffer(rows * data_.pairs.widths[1])}};
  }

  void run(const kernels::PairLosses<T>& pairs, const Scratch& scratch, const Control& control) const {
    T* weights = scratch.weights.data();
    for (const auto& layer : data_.later.layers()) {
      if (layer.shared()) continue;
      LOSSATLAS_CUDA(kernels::launch_form_layer(layer, pairs.alpha, pairs.rank, pairs.points, weights, data_.stream()));
      weights += pairs.points * layer.values();
    }
    data_.groups.sum_losses(pairs.points, pairs.sums, control, [&](std::int64_t first, std::int64_t rows) {
      return run_group(pairs, scratch, first, rows);
    });
  }

 private:
  // The outputs of samples first..first+rows−1 at every point; activations are (points, rows, width).
  const T* run_group(const kernels::PairLosses<T>& pairs, const Scratch& scratch, std::int64_t first,
                     std::int64_t rows) const {
    const T* below = scratch.activations[0].data();
    bool same_for_all = false;
    if (data_.direct()) {
      below = pairs.base + first * pairs.units;
      same_for_all = true;
    } else {
      joint_rows(pairs, first, rows, scratch.activations[0].data());
    }
    const T* weights = scratch.weights.data();
    const auto layers = data_.later.layers();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const kernels::LayerParts<T>& layer = layers[l];
      kernels::DenseBatch<T> dense;
      dense.x = below;
      dense.x_stride = same_for_all ? 0 : rows * layer.in;
      dense.weights = layer.shared() ? layer.weights : weights;
      dense.weights_stride = layer.shared() ? 0 : layer.values();
      dense.bias = layer.shared() ? layer.biases : weights + layer.out * layer.in;
      dense.bias_stride = dense.weights_stride;
      dense.y = scratch.activations[(l + 1) % 2].data();
      dense.y_stride = rows * layer.out;
      dense.batch = pairs.points;
      dense.rows = rows;
      dense.in = layer.in;
      dense.out = layer.out;
      dense.activation = layer.activation;
      LOSSATLAS_CUDA(kernels::launch_dense(dense, data_.stream()));
      if (!layer.shared()) weights += pairs.points * layer.values();
      below = dense.y;
      same_for_all = false;
    }
    return below;
  }

  void joint_rows(const kernels::PairLosses<T>& pairs, std::int64_t first, std::int64_t rows, T* activations) const {
    kernels::JointRows<T> joint;
    joint.base = pairs.base;
    joint.bias = pairs.bias;
    joint.directions = pairs.directions;
    joint.moving = pairs.moving;
    joint.units = pairs.units;
    joint.activation = pairs.activation;
    joint.alpha = pairs.alpha;
    joint.rank = pairs.rank;
    joint.points = pairs.points;
    joint.samples = pairs.samples;
    joint.first = first;
    joint.rows = rows;
    joint.a = activations;
    LOSSATLAS_CUDA(kernels::launch_joint_rows(joint, data_.stream()));
  }

  const PairData<T>& data_;
};

/// The pairs on the tensor cores. Operands in half precision come with others in f32, for points that leave its range.
template <class T>
class TensorCores {
 public:
  TensorCores(const PairData<T>& data, PairKernel kernel, kernels::Operands operands)
      : data_(data), operands_(operands) {
    const bool half = operands == kernels::Operands::half;
    if (kernel == PairKernel::stream) {
      const AffineChain chain = AffineChain::of_samples(data.plan);
      const std::int64_t samples = data.problem.samples();
      stream_.emplace(data.workspace, chain, samples, data.later, operands);
      if (half) stream_again_.emplace(data.workspace, chain, samples, data.later, kernels::Operands::tf32x2);
    } else if (half) {
      const std::vector<float> weight_scales = tensor_weight_scales(data.plan);
      weight_scales_ = uploaded(data.memory(), std::span(weight_scales));
    }
  }

  kernels::Operands operands() const { return operands_; }
  /// Samples of a tile.
  std::int64_t tile() const { return stream_ ? kernels::kStreamRows : shape(operands_).rows(); }

  struct Scratch {
    DeviceBuffer<float> bias;  // B in float
    typename StreamLayers<T>::Scratch stream;
  };
  std::int64_t bytes_per_point() const {
    return (std::is_same_v<T, float> ? 4 * data_.pairs.units : 0) + (stream_ ? widest_stream().bytes_per_point() : 0);
  }
  Scratch scratch(std::int64_t points) const {
    Scratch scratch;
    if (std::is_same_v<T, float>) scratch.bias = DeviceBuffer<float>(data_.memory(), points * data_.pairs.units);
    if (stream_) scratch.stream = widest_stream().scratch(points);
    return scratch;
  }

  /// With half operands only, sets `flags` (points) where a number left the range of half precision.
  void run(const kernels::PairLosses<T>& pairs, kernels::Operands operands, const Scratch& scratch,
           std::int32_t* flags) const {
    const T* bias = bias_of(pairs, scratch);
    if (stream_) return (operands == operands_ ? stream_ : stream_again_)->run(pairs, bias, scratch.stream, flags);
    kernels::TensorPairs<T> tensor;
    tensor.pairs = pairs;
    tensor.bias = bias;
    tensor.shape = shape(operands);
    if (operands == kernels::Operands::half) tensor.weight_scales = weight_scales_.data();
    tensor.flags = flags;
    LOSSATLAS_CUDA(kernels::launch_tensor_pairs(tensor, data_.stream()));
  }

 private:
  kernels::TensorShape shape(kernels::Operands operands) const {
    return tensor_shape(data_.plan, operands, data_.shared_bytes());
  }
  /// The one with more scratch memory, which serves both.
  const StreamLayers<T>& widest_stream() const {
    return stream_again_ && stream_again_->weight_bytes() > stream_->weight_bytes() ? *stream_again_ : *stream_;
  }

  // B in T.
  const T* bias_of(const kernels::PairLosses<T>& pairs, const Scratch& scratch) const {
    if constexpr (std::is_same_v<T, float>) {
      float* bias = scratch.bias.data();
      LOSSATLAS_CUDA(kernels::launch_to_float(pairs.bias, pairs.points * pairs.units, bias, data_.stream()));
      return bias;
    } else {
      return pairs.bias;
    }
  }

  const PairData<T>& data_;
  kernels::Operands operands_;
  std::optional<StreamLayers<T>> stream_, stream_again_;  // else the kernel for shared layers; the second is in f32
  DeviceBuffer<float> weight_scales_;                     // of the kernel for shared layers
};

template <class T>
class PairSection final : public DeviceSection {
 public:
  PairSection(Workspace& workspace, const Problem& problem, const SectionPlan& plan, Precision precision,
              const Control& control)
      : data_(workspace, problem, plan, control), layers_(data_), queue_(workspace) {
    if (!data_.direct()) bias_chain_.emplace(workspace, point_layers(plan), control);
    choose_kernel(precision);
    if (data_.direct()) return;
    data_.load_units(tensor_ ? std::optional(tensor_->tile()) : std::nullopt, {{}, control.stop});
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    PointBatches batches{data_.plan.rank, data_.plan.heads, bytes_per_point()};
    batches.flop_per_point = data_.plan.pair_work * static_cast<double>(data_.problem.samples());
    if (bias_chain_) batches.flop_per_point += bias_chain_->flop_per_point();
    batches.batch_flop = batch_flop(kernel_, ran(), data_.workspace.limits());
    batches.flagged = in_half();
    queue_.run(
        batches, points, control, losses, [this](std::int64_t capacity) { return Scratch(*this, capacity); },
        [&](const Scratch& scratch, const PointBatch& batch) { run_batch(scratch, batch, control); },
        [this](const Scratch& scratch, const PointBatch& batch) { run_again(scratch, batch); });
  }

 private:
  // Memory for the points that left the range of half precision.
  struct Again {
    Again(Memory& memory, const SectionPlan& plan, std::int64_t points)
        : workspace(memory, kernels::compaction_workspace(points)),
          chosen(memory, points),
          alpha(memory, points * plan.rank),
          results(memory, points * plan.heads) {}
    static std::int64_t bytes_per_point(const SectionPlan& plan) {
      return kernels::compaction_workspace(1) - kernels::compaction_workspace(0) + 4 + 8 * (plan.rank + plan.heads);
    }
    DeviceBuffer<unsigned char> workspace;
    DeviceBuffer<std::int32_t> chosen;  // (points)
    DeviceBuffer<double> alpha;         // (points, z)
    DeviceBuffer<double> results;       // (points, H)
  };

  struct Scratch {
    Scratch(const PairSection& section, std::int64_t points)
        : sums(section.data_.memory(), points * section.data_.groups.chunks() * section.data_.plan.heads) {
      Memory& memory = section.data_.memory();
      if (section.bias_chain_) bias.emplace(memory, *section.bias_chain_, points);
      if (section.in_half()) again.emplace(memory, section.data_.plan, points);
      if (section.tensor_) tensor = section.tensor_->scratch(points);
      if (section.kernel_ == PairKernel::layers) layers = section.layers_.scratch(points);
    }
    DeviceBuffer<double> sums;                        // (points, chunks, H)
    std::optional<PointUnits<double>::Scratch> bias;  // B: (points, units)
    typename LayerByLayer<T>::Scratch layers;
    typename TensorCores<T>::Scratch tensor;
    std::optional<Again> again;
  };

  bool in_half() const { return tensor_ && tensor_->operands() == kernels::Operands::half; }
  Precision ran() const {
    if (in_half()) return Precision::fast;
    return std::is_same_v<T, double> ? Precision::f64 : Precision::f32;
  }

  // Depends on the plan, the precision and the device, so no result depends on batches or free memory.
  void choose_kernel(Precision precision) {
    const SectionPlan& plan = data_.plan;
    const std::int64_t shared_bytes = data_.shared_bytes();
    if (const auto operands = tensor_operands(plan, precision, shared_bytes)) {
      kernel_ = PairKernel::tensor;
      tensor_.emplace(data_, kernel_, *operands);
    } else if (const auto streamed = stream_operands(plan, precision, data_.problem.samples(), shared_bytes)) {
      kernel_ = PairKernel::stream;
      tensor_.emplace(data_, kernel_, *streamed);
    } else if (!data_.direct() && kernels::pair_tile(data_.pairs, shared_bytes) > 0) {
      kernel_ = PairKernel::fused;
    }
  }

  std::int64_t bytes_per_point() const {
    std::int64_t bytes = 8 * data_.groups.chunks() * data_.plan.heads;
    if (bias_chain_) bytes += bias_chain_->bytes_per_point();
    if (in_half()) bytes += Again::bytes_per_point(data_.plan);
    if (tensor_) bytes += tensor_->bytes_per_point();
    if (kernel_ == PairKernel::layers) bytes += layers_.bytes_per_point();
    return bytes;
  }

  void run_batch(const Scratch& scratch, const PointBatch& batch, const Control& control) const {
    const kernels::PairLosses<T> pairs = pairs_at(scratch, batch.alpha, batch.count);
    if (tensor_) {
      tensor_->run(pairs, tensor_->operands(), scratch.tensor, batch.flags);
    } else if (kernel_ == PairKernel::fused) {
      LOSSATLAS_CUDA(kernels::launch_pair_losses(pairs, data_.shared_bytes(), data_.stream()));
    } else {
      layers_.run(pairs, scratch.layers, control);
    }
    data_.groups.mean(pairs.sums, pairs.points, batch.results);
  }

  // The points alpha (count, z), for which this computes B.
  kernels::PairLosses<T> pairs_at(const Scratch& scratch, const double* alpha, std::int64_t count) const {
    kernels::PairLosses<T> pairs = data_.pairs;
    pairs.alpha = alpha;
    pairs.points = count;
    pairs.sums = scratch.sums.data();
    if (bias_chain_) {
      bias_chain_->run({alpha, count}, pairs.rank, *scratch.bias);
      pairs.bias = scratch.bias->outputs.data();
    }
    const BlockShare share = block_share(kernel_, pairs.later_move, count, pairs.chunks, data_.workspace.limits());
    pairs.block_points = share.points;
    pairs.block_chunks = share.chunks;
    return pairs;
  }

  // Computes the flagged points of a finished batch again, in f32.
  void run_again(const Scratch& scratch, const PointBatch& batch) const {
    const Again& again = *scratch.again;
    const std::int32_t* chosen = again.chosen.data();
    const std::int64_t rank = data_.plan.rank, heads = data_.plan.heads;
    const cudaStream_t stream = data_.stream();
    std::int64_t count = 0;
    LOSSATLAS_CUDA(kernels::compact_flagged(batch.flags, batch.count, again.workspace.data(), again.chosen.data(),
                                            &count, stream));
    LOSSATLAS_CUDA(kernels::launch_gather_rows(batch.alpha, chosen, count, rank, again.alpha.data(), stream));
    const kernels::PairLosses<T> few = pairs_at(scratch, again.alpha.data(), count);
    tensor_->run(few, kernels::Operands::tf32x2, scratch.tensor, nullptr);
    data_.groups.mean(few.sums, count, again.results.data());
    LOSSATLAS_CUDA(kernels::launch_scatter_rows(again.results.data(), chosen, count, heads, batch.results, stream));
  }

  PairData<T> data_;
  PairKernel kernel_ = PairKernel::layers;
  LayerByLayer<T> layers_;
  std::optional<TensorCores<T>> tensor_;
  std::optional<PointUnits<double>> bias_chain_;
  BatchQueue<Scratch> queue_;
};

}  // namespace

bool pairs_run_in_half(const SectionPlan& plan, std::int64_t samples, std::int64_t shared_bytes) {
  auto operands = tensor_operands(plan, Precision::fast, shared_bytes);
  if (!operands) operands = stream_operands(plan, Precision::fast, samples, shared_bytes);
  return operands == kernels::Operands::half;
}

template <class T>
std::unique_ptr<DeviceSection> pair_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                            Precision precision, const Control& control) {
  return std::make_unique<PairSection<T>>(workspace, problem, plan, precision, control);
}

template std::unique_ptr<DeviceSection> pair_section<float>(Workspace&, const Problem&, const SectionPlan&, Precision,
                                                            const Control&);
template std::unique_ptr<DeviceSection> pair_section<double>(Workspace&, const Problem&, const SectionPlan&, Precision,
                                                             const Control&);

}  // namespace lossatlas::cuda
