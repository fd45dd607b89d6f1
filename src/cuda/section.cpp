#include "cuda/section.hpp"

#include <type_traits>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/point_tiles.hpp"
#include "cuda/section_chain.hpp"
#include "cuda/section_pairs.hpp"
#include "cuda/section_quadratic.hpp"

namespace lossatlas::cuda {
namespace {

// Outputs of a sample-free plan for a tile of points.
template <class T>
struct ChainScratch {
  ChainScratch(Memory& memory, const PointUnits<T>& chain, std::int64_t points)
      : scratch(memory, chain.scratch(points)), outputs(memory, points * chain.outputs()) {}
  DeviceBuffer<T> scratch;
  DeviceBuffer<T> outputs;  // (points, H·C)
};

template <class T>
PointTiles chain_tiles(const SectionPlan& plan, const PointUnits<T>& chain, std::span<const double> points,
                       std::int64_t width) {
  const auto word = static_cast<std::int64_t>(sizeof(T));
  return {points, plan.rank, width, word * (chain.scratch(8) / 8 + chain.outputs()), chain.flop_per_point()};
}

template <class T>
void sample_free_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                        std::span<const double> points, const Control& control, std::span<double> losses) {
  Memory& memory = workspace.memory();
  const PointUnits<T> chain(workspace, plan.point_chain);
  const std::vector<T> mean(problem.statistics().mean.begin(), problem.statistics().mean.end());
  const auto device_mean = uploaded(memory, std::span(mean));
  for_point_tiles<ChainScratch<T>>(
      workspace, chain_tiles(plan, chain, points, plan.heads), control, losses,
      [&](std::int64_t capacity) { return ChainScratch<T>(memory, chain, capacity); },
      [&](const ChainScratch<T>& scratch, const PointTile& tile) {
        chain.run(tile.alpha, plan.rank, tile.count, scratch.scratch.data(), scratch.outputs.data());
        kernels::StatisticLosses<T> statistics;
        statistics.outputs = scratch.outputs.data();
        statistics.mean = device_mean.data();
        statistics.variance = problem.statistics().variance;
        statistics.loss = plan.loss;
        statistics.heads = plan.heads;
        statistics.classes = plan.outputs / plan.heads;
        statistics.points = tile.count;
        statistics.losses = tile.results;
        LOSSATLAS_CUDA(kernels::launch_statistic_losses(statistics, workspace.stream()));
      });
}

template <class T>
Precision losses_in(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                    std::span<const double> points, Precision precision, const Control& control,
                    std::span<double> losses) {
  if (plan.kind != PlanKind::sample_free) {
    return pair_losses<T>(workspace, problem, plan, points, precision, control, losses);
  }
  sample_free_losses<T>(workspace, problem, plan, points, control, losses);
  return std::is_same_v<T, double> ? Precision::f64 : Precision::f32;
}

}  // namespace

Precision section_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                         std::span<const double> points, Precision precision, const Control& control,
                         std::span<double> losses) {
  if (plan.kind == PlanKind::quadratic) {
    quadratic_losses(workspace, problem, plan, points, control, losses);
    return Precision::f64;
  }
  return precision == Precision::f64 ? losses_in<double>(workspace, problem, plan, points, precision, control, losses)
                                     : losses_in<float>(workspace, problem, plan, points, precision, control, losses);
}

void section_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                     const Control& control, std::span<double> outputs) {
  Memory& memory = workspace.memory();
  const PointUnits<double> chain(workspace, plan.point_chain);
  for_point_tiles<DeviceBuffer<double>>(
      workspace, chain_tiles(plan, chain, points, plan.outputs), control, outputs,
      [&](std::int64_t capacity) { return DeviceBuffer<double>(memory, chain.scratch(capacity)); },
      [&](const DeviceBuffer<double>& scratch, const PointTile& tile) {
        chain.run(tile.alpha, plan.rank, tile.count, scratch.data(), tile.results);
      });
}

}  // namespace lossatlas::cuda
