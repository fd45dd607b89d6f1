#include "cuda/section_rows.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "../kernels/tensor_stream.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/pair_blocks.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/stream_layers.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kMostBatchRows = 131072;  // a few chunks per multiprocessor

template <class T>
DeviceBuffer<T> uploaded_as(Memory& memory, std::span<const double> values) {
  const std::vector<T> converted(values.begin(), values.end());
  return uploaded(memory, std::span(converted));
}

template <class T>
class PointRowsSection final : public DeviceSection {
 public:
  PointRowsSection(Workspace& workspace, const LabelStatistics& statistics, const SectionPlan& plan,
                   const Control& control)
      : workspace_(workspace),
        plan_(plan),
        chain_(AffineChain::of_points(plan)),
        variance_(statistics.variance),
        later_(workspace.memory(), chain_.later, MatrixOrder::out_in, control),
        stream_(workspace, chain_, 1, later_,
                std::is_same_v<T, double> ? kernels::Operands::f64 : kernels::Operands::tf32x2),
        scratch_(stream_.scratch(1)),
        queue_(workspace) {
    Memory& memory = workspace.memory();
    const ChainLayer& first = plan.point_chain.front();
    std::vector<double> parts = first.biases;
    parts.resize(static_cast<std::size_t>(first.out) * (1 + first.bias_directions.size()));  // zeros if no bias
    base_ = uploaded_as<T>(memory, parts);
    mean_ = uploaded_as<T>(memory, statistics.mean);
    directions_ = uploaded(memory, std::span(first.bias_directions));
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    PointBatches batches{plan_.rank, plan_.heads};
    for (const ChainLayer& layer : chain_.later)
      batches.flop_per_point += 2.0 * static_cast<double>(layer.weights.size());
    batches.batch_flop = batch_flop(PairKernel::stream, std::is_same_v<T, double> ? Precision::f64 : Precision::f32,
                                    workspace_.limits());
    batches.most = kMostBatchRows;
    queue_.run(
        batches, points, control, losses, [](std::int64_t) { return NoScratch{}; },
        [this](const NoScratch&, const PointBatch& batch) { stream_.run_points(rows(batch), variance_, scratch_); });
  }

 private:
  kernels::PairLosses<T> rows(const PointBatch& batch) const {
    kernels::PairLosses<T> rows;
    rows.base = base_.data();
    rows.directions = directions_.data();
    rows.moving = static_cast<std::int32_t>(directions_.size());
    rows.units = plan_.point_chain.front().out;
    rows.activation = plan_.point_chain.front().activation;
    rows.depth = static_cast<std::int32_t>(chain_.later.size());
    rows.loss = plan_.loss;
    rows.heads = plan_.heads;
    rows.classes = plan_.outputs / plan_.heads;
    rows.targets.values = mean_.data();
    rows.samples = batch.count;
    rows.chunks = (batch.count + kernels::kChunkSamples - 1) / kernels::kChunkSamples;
    rows.alpha = batch.alpha;
    rows.rank = plan_.rank;
    rows.points = 1;
    rows.sums = batch.results;
    return rows;
  }

  Workspace& workspace_;
  const SectionPlan& plan_;
  AffineChain chain_;
  double variance_;
  PackedLayers<T> later_;
  StreamLayers<T> stream_;
  typename StreamLayers<T>::Scratch scratch_;
  DeviceBuffer<T> base_;  // b: (parts, units)
  DeviceBuffer<T> mean_;  // (C)
  DeviceBuffer<std::int32_t> directions_;
  BatchQueue<NoScratch> queue_;
};

}  // namespace

bool point_rows_take(const SectionPlan& plan, Precision precision, std::int64_t shared_limit) {
  const auto& chain = plan.point_chain;
  if (plan.kind != PlanKind::sample_free || chain.size() < 2 || chain.front().in != 0) return false;
  const auto shared = [](const ChainLayer& layer) { return layer.shared(); };
  if (!std::all_of(chain.begin() + 1, chain.end(), shared)) return false;
  const auto operands = precision == Precision::f64 ? kernels::Operands::f64 : kernels::Operands::tf32x2;
  return stream_takes_points(AffineChain::of_points(plan), operands, shared_limit);
}

std::unique_ptr<DeviceSection> point_rows_section(Workspace& workspace, const LabelStatistics& statistics,
                                                  const SectionPlan& plan, Precision precision,
                                                  const Control& control) {
  if (precision == Precision::f64) {
    return std::make_unique<PointRowsSection<double>>(workspace, statistics, plan, control);
  }
  return std::make_unique<PointRowsSection<float>>(workspace, statistics, plan, control);
}

}  // namespace lossatlas::cuda
