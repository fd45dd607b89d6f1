#include "cuda/section_pairs.hpp"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "../kernels/dense.hpp"
#include "../kernels/pair_losses.hpp"
#include "../kernels/section.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/point_tiles.hpp"
#include "cuda/section_chain.hpp"
#include "parallel.hpp"

namespace lossatlas::cuda {
namespace {

using kernels::kChunkSamples;

constexpr double kActivationFlop = 30;
constexpr std::int64_t kGroupRows = 4 * kChunkSamples;  // samples that the generic path has in flight for a point
constexpr std::int64_t kBlocksPerMultiprocessor = 8;    // wanted from a launch of the fused kernel
constexpr std::int64_t kMostBlockPoints = 64;

double pair_flop(const SectionPlan& plan) {
  double flop = static_cast<double>(plan.outputs) * kActivationFlop;
  if (plan.kind == PlanKind::joint) {
    const auto parts = static_cast<double>(1 + plan.joint_sample.weight_directions.size());
    flop += static_cast<double>(plan.joint_sample.out) * (2 * parts + kActivationFlop);
  }
  for (const ChainLayer& layer : plan.later) {
    flop += static_cast<double>(layer.out) * (2 * static_cast<double>(layer.in) + kActivationFlop);
  }
  return flop;
}

/// What both ways share: A_d or the inputs, B, the later layers, partial sums and their mean.
template <class T>
class PairSection {
 public:
  PairSection(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control)
      : workspace_(workspace),
        problem_(problem),
        plan_(plan),
        control_(control),
        direct_(plan.kind == PlanKind::direct),
        units_(direct_ ? problem.features() : plan.joint_sample.out),
        chunks_((problem.samples() + kChunkSamples - 1) / kChunkSamples),
        later_(workspace.memory(), plan.later, MatrixOrder::out_in) {
    if (direct_) {
      load_inputs();
    } else {
      bias_chain_.emplace(workspace, point_layers(plan));
      base_ = sample_units<T>(workspace, problem, plan, control);
      directions_ = uploaded(workspace.memory(), std::span(plan.joint_sample.weight_directions));
    }
    set_widths();
  }

  void run(std::span<const double> points, std::span<double> losses) {
    fused_ = !direct_ && kernels::pair_tile(fused_arguments({}, nullptr, nullptr), shared_bytes()) > 0;
    PointTiles tiles{
        points, plan_.rank, plan_.heads, bytes_per_point(),
        pair_flop(plan_) * static_cast<double>(problem_.samples()) + (bias_chain_ ? bias_chain_->flop_per_point() : 0)};
    for_point_tiles<Scratch>(
        workspace_, tiles, control_, losses, [this](std::int64_t capacity) { return Scratch(*this, capacity); },
        [this](const Scratch& scratch, const PointTile& tile) { run_tile(scratch, tile); });
  }

 private:
  struct Scratch {
    Scratch(const PairSection& section, std::int64_t points)
        : sums(section.memory(), points * section.chunks_ * section.plan_.heads) {
      if (section.bias_chain_) {
        chain = DeviceBuffer<double>(section.memory(), section.bias_chain_->scratch(points));
        bias = DeviceBuffer<double>(section.memory(), points * section.units_);
      }
      if (section.fused_) return;
      weights = DeviceBuffer<T>(section.memory(), points * section.moving_values_);
      for (int side = 0; side < 2; ++side) {
        activations[side] = DeviceBuffer<T>(section.memory(), points * section.group_rows() * section.widths_[side]);
      }
    }
    DeviceBuffer<double> sums;  // (points, chunks, H)
    DeviceBuffer<double> chain;
    DeviceBuffer<double> bias;       // B: (points, units)
    DeviceBuffer<T> weights;         // of every moving layer: (points, values)
    DeviceBuffer<T> activations[2];  // (points, rows, width): the joint layer and later 1, 3, ..; later 0, 2, ..
  };

  Memory& memory() const { return workspace_.memory(); }
  cudaStream_t stream() const { return workspace_.stream(); }
  std::int64_t shared_bytes() const { return workspace_.limits().shared_bytes; }
  std::int64_t classes() const { return plan_.outputs / plan_.heads; }
  std::int64_t group_rows() const { return std::min(kGroupRows, problem_.samples()); }

  void load_inputs() {
    if constexpr (std::is_same_v<T, float>) {
      base_ = DeviceBuffer<float>(memory(), problem_.samples() * problem_.features());
      LOSSATLAS_CUDA(kernels::launch_to_float(problem_.inputs(), base_.size(), base_.data(), stream()));
    }
  }
  /// The inputs of a direct plan (N, d).
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

  std::int64_t bytes_per_point() const {
    const auto word = static_cast<std::int64_t>(sizeof(T));
    std::int64_t bytes = 8 * chunks_ * plan_.heads;
    if (bias_chain_) bytes += bias_chain_->scratch(8) + 8 * units_;
    if (!fused_) bytes += word * (moving_values_ + group_rows() * (widths_[0] + widths_[1]));
    return bytes;
  }

  void run_tile(const Scratch& scratch, const PointTile& tile) {
    if (bias_chain_) {
      bias_chain_->run(tile.alpha, plan_.rank, tile.count, scratch.chain.data(), scratch.bias.data());
    }
    if (fused_) {
      LOSSATLAS_CUDA(kernels::launch_pair_losses(fused_arguments(tile, scratch.bias.data(), scratch.sums.data()),
                                                 shared_bytes(), stream()));
    } else {
      run_layers(scratch, tile);
    }
    LOSSATLAS_CUDA(kernels::launch_mean_of_chunks(scratch.sums.data(), tile.count, chunks_, plan_.heads,
                                                  problem_.samples(), tile.results, stream()));
  }

  kernels::PairLosses<T> fused_arguments(const PointTile& tile, const double* bias, double* sums) const {
    kernels::PairLosses<T> pairs;
    pairs.base = base_.data();
    pairs.bias = bias;
    pairs.directions = directions_.data();
    pairs.moving = static_cast<std::int32_t>(directions_.size());
    pairs.units = units_;
    pairs.activation = plan_.joint_sample.activation;
    pairs.later = later_.on_device();
    pairs.depth = static_cast<std::int32_t>(later_.layers().size());
    pairs.interpolated = moving_values_ > 0;
    pairs.weight_values = later_values_;
    pairs.widths[0] = widths_[0];
    pairs.widths[1] = widths_[1];
    pairs.loss = plan_.loss;
    pairs.heads = plan_.heads;
    pairs.classes = classes();
    pairs.targets = problem_.targets<T>();
    pairs.samples = problem_.samples();
    pairs.chunks = chunks_;
    pairs.alpha = tile.alpha;
    pairs.rank = plan_.rank;
    pairs.points = tile.count;
    pairs.sums = sums;
    share_blocks(pairs);
    return pairs;
  }

  // Weights formed for a point should serve many chunks, shared ones many points; but every multiprocessor wants work.
  void share_blocks(kernels::PairLosses<T>& pairs) const {
    const std::int64_t wanted = kBlocksPerMultiprocessor * workspace_.limits().multiprocessors;
    const std::int64_t share = std::max<std::int64_t>(1, pairs.points * pairs.chunks / wanted);
    if (pairs.interpolated) {
      pairs.block_chunks = std::min(share, pairs.chunks);
    } else {
      pairs.block_points = std::clamp<std::int64_t>(std::min(share, pairs.points), 1, kMostBlockPoints);
    }
  }

  void run_layers(const Scratch& scratch, const PointTile& tile) {
    T* weights = scratch.weights.data();
    for (const auto& layer : later_.layers()) {
      if (layer.shared()) continue;
      LOSSATLAS_CUDA(kernels::launch_form(layer, tile.alpha, plan_.rank, tile.count, weights, stream()));
      weights += tile.count * layer.values();
    }
    const double group_flop = pair_flop(plan_) * static_cast<double>(group_rows() * tile.count);
    double queued = 0;
    for (std::int64_t first = 0; first < problem_.samples(); first += kGroupRows) {
      run_group(scratch, tile, first, std::min(kGroupRows, problem_.samples() - first));
      queued += group_flop;
      if (queued < kTileFlop) continue;
      synchronise(memory());
      check_stop(control_);
      queued = 0;
    }
  }

  // Samples first..first+rows−1 of every point of the tile: activations are (points, rows, width).
  void run_group(const Scratch& scratch, const PointTile& tile, std::int64_t first, std::int64_t rows) {
    const T* below = scratch.activations[0].data();
    bool same_for_all = false;
    if (direct_) {
      below = inputs() + first * problem_.features();
      same_for_all = true;
    } else {
      joint_rows(scratch, tile, first, rows);
    }
    const T* weights = scratch.weights.data();
    const auto layers = later_.layers();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const kernels::LayerParts<T>& layer = layers[l];
      kernels::DenseBatch<T> batch;
      batch.x = below;
      batch.x_stride = same_for_all ? 0 : rows * layer.in;
      batch.weights = layer.shared() ? layer.weights : weights;
      batch.weights_stride = layer.shared() ? 0 : layer.values();
      batch.bias = layer.shared() ? layer.biases : weights + layer.out * layer.in;
      batch.bias_stride = batch.weights_stride;
      batch.y = scratch.activations[(l + 1) % 2].data();
      batch.y_stride = rows * layer.out;
      batch.batch = tile.count;
      batch.rows = rows;
      batch.in = layer.in;
      batch.out = layer.out;
      batch.activation = layer.activation;
      LOSSATLAS_CUDA(kernels::launch_dense(batch, stream()));
      if (!layer.shared()) weights += tile.count * layer.values();
      below = batch.y;
      same_for_all = false;
    }
    chunk_losses(scratch, tile, first, rows, below);
  }

  void joint_rows(const Scratch& scratch, const PointTile& tile, std::int64_t first, std::int64_t rows) {
    kernels::JointRows<T> joint;
    joint.base = base_.data();
    joint.bias = scratch.bias.data();
    joint.directions = directions_.data();
    joint.moving = static_cast<std::int32_t>(directions_.size());
    joint.units = units_;
    joint.activation = plan_.joint_sample.activation;
    joint.alpha = tile.alpha;
    joint.rank = plan_.rank;
    joint.points = tile.count;
    joint.samples = problem_.samples();
    joint.first = first;
    joint.rows = rows;
    joint.a = scratch.activations[0].data();
    LOSSATLAS_CUDA(kernels::launch_joint_rows(joint, stream()));
  }

  void chunk_losses(const Scratch& scratch, const PointTile& tile, std::int64_t first, std::int64_t rows,
                    const T* outputs) {
    kernels::ChunkSums<T> sums;
    sums.outputs = outputs;
    sums.points = tile.count;
    sums.first = first;
    sums.rows = rows;
    sums.loss = plan_.loss;
    sums.heads = plan_.heads;
    sums.classes = classes();
    sums.targets = problem_.targets<T>();
    sums.chunks = chunks_;
    sums.sums = scratch.sums.data();
    LOSSATLAS_CUDA(kernels::launch_chunk_losses(sums, stream()));
  }

  Workspace& workspace_;
  const Problem& problem_;
  const SectionPlan& plan_;
  const Control& control_;
  bool direct_;
  bool fused_ = false;
  std::int64_t units_;   // m_j; direct: d
  std::int64_t chunks_;  // of N
  PackedLayers<T> later_;
  std::optional<PointUnits<double>> bias_chain_;
  DeviceBuffer<T> base_;  // A: (parts, units, N); direct: the inputs (N, d) if converted
  DeviceBuffer<std::int32_t> directions_;
  std::int64_t widths_[2] = {0, 0};
  std::int64_t later_values_ = 0;
  std::int64_t moving_values_ = 0;
};

}  // namespace

template <class T>
void pair_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan, std::span<const double> points,
                 const Control& control, std::span<double> losses) {
  PairSection<T>(workspace, problem, plan, control).run(points, losses);
}

template void pair_losses<float>(Workspace&, const Problem&, const SectionPlan&, std::span<const double>,
                                 const Control&, std::span<double>);
template void pair_losses<double>(Workspace&, const Problem&, const SectionPlan&, std::span<const double>,
                                  const Control&, std::span<double>);

}  // namespace lossatlas::cuda
