#include "cuda/section.hpp"

#include <memory>
#include <utility>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/section_chain.hpp"
#include "cuda/section_graph.hpp"
#include "cuda/section_lists.hpp"
#include "cuda/section_pairs.hpp"
#include "cuda/section_quadratic.hpp"
#include "cuda/section_rows.hpp"

namespace lossatlas::cuda {
namespace {

/// A sample-free plan. Units, a PointUnits<T> or a PointValues<T>, computes its outputs.
template <class T, class Units>
class SampleFreeSection final : public DeviceSection {
 public:
  SampleFreeSection(Workspace& workspace, const LabelStatistics& statistics, const SectionPlan& plan, Units units)
      : workspace_(workspace), plan_(plan), units_(std::move(units)), queue_(workspace) {
    const std::vector<T> mean(statistics.mean.begin(), statistics.mean.end());
    mean_ = uploaded(workspace.memory(), std::span(mean));
    statistics_.mean = mean_.data();
    statistics_.variance = statistics.variance;
    statistics_.loss = plan.loss;
    statistics_.heads = plan.heads;
    statistics_.classes = plan.outputs / plan.heads;
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    using Scratch = typename Units::Scratch;
    queue_.run(
        {plan_.rank, plan_.heads, units_.bytes_per_point(), units_.flop_per_point()}, points, control, losses,
        [this](std::int64_t capacity) { return Scratch(workspace_.memory(), units_, capacity); },
        [this](const Scratch& scratch, const PointBatch& batch) {
          units_.run(batch, plan_.rank, scratch);
          kernels::StatisticLosses<T> statistics = statistics_;
          statistics.outputs = units_.outputs(batch, scratch);
          statistics.points = batch.count;
          statistics.losses = batch.results;
          LOSSATLAS_CUDA(kernels::launch_statistic_losses(statistics, workspace_.stream()));
        });
  }

 private:
  Workspace& workspace_;
  const SectionPlan& plan_;
  Units units_;
  DeviceBuffer<T> mean_;  // (C)
  kernels::StatisticLosses<T> statistics_;
  BatchQueue<typename Units::Scratch> queue_;
};

template <class T>
std::unique_ptr<DeviceSection> section_in(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                          Precision precision, const Control& control) {
  if (plan.kind != PlanKind::sample_free) {
    return plan.graph ? graph_section<T>(workspace, problem, plan, control)
                      : pair_section<T>(workspace, problem, plan, precision, control);
  }
  const LabelStatistics& statistics = problem.statistics();
  if (plan.graph) {
    return std::make_unique<SampleFreeSection<T, PointValues<T>>>(
        workspace, statistics, plan, PointValues<T>(workspace, plan.graph->lists, control));
  }
  if (point_rows_take(plan, precision, workspace.limits().shared_bytes)) {
    return point_rows_section(workspace, statistics, plan, precision, control);
  }
  return std::make_unique<SampleFreeSection<T, PointUnits<T>>>(workspace, statistics, plan,
                                                               PointUnits<T>(workspace, plan.point_chain, control));
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
  Memory& memory = workspace.memory();
  if (plan.graph) {
    using Scratch = PointValues<double>::Scratch;
    const PointValues<double> values(workspace, plan.graph->lists, control);
    return BatchQueue<Scratch>(workspace).run(
        {plan.rank, plan.outputs, values.bytes_per_point(), values.flop_per_point()}, SectionPoints(points, plan.rank),
        control, outputs, [&](std::int64_t capacity) { return Scratch(memory, values, capacity); },
        [&](const Scratch& scratch, const PointBatch& batch) {
          values.run(batch, plan.rank, scratch);
          LOSSATLAS_CUDA(cudaMemcpyAsync(batch.results, values.outputs(batch, scratch),
                                         static_cast<std::size_t>(batch.count * plan.outputs) * sizeof(double),
                                         cudaMemcpyDeviceToDevice, workspace.stream()));
        });
  }
  const PointUnits<double> chain(workspace, plan.point_chain, control);
  BatchQueue<DeviceBuffer<double>>(workspace).run(
      {plan.rank, plan.outputs, chain.bytes_per_point(), chain.flop_per_point()}, SectionPoints(points, plan.rank),
      control, outputs, [&](std::int64_t capacity) { return DeviceBuffer<double>(memory, chain.scratch(capacity)); },
      [&](const DeviceBuffer<double>& scratch, const PointBatch& batch) {
        chain.run(batch.alpha, plan.rank, batch.count, scratch.data(), batch.results);
      });
}

}  // namespace lossatlas::cuda
