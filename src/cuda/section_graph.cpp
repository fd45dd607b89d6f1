#include "cuda/section_graph.hpp"

#include <algorithm>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/point_tiles.hpp"
#include "cuda/sample_groups.hpp"
#include "cuda/section_lists.hpp"

namespace lossatlas::cuda {
namespace {

/// The point list for a tile of points. Each point is a batch of one row, so that the bits of its values do not depend
/// on the others.
template <class T>
class PointValues {
 public:
  PointValues(Memory& memory, const PlanLists& lists, const Control& control)
      : list_(memory, lists.point, lists.point_slots, control),
        last_(static_cast<std::int32_t>(lists.point.size()) - 1) {}

  struct Scratch {
    Scratch(Memory& memory, const PointValues& values, std::int64_t points)
        : weights(memory, points * values.list_.moving_values()), buffers(memory, points * values.list_.row_values()) {}
    DeviceBuffer<T> weights;  // (points, moving values)
    DeviceBuffer<T> buffers;
  };
  std::int64_t bytes_per_point() const {
    return static_cast<std::int64_t>(sizeof(T)) * (list_.moving_values() + list_.row_values());
  }
  double flop_per_point() const { return list_.flop(); }

  void run(const PointTile& tile, std::int64_t rank, const Scratch& scratch, cudaStream_t stream) const {
    list_.form(tile.alpha, rank, tile.count, scratch.weights.data(), stream);
    list_.run(tile.count, 1, scratch.weights.data(), scratch.buffers.data(), {}, {}, stream);
  }
  const T* value(std::int32_t index, const PointTile& tile, const Scratch& scratch) const {
    return list_.value(index, tile.count, 1, scratch.buffers.data());
  }
  const T* last(const PointTile& tile, const Scratch& scratch) const { return value(last_, tile, scratch); }

 private:
  DeviceList<T> list_;
  std::int32_t last_;
};

template <class T>
class SampleFreeGraph final : public DeviceSection {
 public:
  SampleFreeGraph(Workspace& workspace, const LabelStatistics& statistics, const SectionPlan& plan,
                  const Control& control)
      : workspace_(workspace), plan_(plan), values_(workspace.memory(), plan.graph->lists, control), queue_(workspace) {
    const std::vector<T> mean(statistics.mean.begin(), statistics.mean.end());
    mean_ = uploaded(workspace.memory(), std::span(mean));
    statistics_.mean = mean_.data();
    statistics_.variance = statistics.variance;
    statistics_.loss = plan.loss;
    statistics_.heads = plan.heads;
    statistics_.classes = plan.outputs / plan.heads;
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    using Scratch = typename PointValues<T>::Scratch;
    queue_.run(
        {plan_.rank, plan_.heads, values_.bytes_per_point(), values_.flop_per_point()}, points, control, losses,
        [this](std::int64_t capacity) { return Scratch(workspace_.memory(), values_, capacity); },
        [this](const Scratch& scratch, const PointTile& tile) {
          values_.run(tile, plan_.rank, scratch, workspace_.stream());
          kernels::StatisticLosses<T> statistics = statistics_;
          statistics.outputs = values_.last(tile, scratch);
          statistics.points = tile.count;
          statistics.losses = tile.results;
          LOSSATLAS_CUDA(kernels::launch_statistic_losses(statistics, workspace_.stream()));
        });
  }

 private:
  Workspace& workspace_;
  const SectionPlan& plan_;
  PointValues<T> values_;
  DeviceBuffer<T> mean_;  // (C)
  kernels::StatisticLosses<T> statistics_;
  TileQueue<typename PointValues<T>::Scratch> queue_;
};

template <class T>
class PairGraph final : public DeviceSection {
 public:
  PairGraph(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control)
      : workspace_(workspace),
        problem_(problem),
        plan_(plan),
        lists_(plan.graph->lists),
        control_{{}, control.stop},
        groups_(workspace, problem, plan),
        offsets_(workspace.memory(), lists_, control),
        pairs_(workspace.memory(), lists_.pair, lists_.pair_slots, control),
        base_(crossing_units<T>(workspace, problem, lists_, control)),
        queue_(workspace) {
    for (const Crossing& crossing : lists_.crossings) {
      directions_.push_back(uploaded(workspace.memory(), std::span(crossing.directions)));
      places_.push_back(units_);
      units_ += crossing.units;
      widest_ = std::max(widest_, crossing.units);
    }
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    control_ = {{}, control.stop};
    PointTiles tiles{plan_.rank, plan_.heads, bytes_per_point()};
    tiles.flop_per_point = plan_.pair_work * static_cast<double>(problem_.samples()) + offsets_.flop_per_point();
    queue_.run(
        tiles, points, control, losses, [this](std::int64_t capacity) { return Scratch(*this, capacity); },
        [this](const Scratch& scratch, const PointTile& tile) { run_tile(scratch, tile); });
  }

 private:
  struct Scratch {
    Scratch(const PairGraph& section, std::int64_t points)
        : offsets(section.memory(), section.offsets_, points),
          zeros(section.memory(), points * section.widest_),
          weights(section.memory(), points * section.pairs_.moving_values()),
          starts(section.memory(), points * section.groups_.rows() * section.units_),
          buffers(section.memory(), points * section.groups_.rows() * section.pairs_.row_values()),
          sums(section.memory(), points * section.groups_.chunks() * section.plan_.heads) {
      fill_zero(section.memory(), zeros.data(), zeros.size());
    }
    typename PointValues<double>::Scratch offsets;
    DeviceBuffer<double> zeros;  // B where there is none: (points, units)
    DeviceBuffer<T> weights;     // (points, moving values)
    DeviceBuffer<T> starts;      // of each crossing: (points, rows, units)
    DeviceBuffer<T> buffers;     // of the pair list
    DeviceBuffer<double> sums;   // (points, chunks, H)
  };

  Memory& memory() const { return workspace_.memory(); }
  cudaStream_t stream() const { return workspace_.stream(); }
  std::int64_t bytes_per_point() const {
    const auto word = static_cast<std::int64_t>(sizeof(T));
    return 8 * (groups_.chunks() * plan_.heads + widest_) + offsets_.bytes_per_point() +
           word * (pairs_.moving_values() + groups_.rows() * (units_ + pairs_.row_values()));
  }

  void run_tile(const Scratch& scratch, const PointTile& tile) {
    offsets_.run(tile, plan_.rank, scratch.offsets, stream());
    pairs_.form(tile.alpha, plan_.rank, tile.count, scratch.weights.data(), stream());
    groups_.sum_losses(tile.count, scratch.sums.data(), control_,
                       [&](std::int64_t first, std::int64_t rows) { return run_group(scratch, tile, first, rows); });
    groups_.mean(scratch.sums.data(), tile.count, tile.results);
  }

  /// The outputs of samples first..first+rows−1 at every point of the tile.
  const T* run_group(const Scratch& scratch, const PointTile& tile, std::int64_t first, std::int64_t rows) const {
    const auto start_of = [&](std::size_t k) { return scratch.starts.data() + tile.count * rows * places_[k]; };
    for (std::size_t k = 0; k < lists_.crossings.size(); ++k) cross(scratch, tile, k, first, rows, start_of(k));
    const auto start = [&](std::int64_t k) {
      const auto index = static_cast<std::size_t>(k);
      return ListValue<T>{start_of(index), rows * lists_.crossings[index].units};
    };
    pairs_.run(tile.count, rows, scratch.weights.data(), scratch.buffers.data(), start, {}, stream());
    const auto last = static_cast<std::int32_t>(lists_.pair.size()) - 1;
    return last < 0 ? start_of(0) : pairs_.value(last, tile.count, rows, scratch.buffers.data());
  }

  void cross(const Scratch& scratch, const PointTile& tile, std::size_t k, std::int64_t first, std::int64_t rows,
             T* to) const {
    const Crossing& crossing = lists_.crossings[k];
    kernels::JointRows<T> joint;
    joint.base = base_[k].data();
    joint.bias =
        crossing.offset == kNoValue ? scratch.zeros.data() : offsets_.value(crossing.offset, tile, scratch.offsets);
    joint.directions = directions_[k].data();
    joint.moving = static_cast<std::int32_t>(crossing.directions.size());
    joint.units = crossing.units;
    joint.activation = crossing.activation;
    joint.alpha = tile.alpha;
    joint.rank = plan_.rank;
    joint.points = tile.count;
    joint.samples = problem_.samples();
    joint.first = first;
    joint.rows = rows;
    joint.a = to;
    LOSSATLAS_CUDA(kernels::launch_joint_rows(joint, stream()));
  }

  Workspace& workspace_;
  const Problem& problem_;
  const SectionPlan& plan_;
  const PlanLists& lists_;
  Control control_;  // its stop ends the current call
  SampleGroups<T> groups_;
  PointValues<double> offsets_;
  DeviceList<T> pairs_;
  std::vector<DeviceBuffer<T>> base_;  // of each crossing: (parts, units, N)
  std::vector<DeviceBuffer<std::int32_t>> directions_;
  std::vector<std::int64_t> places_;  // units of the crossings before each
  std::int64_t units_ = 0, widest_ = 0;
  TileQueue<Scratch> queue_;
};

}  // namespace

template <class T>
std::unique_ptr<DeviceSection> graph_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                             const Control& control) {
  if (plan.kind == PlanKind::sample_free) {
    return std::make_unique<SampleFreeGraph<T>>(workspace, problem.statistics(), plan, control);
  }
  return std::make_unique<PairGraph<T>>(workspace, problem, plan, control);
}

void graph_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                   const Control& control, std::span<double> outputs) {
  using Scratch = PointValues<double>::Scratch;
  const PointValues<double> values(workspace.memory(), plan.graph->lists, control);
  TileQueue<Scratch>(workspace).run(
      {plan.rank, plan.outputs, values.bytes_per_point(), values.flop_per_point()}, SectionPoints(points, plan.rank),
      control, outputs, [&](std::int64_t capacity) { return Scratch(workspace.memory(), values, capacity); },
      [&](const Scratch& scratch, const PointTile& tile) {
        values.run(tile, plan.rank, scratch, workspace.stream());
        LOSSATLAS_CUDA(cudaMemcpyAsync(tile.results, values.last(tile, scratch),
                                       static_cast<std::size_t>(tile.count * plan.outputs) * sizeof(double),
                                       cudaMemcpyDeviceToDevice, workspace.stream()));
      });
}

template std::unique_ptr<DeviceSection> graph_section<float>(Workspace&, const Problem&, const SectionPlan&,
                                                             const Control&);
template std::unique_ptr<DeviceSection> graph_section<double>(Workspace&, const Problem&, const SectionPlan&,
                                                              const Control&);

}  // namespace lossatlas::cuda
