#include "cuda/section_graph.hpp"

#include <algorithm>
#include <vector>

#include "../kernels/section.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/sample_groups.hpp"
#include "cuda/section_lists.hpp"

namespace lossatlas::cuda {
namespace {

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
        offsets_(workspace, lists_, control),
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

  void run_batch(const Scratch& scratch, const PointBatch& batch) {
    offsets_.run(batch, plan_.rank, scratch.offsets);
    pairs_.form(batch.alpha, plan_.rank, batch.count, scratch.weights.data(), stream());
    groups_.sum_losses(batch.count, scratch.sums.data(), control_,
                       [&](std::int64_t first, std::int64_t rows) { return run_group(scratch, batch, first, rows); });
    groups_.mean(scratch.sums.data(), batch.count, batch.results);
  }

  /// The outputs of samples first..first+rows−1 at every point of the batch.
  const T* run_group(const Scratch& scratch, const PointBatch& batch, std::int64_t first, std::int64_t rows) const {
    const auto start_of = [&](std::size_t k) { return scratch.starts.data() + batch.count * rows * places_[k]; };
    for (std::size_t k = 0; k < lists_.crossings.size(); ++k) cross(scratch, batch, k, first, rows, start_of(k));
    const auto start = [&](std::int64_t k) {
      const auto index = static_cast<std::size_t>(k);
      return ListValue<T>{start_of(index), rows * lists_.crossings[index].units};
    };
    pairs_.run(batch.count, rows, scratch.weights.data(), scratch.buffers.data(), start, {}, stream());
    const auto last = static_cast<std::int32_t>(lists_.pair.size()) - 1;
    return last < 0 ? start_of(0) : pairs_.value(last, batch.count, rows, scratch.buffers.data());
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
  SampleGroups<T> groups_;
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
  return std::make_unique<PairGraph<T>>(workspace, problem, plan, control);
}

template std::unique_ptr<DeviceSection> graph_section<float>(Workspace&, const Problem&, const SectionPlan&,
                                                             const Control&);
template std::unique_ptr<DeviceSection> graph_section<double>(Workspace&, const Problem&, const SectionPlan&,
                                                              const Control&);

}  // namespace lossatlas::cuda
