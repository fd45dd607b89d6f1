// The losses of a batch of points, a group of samples at a time: their sums over chunks of samples, then their means.
#pragma once

#include <algorithm>
#include <cstdint>

#include <lossatlas/progress.hpp>

#include "../kernels/section.hpp"
#include "../kernels/tensor_shape.hpp"
#include "base/parallel.hpp"
#include "cuda/device_limits.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

template <class T>
class SampleGroups {
 public:
  SampleGroups(Workspace& workspace, const Problem& problem, const SectionPlan& plan)
      : workspace_(workspace), problem_(problem), plan_(plan) {}

  /// Samples of a group; the last may have fewer.
  std::int64_t rows() const { return std::min(4 * kernels::kChunkSamples, problem_.samples()); }
  std::int64_t chunks() const { return (problem_.samples() + kernels::kChunkSamples - 1) / kernels::kChunkSamples; }

  /// Computes sums (points, chunks, H) of the losses of all samples; outputs(first, rows) gives the outputs (points,
  /// rows, H·C) of samples first..first+rows−1. Heeds a requested stop each time about a batch's work has been queued.
  template <class Outputs>
  void sum_losses(std::int64_t points, double* sums, const Control& control, Outputs&& outputs) const {
    kernels::ChunkSums<T> group;
    group.points = points;
    group.loss = plan_.loss;
    group.heads = plan_.heads;
    group.classes = plan_.outputs / plan_.heads;
    group.targets = problem_.targets<T>();
    group.chunks = chunks();
    group.sums = sums;
    const double group_flop = plan_.pair_work * static_cast<double>(rows() * points);
    double queued = 0;
    for (; group.first < problem_.samples(); group.first += rows()) {
      group.rows = std::min(rows(), problem_.samples() - group.first);
      group.outputs = outputs(group.first, group.rows);
      LOSSATLAS_CUDA(kernels::launch_chunk_losses(group, workspace_.stream()));
      queued += group_flop;
      if (queued < kBatchFlop) continue;
      synchronise(workspace_.memory());
      check_stop(control);
      queued = 0;
    }
  }

  /// Computes means (points, H) from sums (points, chunks, H).
  void mean(const double* sums, std::int64_t points, double* means) const {
    LOSSATLAS_CUDA(kernels::launch_mean_of_chunks(sums, points, chunks(), plan_.heads, problem_.samples(), means,
                                                  workspace_.stream()));
  }

 private:
  Workspace& workspace_;
  const Problem& problem_;
  const SectionPlan& plan_;
};

}  // namespace lossatlas::cuda
