#include "cpu/section_executor.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/parallel.hpp"
#include "cpu/section_joint.hpp"
#include "cpu/section_kernel.hpp"
#include "cpu/section_lists.hpp"
#include "cpu/section_pack.hpp"
#include "cpu/section_quadratic.hpp"

namespace lossatlas::cpu {
namespace {

template <class T>
std::int64_t list_bytes(const SectionPlan& plan) {
  std::int64_t values = 0;
  for (const PlanStep& step : lists_of(plan).point) values += step.adds() ? 0 : count_values(std::span(step.layer, 1));
  return 2 * values * static_cast<std::int64_t>(sizeof(T));
}

// Calls use(first, last, outputs (H·C, R), scratch) for every strip of R points of a sample-free plan; scratch (H, R).
template <class T, class Use>
void for_point_strips(const SectionPlan& plan, const PointList<T>& list, const SectionPoints& points, int threads,
                      const Control& control, Use&& use) {
  const SectionKernels<T>& kernels = section_kernels<T>();
  const std::int64_t count = points.count();
  struct Scratch {
    AlignedBuffer<T> alpha, list;
    std::vector<double> points, losses;
  };
  std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
  parallel_for(ceil_divide(count, kernels.rows), threads, control, "section", [&](std::int64_t strip, int thread) {
    Scratch& own = scratch[static_cast<std::size_t>(thread)];
    if (own.losses.empty()) {
      own.alpha = AlignedBuffer<T>(plan.rank * kernels.rows);
      own.list = AlignedBuffer<T>(list.scratch());
      own.points.resize(static_cast<std::size_t>(plan.rank * kernels.rows));
      own.losses.resize(static_cast<std::size_t>(plan.heads * kernels.rows));
    }
    const std::int64_t first = strip * kernels.rows;
    const std::int64_t last = std::min(count, first + kernels.rows);
    const auto of_strip = std::span(own.points).first(static_cast<std::size_t>((last - first) * plan.rank));
    points.copy(first, last - first, of_strip);
    load_points<T>(of_strip, plan.rank, kernels.rows, own.alpha.data());
    list.run(own.alpha.data(), own.list.data());
    use(first, last, list.last(own.list.data()), own.losses.data());
  });
}

template <class T>
class SampleFreeSection final : public DeviceSection {
 public:
  SampleFreeSection(const SectionPlan& plan, const LabelStatistics& statistics, int threads, const Control& control)
      : plan_(plan),
        list_(section_kernels<T>(), lists_of(plan), control),
        variance_(statistics.variance),
        threads_(threads) {
    for (const double value : statistics.mean) mean_.push_back(static_cast<T>(value));
  }

  void losses(const SectionPoints& points, const Control& control, std::span<double> losses) override {
    const SectionKernels<T>& kernels = section_kernels<T>();
    const auto strip = [&](std::int64_t first, std::int64_t last, const T* outputs, double* scratch) {
      kernels.statistic_losses({plan_.loss, plan_.heads, plan_.outputs / plan_.heads, outputs, mean_.data(), variance_},
                               scratch);
      for (std::int64_t g = first; g < last; ++g) {
        for (std::int64_t head = 0; head < plan_.heads; ++head) {
          losses[static_cast<std::size_t>(g * plan_.heads + head)] = scratch[head * kernels.rows + g - first];
        }
      }
    };
    with_memory(list_bytes<T>(plan_), [&] { for_point_strips<T>(plan_, list_, points, threads_, control, strip); });
  }

 private:
  const SectionPlan& plan_;
  PointList<T> list_;
  std::vector<T> mean_;
  double variance_;
  int threads_;
};

template <class T>
std::unique_ptr<DeviceSection> section_in(const SectionPlan& plan, const Dataset& data,
                                          const LabelStatistics& statistics, int threads, const Control& control) {
  if (plan.kind != PlanKind::sample_free) return pair_section<T>(plan, data, threads, control);
  return with_memory(list_bytes<T>(plan),
                     [&] { return std::make_unique<SampleFreeSection<T>>(plan, statistics, threads, control); });
}

}  // namespace

Precision section_precision(const SectionPlan& plan, Precision asked) {
  return asked == Precision::f64 || plan.kind == PlanKind::quadratic ? Precision::f64 : Precision::f32;
}

std::unique_ptr<DeviceSection> make_section(const SectionPlan& plan, const Dataset& data,
                                            const LabelStatistics& statistics, Precision precision, int threads,
                                            const Control& control) {
  const Control stop{{}, control.stop};
  if (plan.kind == PlanKind::quadratic) return quadratic_section(plan, data, threads, stop);
  return section_precision(plan, precision) == Precision::f64
             ? section_in<double>(plan, data, statistics, threads, stop)
             : section_in<float>(plan, data, statistics, threads, stop);
}

void section_outputs(const SectionPlan& plan, std::span<const double> points, int threads, const Control& control,
                     std::span<double> outputs) {
  const std::int64_t rows = section_kernels<double>().rows;
  const auto store = [&](std::int64_t first, std::int64_t last, const double* strip, double*) {
    for (std::int64_t g = first; g < last; ++g) {
      for (std::int64_t c = 0; c < plan.outputs; ++c) {
        outputs[static_cast<std::size_t>(g * plan.outputs + c)] = strip[c * rows + g - first];
      }
    }
  };
  with_memory(list_bytes<double>(plan), [&] {
    const PointList<double> list(section_kernels<double>(), lists_of(plan), control);
    for_point_strips<double>(plan, list, {points, plan.rank}, threads, control, store);
  });
}

const char* simd_target_name() { return section_kernels<float>().target; }

}  // namespace lossatlas::cpu
