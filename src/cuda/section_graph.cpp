#include "cuda/section_graph.hpp"

#include <algorithm>
#include <vector>

#include "../kernels/section.hpp"
#include "../kernels/tensor_shape.hpp"
#include "base/parallel.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/section_lists.hpp"

namespace lossatlas::cuda {
namespace {

using kernels::kChunkSamples;

constexpr std::int64_t kGroupRows = 4 * kChunkSamples;  // samples per point in flight

/// The point list for a batch of points. Each point has weights of its own and one row, so that the bits of its values
/// do not depend on the others.
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

  void run(const PointBatch& batch, std::int64_t rank, const Scratch& scratch, cudaStream_t stream) const {
    list_.form(batch.alpha, rank, batch.count, scratch.weights.data(), stream);
    list_.run(batch.count, 1, scratch.weights.data(), scratch.buffers.data(), {}, {}, stream);
  }
  const T* value(std::int32_t index, const PointBatch& batch, const Scratch& scratch) const {
    return list_.value(index, batch.count, 1, scratch.buffers.data());
  }
  const T* last(const PointBatch& batch, const Scratch& scratch) const { return value(last_, batch, scratch); }

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
        [this](const Scratch& scratch, const PointBatch& batch) {
          values_.run(batch, plan_.rank, scratch, workspace_.stream());
          kernels::StatisticLosses<T> statistics = statistics_;
          statistics.outputs = values_.last(batch, scratch);
          statistics.points = batch.count;
          statistics.losses = batch.results;
          LOSSATLAS_CUDA(kernels::launch_statistic_losses(statistics, workspace_.stream()));
        });
  }

 private:
  Workspace& workspace_;
  const SectionPlan& plan_;
  PointValues<T> values_;
  DeviceBuffer<T> mean_;  // (C)
  kernels::StatisticLosses<T> statistics_;
  BatchQueue<typename PointValues<T>::Scratch> queue_;
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
        chunks_((problem.samples() + kChunkSamples - 1) / kChunkSamples),
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
    PointBatches batches{plan_.rank, plan_.heads, bytes_per_point()};
    batches.flop_per_point = plan_.pair_work * static_cast<double>(problem_.samples()) + offsets_.flop_per_point();
    queue_.run(
        batches, points, control, losses, [this](std::int64_t capacity) { return Scratch(*this, capacity); },
        [this](const Scratch& scratch, const PointBatch& batch) { run_batch(scratch, batch); });
  }

 private:
  struct Scratch {
    Scratch(const PairGraph& section, std::int64_t points)
        : offsets(section.memory(), section.offsets_, points),
          zeros(section.memory(), points * section.widest_),
          weights(section.memory(), points * section.pairs_.moving_values()),
          starts(section.memory(), points * section.group_rows() * section.units_),
          buffers(section.memory(), points * section.group_rows() * section.pairs_.row_values()),
          sums(section.memory(), points * section.chunks_ * section.plan_.heads) {
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
  std::int64_t group_rows() const { return std::min(kGroupRows, problem_.samples()); }
  std::int64_t bytes_per_point() const {
    const auto word = static_cast<std::int64_t>(sizeof(T));
    return 8 * (chunks_ * plan_.heads + widest_) + offsets_.bytes_per_point() +
           word * (pairs_.moving_values() + group_rows() * (units_ + pairs_.row_values()));
  }

  void run_batch(const Scratch& scratch, const PointBatch& batch) {
    offsets_.run(batch, plan_.rank, scratch.offsets, stream());
    pairs_.form(batch.alpha, plan_.rank, batch.count, scratch.weights.data(), stream());
    const double group_flop = plan_.pair_work * static_cast<double>(group_rows() * batch.count);
    double queued = 0;
    for (std::int64_t first = 0; first < problem_.samples(); first += kGroupRows) {
      run_group(scratch, batch, first, std::min(kGroupRows, problem_.samples() - first));
      queued += group_flop;
      if (queued < kBatchFlop) continue;
      synchronise(memory());
      check_stop(control_);
      queued = 0;
    }
    LOSSATLAS_CUDA(kernels::launch_mean_of_chunks(scratch.sums.data(), batch.count, chunks_, plan_.heads,
                                                  problem_.samples(), batch.results, stream()));
  }

  /// Computes samples first..first+rows−1 at every point of the batch.
  void run_group(const Scratch& scratch, const PointBatch& batch, std::int64_t first, std::int64_t rows) const {
    const auto start_of = [&](std::size_t k) { return scratch.starts.data() + batch.count * rows * places_[k]; };
    for (std::size_t k = 0; k < lists_.crossings.size(); ++k) cross(scratch, batch, k, first, rows, start_of(k));
    const auto start = [&](std::int64_t k) {
      const auto index = static_cast<std::size_t>(k);
      return ListValue<T>{start_of(index), rows * lists_.crossings[index].units};
    };
    pairs_.run(batch.count, rows, scratch.weights.data(), scratch.buffers.data(), start, {}, stream());
    const auto last = static_cast<std::int32_t>(lists_.pair.size()) - 1;
    kernels::ChunkSums<T> sums;
    sums.outputs = last < 0 ? start_of(0) : pairs_.value(last, batch.count, rows, scratch.buffers.data());
    sums.points = batch.count;
    sums.first = first;
    sums.rows = rows;
    sums.loss = plan_.loss;
    sums.heads = plan_.heads;
    sums.classes = plan_.outputs / plan_.heads;
    sums.targets = problem_.targets<T>();
    sums.chunks = chunks_;
    sums.sums = scratch.sums.data();
    LOSSATLAS_CUDA(kernels::launch_chunk_losses(sums, stream()));
  }

  void cross(const Scratch& scratch, const PointBatch& batch, std::size_t k, std::int64_t first, std::int64_t rows,
             T* to) const {
    const Crossing& crossing = lists_.crossings[k];
    kernels::JointRows<T> joint;
    joint.base = base_[k].data();
    joint.bias =
        crossing.offset == kNoValue ? scratch.zeros.data() : offsets_.value(crossing.offset, batch, scratch.offsets);
    joint.directions = directions_[k].data();
    joint.moving = static_cast<std::int32_t>(crossing.directions.size());
    joint.units = crossing.units;
    joint.activation = crossing.activation;
    joint.alpha = batch.alpha;
    joint.rank = plan_.rank;
    joint.points = batch.count;
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
  std::int64_t chunks_;
  PointValues<double> offsets_;
  DeviceList<T> pairs_;
  std::vector<DeviceBuffer<T>> base_;  // of each crossing: (parts, units, N)
  std::vector<DeviceBuffer<std::int32_t>> directions_;
  std::vector<std::int64_t> places_;  // units of the crossings before each
  std::int64_t units_ = 0, widest_ = 0;
  BatchQueue<Scratch> queue_;
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
  BatchQueue<Scratch>(workspace).run(
      {plan.rank, plan.outputs, values.bytes_per_point(), values.flop_per_point()}, SectionPoints(points, plan.rank),
      control, outputs, [&](std::int64_t capacity) { return Scratch(workspace.memory(), values, capacity); },
      [&](const Scratch& scratch, const PointBatch& batch) {
        values.run(batch, plan.rank, scratch, workspace.stream());
        LOSSATLAS_CUDA(cudaMemcpyAsync(batch.results, values.last(batch, scratch),
                                       static_cast<std::size_t>(batch.count * plan.outputs) * sizeof(double),
                                       cudaMemcpyDeviceToDevice, workspace.stream()));
      });
}

template std::unique_ptr<DeviceSection> graph_section<float>(Workspace&, const Problem&, const SectionPlan&,
                                                             const Control&);
template std::unique_ptr<DeviceSection> graph_section<double>(Workspace&, const Problem&, const SectionPlan&,
                                                              const Control&);

}  // namespace lossatlas::cuda
