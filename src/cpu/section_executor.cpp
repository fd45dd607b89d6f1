#include "cpu/section_executor.hpp"

#include <algorithm>
#include <new>
#include <vector>

#include "check.hpp"
#include "cpu/section_chain.hpp"
#include "cpu/section_joint.hpp"
#include "cpu/section_kernel.hpp"
#include "cpu/section_pack.hpp"
#include "cpu/section_quadratic.hpp"
#include "parallel.hpp"

namespace lossatlas::cpu {
namespace {

// Runs `work`; when memory runs out says how many bytes it needed.
template <class Work>
void with_memory(const char* function, std::int64_t bytes, Work&& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message(function, "received a section that needs ", bytes,
                              " bytes, expected that much free memory; use fewer samples or f32"),
                      bytes);
  }
}

std::int64_t values(std::span<const ChainLayer> layers) {
  std::int64_t sum = 0;
  for (const ChainLayer& layer : layers) sum += static_cast<std::int64_t>(layer.weights.size() + layer.biases.size());
  return sum;
}

// use(first, last, outputs (H·C, R), scratch) for every tile of R points of a sample-free plan; scratch (H, R).
template <class T, class Use>
void for_point_tiles(const SectionPlan& plan, std::span<const double> points, int threads, const Control& control,
                     Use&& use) {
  const SectionKernels<T>& kernels = section_kernels<T>();
  const PointChain<T> chain(kernels, plan.point_chain);
  const std::int64_t count = static_cast<std::int64_t>(points.size()) / plan.rank;
  struct Scratch {
    AlignedBuffer<T> alpha, chain;
    std::vector<double> losses;
  };
  std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
  parallel_for(ceil_divide(count, kernels.rows), threads, control, "section", [&](std::int64_t tile, int thread) {
    Scratch& own = scratch[static_cast<std::size_t>(thread)];
    if (own.losses.empty()) {
      own.alpha = AlignedBuffer<T>(plan.rank * kernels.rows);
      own.chain = AlignedBuffer<T>(chain.scratch());
      own.losses.resize(static_cast<std::size_t>(plan.heads * kernels.rows));
    }
    const std::int64_t first = tile * kernels.rows;
    const std::int64_t last = std::min(count, first + kernels.rows);
    load_points(points, plan.rank, first, last, kernels.rows, own.alpha.data());
    use(first, last, chain.run(own.alpha.data(), own.chain.data()), own.losses.data());
  });
}

template <class T>
void sample_free_losses(const SectionPlan& plan, const LabelStatistics& statistics, std::span<const double> points,
                        int threads, const Control& control, std::span<double> losses) {
  const SectionKernels<T>& kernels = section_kernels<T>();
  std::vector<T> mean;
  for (const double value : statistics.mean) mean.push_back(static_cast<T>(value));
  for_point_tiles<T>(
      plan, points, threads, control, [&](std::int64_t first, std::int64_t last, const T* outputs, double* scratch) {
        const StatisticTile<T> tile{plan.loss, plan.heads,  plan.outputs / plan.heads,
                                    outputs,   mean.data(), statistics.variance};
        kernels.statistic_losses(tile, scratch);
        for (std::int64_t g = first; g < last; ++g) {
          for (std::int64_t head = 0; head < plan.heads; ++head) {
            losses[static_cast<std::size_t>(g * plan.heads + head)] = scratch[head * kernels.rows + g - first];
          }
        }
      });
}

template <class T>
void losses_in(const SectionPlan& plan, const Dataset& data, const LabelStatistics& statistics,
               std::span<const double> points, int threads, const Control& control, std::span<double> losses) {
  if (plan.kind == PlanKind::sample_free) {
    const std::int64_t bytes = 2 * values(plan.point_chain) * static_cast<std::int64_t>(sizeof(T));
    with_memory("section_losses", bytes,
                [&] { sample_free_losses<T>(plan, statistics, points, threads, control, losses); });
  } else {
    with_memory("section_losses", pair_bytes<T>(plan, data),
                [&] { pair_losses<T>(plan, data, points, threads, control, losses); });
  }
}

}  // namespace

Precision section_losses(const SectionPlan& plan, const Dataset& data, const LabelStatistics& statistics,
                         std::span<const double> points, Precision precision, int threads, const Control& control,
                         std::span<double> losses) {
  if (plan.kind == PlanKind::quadratic) {
    const std::int64_t squares = plan.heads * (plan.rank + 1) * (plan.rank + 1);
    const std::int64_t bytes = 8 * (values(plan.sample_chain) + data.size() / 256 * squares);
    with_memory("section_losses", bytes, [&] { quadratic_losses(plan, data, points, threads, control, losses); });
    return Precision::f64;
  }
  if (precision == Precision::f64) {
    losses_in<double>(plan, data, statistics, points, threads, control, losses);
    return Precision::f64;
  }
  losses_in<float>(plan, data, statistics, points, threads, control, losses);
  return Precision::f32;
}

void section_outputs(const SectionPlan& plan, std::span<const double> points, int threads, const Control& control,
                     std::span<double> outputs) {
  const std::int64_t rows = section_kernels<double>().rows;
  with_memory("section_outputs", 16 * values(plan.point_chain), [&] {
    for_point_tiles<double>(plan, points, threads, control,
                            [&](std::int64_t first, std::int64_t last, const double* tile, double*) {
                              for (std::int64_t g = first; g < last; ++g) {
                                for (std::int64_t c = 0; c < plan.outputs; ++c) {
                                  outputs[static_cast<std::size_t>(g * plan.outputs + c)] = tile[c * rows + g - first];
                                }
                              }
                            });
  });
}

const char* simd_target_name() { return section_kernels<float>().target; }

}  // namespace lossatlas::cpu
