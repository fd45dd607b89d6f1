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

/// Points in device memory, and where the partial sums of their losses go.
struct PairPoints {
  const double* alpha = nullptr;  ///< (count, z)
  const double* bias = nullptr;   ///< B: (count, units)
  std::int64_t count = 0;
  double* sums = nullptr;  ///< (count, chunks, H)
};

/// What all kernels share: A_d or the inputs, B, the later layers, partial sums and their mean.
template <class T>
class PairSection final : public DeviceSection {
 public:
  PairSection(Workspace& workspace, const Problem& problem, const SectionPlan& plan, Precision precision,
              const Control& control)
      : workspace_(workspace),
        problem_(problem),
        plan_(plan),
        control_{{}, control.stop},
        direct_(plan.kind == PlanKind::direct),
        units_(direct_ ? problem.features() : plan.joint_sample.out),
        groups_(workspace, problem, plan),
        later_(workspace.memory(), plan.later, MatrixOrder::out_in, control),
        queue_(workspace) {
    if (direct_) {
      load_inputs();
    } else {
      bias_chain_.emplace(workspace, point_layers(plan), control);
      directions_ = uploaded(workspace.memory(), std::span(plan.joint_sample.weight_directions));
    }
    set_widths();
    choose_kernel(precision);
    if (!direct_) load_units();
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    control_ = {{}, control.stop};
    PointBatches batches{plan_.rank, plan_.heads, bytes_per_point()};
    batches.flop_per_point = plan_.pair_work * static_cast<double>(problem_.samples());
    if (bias_chain_) batches.flop_per_point += bias_chain_->flop_per_point();
    batches.batch_flop = batch_flop(kernel_, ran(), workspace_.limits());
    batches.flagged = in_half();
    queue_.run(
        batches, points, control, losses, [this](std::int64_t capacity) { return Scratch(*this, capacity); },
        [this](const Scratch& scratch, const PointBatch& batch) { run_batch(scratch, batch); },
        [this](const Scratch& scratch, const PointBatch& batch) { run_again(scratch, batch); });
  }

 private:
  // Memory for the points that left the range of half precision.
  struct Again {
    Again(const PairSection& section, std::int64_t points)
        : workspace(section.memory(), kernels::compaction_workspace(points)),
          chosen(section.memory(), points),
          alpha(section.memory(), points * section.plan_.rank),
          results(section.memory(), points * section.plan_.heads) {}
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
        : sums(section.memory(), points * section.groups_.chunks() * section.plan_.heads) {
      if (section.bias_chain_) bias.emplace(section.memory(), *section.bias_chain_, points);
      if (section.float_bias()) float_bias = DeviceBuffer<float>(section.memory(), points * section.units_);
      if (section.in_half()) again.emplace(section, points);
      if (section.stream_) stream = section.widest_stream().scratch(points);
      if (section.kernel_ != PairKernel::layers) return;
      weights = DeviceBuffer<T>(section.memory(), points * section.moving_values_);
      for (int side = 0; side < 2; ++side) {
        activations[side] = DeviceBuffer<T>(section.memory(), points * section.groups_.rows() * section.widths_[side]);
      }
    }
    DeviceBuffer<double> sums;                        // (points, chunks, H)
    std::optional<PointUnits<double>::Scratch> bias;  // B: (points, units)
    DeviceBuffer<float> float_bias;                   // B in float
    DeviceBuffer<T> weights;                          // of all moving layers: (points, values)
    DeviceBuffer<T> activations[2];  // (points, rows, width): the joint layer and later 1, 3, ..; later 0, 2, ..
    typename StreamLayers<T>::Scratch stream;
    std::optional<Again> again;
  };

  Memory& memory() const { return workspace_.memory(); }
  cudaStream_t stream() const { return workspace_.stream(); }
  std::int64_t shared_bytes() const { return workspace_.limits().shared_bytes; }
  bool on_tensor_cores() const { return kernel_ == PairKernel::tensor || kernel_ == PairKernel::stream; }
  bool float_bias() const { return on_tensor_cores() && std::is_same_v<T, float>; }
  Precision ran() const {
    if (in_half()) return Precision::fast;
    return std::is_same_v<T, double> ? Precision::f64 : Precision::f32;
  }
  bool in_half() const {
    return (kernel_ == PairKernel::tensor && shape_.operands == kernels::Operands::half) || stream_again_;
  }
  /// The one with more scratch memory, which serves both.
  const StreamLayers<T>& widest_stream() const {
    return stream_again_ && stream_again_->weight_bytes() > stream_->weight_bytes() ? *stream_again_ : *stream_;
  }

  void load_inputs() {
    if constexpr (std::is_same_v<T, float>) {
      base_ = DeviceBuffer<float>(memory(), problem_.samples() * problem_.features());
      LOSSATLAS_CUDA(kernels::launch_to_float(problem_.inputs(), base_.size(), base_.data(), stream()));
    }
  }
  /// The inputs (N, d) of a direct plan.
  const T* inputs() const {
    if constexpr (std::is_same_v<T, float>)
      return base_.data();
    else
      return problem_.inputs();
  }

  void set_widths() {
    widths_[0] = direct_ ? 0 : units_;
    const auto layers = later_.layers();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      widths_[(l + 1) % 2] = std::max(widths_[(l + 1) % 2], layers[l].out);
      later_values_ += layers[l].values();
      if (!layers[l].shared()) moving_values_ += layers[l].values();
    }
  }

  // Depends on the plan, the precision and the device, so no result depends on batches or free memory.
  void choose_kernel(Precision precision) {
    if (const auto operands = tensor_operands(plan_, precision, shared_bytes())) {
      kernel_ = PairKernel::tensor;
      shape_ = tensor_shape(plan_, *operands, shared_bytes());
      if (in_half()) {
        const std::vector<float> weight_scales = tensor_weight_scales(plan_);
        weight_scales_ = uploaded(memory(), std::span(weight_scales));
      }
    } else if (const auto streamed = stream_operands(plan_, precision, problem_.samples(), shared_bytes())) {
      kernel_ = PairKernel::stream;
      stream_.emplace(workspace_, AffineChain::of_samples(plan_), problem_.samples(), later_, *streamed);
      if (*streamed == kernels::Operands::half) {
        stream_again_.emplace(workspace_, AffineChain::of_samples(plan_), problem_.samples(), later_,
                              kernels::Operands::tf32x2);
      }
    } else if (!direct_ && kernels::pair_tile(fused_arguments({}), shared_bytes()) > 0) {
      kernel_ = PairKernel::fused;
    }
  }

  // Loads A_d in the order in which the kernel reads them.
  void load_units() {
    if (!on_tensor_cores()) {
      base_ = sample_units<T>(workspace_, problem_, plan_, control_);
      return;
    }
    const std::int64_t tile = kernel_ == PairKernel::tensor ? shape_.rows() : kernels::kStreamRows;
    const std::int64_t each = kernels::packed_samples(units_, problem_.samples(), tile);
    base_ = DeviceBuffer<T>(memory(), (1 + directions_.size()) * each);
    for_sample_units(workspace_, problem_, plan_, control_,
                     [&](std::int64_t part, std::int64_t first, std::int64_t rows, const double* from) {
                       T* to = base_.data() + part * each + kernels::packed_samples(units_, first, tile);
                       LOSSATLAS_CUDA(kernels::launch_pack_samples(from, units_, rows, tile, to, stream()));
                     });
  }

  std::int64_t bytes_per_point() const {
    const auto word = static_cast<std::int64_t>(sizeof(T));
    std::int64_t bytes = 8 * groups_.chunks() * plan_.heads;
    if (bias_chain_) bytes += bias_chain_->bytes_per_point();
    if (float_bias()) bytes += 4 * units_;
    if (in_half()) bytes += Again::bytes_per_point(plan_);
    if (stream_) bytes += widest_stream().bytes_per_point();
    if (kernel_ == PairKernel::layers) bytes += word * (moving_values_ + groups_.rows() * (widths_[0] + widths_[1]));
    return bytes;
  }

  void run_batch(const Scratch& scratch, const PointBatch& batch) {
    const PairPoints points = points_at(scratch, batch.alpha, batch.count);
    switch (kernel_) {
      case PairKernel::tensor:
        run_tensor(scratch, points, shape_, batch.flags);
        break;
      case PairKernel::stream:
        stream_->run(fused_arguments(points), bias_of(scratch, points), scratch.stream, batch.flags);
        break;
      case PairKernel::fused:
        LOSSATLAS_CUDA(kernels::launch_pair_losses(fused_arguments(points), shared_bytes(), stream()));
        break;
      case PairKernel::layers:
        run_layers(scratch, batch);
        break;
    }
    groups_.mean(points.sums, points.count, batch.results);
  }

  // The points, with B computed at alpha (count, z).
  PairPoints points_at(const Scratch& scratch, const double* alpha, std::int64_t count) const {
    if (direct_) return {alpha, nullptr, count, scratch.sums.data()};
    bias_chain_->run({alpha, count}, plan_.rank, *scratch.bias);
    return {alpha, scratch.bias->outputs.data(), count, scratch.sums.data()};
  }

  // B in T, for the tensor kernels.
  const T* bias_of(const Scratch& scratch, const PairPoints& points) const {
    if constexpr (std::is_same_v<T, float>) {
      LOSSATLAS_CUDA(kernels::launch_to_float(points.bias, points.count * units_, scratch.float_bias.data(), stream()));
      return scratch.float_bias.data();
    } else {
      return points.bias;
    }
  }

  void run_tensor(const Scratch& scratch, const PairPoints& points, const kernels::TensorShape& shape,
                  std::int32_t* flags) const {
    kernels::TensorPairs<T> tensor;
    tensor.pairs = fused_arguments(points);
    tensor.bias = bias_of(scratch, points);
    tensor.shape = shape;
    if (shape.operands == kernels::Operands::half) tensor.weight_scales = weight_scales_.data();
    tensor.flags = flags;
    LOSSATLAS_CUDA(kernels::launch_tensor_pairs(tensor, stream()));
  }

  // Computes the flagged points of a finished batch again, in f32.
  void run_again(const Scratch& scratch, const PointBatch& batch) const {
    const Again& again = *scratch.again;
    const std::int32_t* chosen = again.chosen.data();
    std::int64_t count = 0;
    LOSSATLAS_CUDA(kernels::compact_flagged(batch.flags, batch.count, again.workspace.data(), again.chosen.data(),
                                            &count, stream()));
    LOSSATLAS_CUDA(kernels::launch_gather_rows(batch.alpha, chosen, count, plan_.rank, again.alpha.data(), stream()));
    const PairPoints few = points_at(scratch, again.alpha.data(), count);
    if (stream_again_) {
      stream_again_->run(fused_arguments(few), bias_of(scratch, few), scratch.stream, nullptr);
    } else {
      run_tensor(scratch, few, tensor_shape(plan_, kernels::Operands::tf32x2, shared_bytes()), nullptr);
    }
    groups_.mean(few.sums, few.count, again.results.data());
    LOSSATLAS_CUDA(
        kernels::launch_scatter_rows(again.results.data(), chosen, count, plan_.heads, batch.results, stream()));
  }

  kernels::PairLosses<T> fused_arguments(const PairPoints& points) const {
    kernels::PairLosses<T> pairs;
    pairs.base = base_.data();
    pairs.bias = points.bias;
    pairs.directions = directions_.data();
    pairs.moving = static_cast<std::int32_t>(directions_.size());
    pairs.units = units_;
    pairs.activation = plan_.joint_sample.activation;
    pairs.later = later_.on_device();
    pairs.depth = static_cast<std::int32_t>(later_.layers().size());
    pairs.later_move = moving_values_ > 0;
    pairs.weight_values = later_values_;
    pairs.widths[0] = widths_[0];
    pairs.widths[1] = widths_[1];
    pairs.loss = plan_.loss;
    pairs.heads = plan_.heads;
    pairs.classes = plan_.outputs / plan_.heads;
    pairs.targets = problem_.targets<T>();
    pairs.samples = problem_.samples();
    pairs.chunks = groups_.chunks();
    pairs.alpha = points.alpha;
    pairs.rank = plan_.rank;
    pairs.points = points.count;
    pairs.sums = points.sums;
    const BlockShare share = block_share(kernel_, pairs.later_move, pairs.points, pairs.chunks, workspace_.limits());
    pairs.block_points = share.points;
    pairs.block_chunks = share.chunks;
    return pairs;
  }

  void run_layers(const Scratch& scratch, const PointBatch& batch) const {
    T* weights = scratch.weights.data();
    for (const auto& layer : later_.layers()) {
      if (layer.shared()) continue;
      LOSSATLAS_CUDA(kernels::launch_form_layer(layer, batch.alpha, plan_.rank, batch.count, weights, stream()));
      weights += batch.count * layer.values();
    }
    groups_.sum_losses(batch.count, scratch.sums.data(), control_,
                       [&](std::int64_t first, std::int64_t rows) { return run_group(scratch, batch, first, rows); });
  }

  // The outputs of samples first..first+rows−1 at every point of the batch; activations are (points, rows, width).
  const T* run_group(const Scratch& scratch, const PointBatch& batch, std::int64_t first, std::int64_t rows) const {
    const T* below = scratch.activations[0].data();
    bool same_for_all = false;
    if (direct_) {
      below = inputs() + first * problem_.features();
      same_for_all = true;
    } else {
      joint_rows(scratch, batch, first, rows);
    }
    const T* weights = scratch.weights.data();
    const auto layers = later_.layers();
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
      dense.batch = batch.count;
      dense.rows = rows;
      dense.in = layer.in;
      dense.out = layer.out;
      dense.activation = layer.activation;
      LOSSATLAS_CUDA(kernels::launch_dense(dense, stream()));
      if (!layer.shared()) weights += batch.count * layer.values();
      below = dense.y;
      same_for_all = false;
    }
    return below;
  }

  void joint_rows(const Scratch& scratch, const PointBatch& batch, std::int64_t first, std::int64_t rows) const {
    kernels::JointRows<T> joint;
    joint.base = base_.data();
    joint.bias = scratch.bias->outputs.data();
    joint.directions = directions_.data();
    joint.moving = static_cast<std::int32_t>(directions_.size());
    joint.units = units_;
    joint.activation = plan_.joint_sample.activation;
    joint.alpha = batch.alpha;
    joint.rank = plan_.rank;
    joint.points = batch.count;
    joint.samples = problem_.samples();
    joint.first = first;
    joint.rows = rows;
    joint.a = scratch.activations[0].data();
    LOSSATLAS_CUDA(kernels::launch_joint_rows(joint, stream()));
  }

  Workspace& workspace_;
  const Problem& problem_;
  const SectionPlan& plan_;
  Control control_;  // its stop ends the current call
  bool direct_;
  PairKernel kernel_ = PairKernel::layers;
  kernels::TensorShape shape_;  // of the tensor kernel
  std::int64_t units_;          // m_j; direct: d
  SampleGroups<T> groups_;
  PackedLayers<T> later_;
  std::optional<StreamLayers<T>> stream_, stream_again_;  // the second is in f32, for points out of half range
  std::optional<PointUnits<double>> bias_chain_;
  DeviceBuffer<T> base_;  // A: (parts, units, N), packed for tensor cores; direct: the inputs (N, d) if converted
  DeviceBuffer<float> weight_scales_;
  DeviceBuffer<std::int32_t> directions_;
  std::int64_t widths_[2] = {0, 0};
  std::int64_t later_values_ = 0;
  std::int64_t moving_values_ = 0;
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
