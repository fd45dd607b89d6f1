#include "cuda/section.hpp"

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/section_chain.hpp"
#include "cuda/section_graph.hpp"
#include "cuda/section_pairs.hpp"
#include "cuda/section_quadratic.hpp"
#include "cuda/section_rows.hpp"

namespace lossatlas::cuda {
namespace {

// Scratch memory and outputs of a sample-free plan for a batch of points.
template <class T>
struct ChainScratch {
  ChainScratch(Memory& memory, const PointUnits<T>& chain, std::int64_t points)
      : scratch(memory, chain.scratch(points)), outputs(memory, points * chain.outputs()) {}
  DeviceBuffer<T> scratch;
  DeviceBuffer<T> outputs;  // (points, H·C)
};

template <class T>
PointBatches chain_batches(const SectionPlan& plan, const PointUnits<T>& chain, std::int64_t width) {
  const auto word = static_cast<std::int64_t>(sizeof(T));
  return {plan.rank, width, word * (chain.scratch(8) / 8 + chain.outputs()), chain.flop_per_point()};
}

template <class T>
class SampleFreeSection final : public DeviceSection {
 public:
  SampleFreeSection(Workspace& workspace, const LabelStatistics& statistics, const SectionPlan& plan,
                    const Control& control)
      : workspace_(workspace), plan_(plan), chain_(workspace, plan.point_chain, control), queue_(workspace) {
    const std::vector<T> mean(statistics.mean.begin(), statistics.mean.end());
    mean_ = uploaded(workspace.memory(), std::span(mean));
    statistics_.mean = mean_.data();
    statistics_.variance = statistics.variance;
    statistics_.loss = plan.loss;
    statistics_.heads = plan.heads;
    statistics_.classes = plan.outputs / plan.heads;
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    queue_.run(
        chain_batches(plan_, chain_, plan_.heads), points, control, losses,
        [this](std::int64_t capacity) { return ChainScratch<T>(workspace_.memory(), chain_, capacity); },
        [this](const ChainScratch<T>& scratch, const PointBatch& batch) { run_batch(scratch, batch); });
  }

 private:
  void run_batch(const ChainScratch<T>& scratch, const PointBatch& batch) {
    chain_.run(batch.alpha, plan_.rank, batch.count, scratch.scratch.data(), scratch.outputs.data());
    kernels::StatisticLosses<T> statistics = statistics_;
    statistics.outputs = scratch.outputs.data();
    statistics.points = batch.count;
    statistics.losses = batch.results;
    LOSSATLAS_CUDA(kernels::launch_statistic_losses(statistics, workspace_.stream()));
  }

  Workspace& workspace_;
  const SectionPlan& plan_;
  PointUnits<T> chain_;
  DeviceBuffer<T> mean_;  // (C)
  kernels::StatisticLosses<T> statistics_;
  BatchQueue<ChainScratch<T>> queue_;
};

template <class T>
std::unique_ptr<DeviceSection> section_in(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                          Precision precision, const Control& control) {
  if (plan.graph) return graph_section<T>(workspace, problem, plan, control);
  if (plan.kind != PlanKind::sample_free) return pair_section<T>(workspace, problem, plan, precision, control);
  if (point_rows_take(plan, precision, workspace.limits().shared_bytes)) {
    return point_rows_section(workspace, problem.statistics(), plan, precision, control);
  }
  return std::make_unique<SampleFreeSection<T>>(workspace, problem.statistics(), plan, control);
}

}  // namespace

Precision section_precision(const DeviceLimits& limits, const Problem& problem, const SectionPlan& plan,
                            Precision asked) {
  if (asked == Precision::f64 || plan.kind == PlanKind::quadratic) return Precision::f64;
  const bool half = asked == Precision::fast && plan.kind == PlanKind::joint && !plan.graph &&
                    pairs_run_in_half(plan, problem.samples(), limits.shared_bytes);
  return half ? Precision::fast : Precision::f32;
}

std::unique_ptr<DeviceSection> make_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                            Precision precision, const Control& control) {
  if (plan.kind == PlanKind::quadratic) return quadratic_section(workspace, problem, plan, control);
  return precision == Precision::f64 ? section_in<double>(workspace, problem, plan, precision, control)
                                     : section_in<float>(workspace, problem, plan, precision, control);
}

void section_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                     const Control& control, std::span<double> outputs) {
  if (plan.graph) return graph_outputs(workspace, plan, points, control, outputs);
  Memory& memory = workspace.memory();
  const PointUnits<double> chain(workspace, plan.point_chain, control);
  BatchQueue<DeviceBuffer<double>>(workspace).run(
      chain_batches(plan, chain, plan.outputs), SectionPoints(points, plan.rank), control, outputs,
      [&](std::int64_t capacity) { return DeviceBuffer<double>(memory, chain.scratch(capacity)); },
      [&](const DeviceBuffer<double>& scratch, const PointBatch& batch) {
        chain.run(batch.alpha, plan.rank, batch.count, scratch.data(), batch.results);
      });
}

}  // namespace lossatlas::cuda
