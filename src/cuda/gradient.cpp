#include "cuda/gradient.hpp"

#include <algorithm>
#include <limits>

#include "../kernels/pair_losses.hpp"
#include "../kernels/section.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/device_limits.hpp"
#include "cuda/pass.hpp"

namespace lossatlas::cuda {
namespace {

void require_parameters(const Problem& problem, std::size_t size, const char* function, const char* argument) {
  require(static_cast<std::int64_t>(size) == problem.network().parameter_count(), function, "received ", argument,
          " with ", size, " entries, expected ", problem.network().parameter_count(),
          "; pass one value for each parameter");
}

std::int64_t capacity(const Problem& problem) { return std::min(kChunkRows, problem.samples()); }

/// Waits, checks for a requested stop and reports progress each time about a batch's work has been queued.
class SamplePace {
 public:
  SamplePace(const Memory& memory, const Control& control, double sample_flop, std::int64_t samples)
      : memory_(memory), control_(control), sample_flop_(sample_flop), samples_(samples) {}

  /// Notes that `rows` more rows have been queued.
  void add(std::int64_t rows) {
    done_ += rows;
    queued_ += sample_flop_ * static_cast<double>(rows);
    if (queued_ < kBatchFlop) return;
    queued_ = 0;
    synchronise(memory_);
    check_stop(control_);
    if (control_.progress) control_.progress({"samples", done_, samples_});
  }

 private:
  const Memory& memory_;
  const Control& control_;
  double sample_flop_;
  std::int64_t samples_;
  double queued_ = 0;
  std::int64_t done_ = 0;
};

/// result (M) = mean over samples first..last−1 of Jᵀ applied to what `cotangent(pass)` leaves in pass.cotangent().
template <class Cotangent>
void mean_vjp(Workspace& workspace, const Problem& problem, std::span<const double> theta, std::int64_t first,
              std::int64_t last, const Control& control, std::span<double> result, Cotangent&& cotangent) {
  Memory& memory = workspace.memory();
  const DeviceBuffer<double> sum(memory, static_cast<std::int64_t>(theta.size()));
  fill_zero(memory, sum.data(), sum.size());
  Pass pass(workspace, problem, workspace.parameters(theta), PassDetail::values, capacity(problem));
  SamplePace pace(memory, control, 6.0 * static_cast<double>(theta.size()), last - first);
  for (std::int64_t begin = first; begin < last; begin += kChunkRows) {
    const std::int64_t rows = std::min(kChunkRows, last - begin);
    pass.forward(begin, rows);
    cotangent(pass);
    pass.vjp(sum.data());
    pace.add(rows);
  }
  download(memory, sum.data(), result);
  for (double& value : result) value /= static_cast<double>(last - first);
}

}  // namespace

void evaluate(Workspace& workspace, const Problem& problem, std::span<const double> theta, const Control& control,
              std::span<double> losses, std::span<double> accuracy) {
  require_parameters(problem, theta.size(), "evaluate", "theta");
  Memory& memory = workspace.memory();
  const std::int64_t heads = problem.network().heads();
  kernels::ChunkSums<double> sums;
  sums.points = 1;
  sums.chunks = (problem.samples() + kernels::kChunkSamples - 1) / kernels::kChunkSamples;
  const DeviceBuffer<double> loss_sums(memory, sums.chunks * heads), hits(memory, sums.chunks * heads);
  const DeviceBuffer<double> means(memory, 2 * heads);
  ForwardPass pass(workspace, problem, workspace.parameters(theta), problem.network().nodes().size(),
                   PassDetail::values, capacity(problem));
  SamplePace pace(memory, control, 2.0 * static_cast<double>(theta.size()), problem.samples());
  for (std::int64_t first = 0; first < problem.samples(); first += kChunkRows) {
    pass.forward(first, std::min(kChunkRows, problem.samples() - first));
    const kernels::OutputRows rows = pass.outputs();
    sums.outputs = rows.outputs;
    sums.first = first;
    sums.rows = rows.rows;
    sums.loss = rows.loss;
    sums.heads = heads;
    sums.classes = rows.classes;
    sums.targets = rows.targets;
    sums.sums = loss_sums.data();
    LOSSATLAS_CUDA(kernels::launch_chunk_losses(sums, workspace.stream()));
    sums.sums = hits.data();
    if (problem.has_labels()) LOSSATLAS_CUDA(kernels::launch_chunk_hits(sums, workspace.stream()));
    pace.add(rows.rows);
  }
  LOSSATLAS_CUDA(kernels::launch_mean_of_chunks(loss_sums.data(), 1, sums.chunks, heads, problem.samples(),
                                                means.data(), workspace.stream()));
  if (problem.has_labels()) {
    LOSSATLAS_CUDA(kernels::launch_mean_of_chunks(hits.data(), 1, sums.chunks, heads, problem.samples(),
                                                  means.data() + heads, workspace.stream()));
  }
  download(memory, means.data(), losses.first(static_cast<std::size_t>(heads)));
  if (problem.has_labels())
    download(memory, means.data() + heads, accuracy.first(static_cast<std::size_t>(heads)));
  else
    std::fill(accuracy.begin(), accuracy.end(), std::numeric_limits<double>::quiet_NaN());
}

void gradient(Workspace& workspace, const Problem& problem, std::span<const double> theta, std::int64_t first,
              std::int64_t last, const Control& control, std::span<double> gradient) {
  require_parameters(problem, theta.size(), "gradient", "theta");
  require_parameters(problem, gradient.size(), "gradient", "a result");
  require(0 <= first && first < last && last <= problem.samples(), "gradient", "received samples ", first, " to ", last,
          ", expected 0 <= first < last <= ", problem.samples(), "; pass a range inside the data set");
  mean_vjp(workspace, problem, theta, first, last, control, gradient, [&](Pass& pass) {
    LOSSATLAS_CUDA(kernels::launch_loss_gradient(pass.outputs(), pass.cotangent(), workspace.stream()));
  });
}

void gauss_newton_product(Workspace& workspace, const Problem& problem, std::span<const double> theta,
                          std::span<const double> v, const Control& control, std::span<double> product) {
  require_parameters(problem, theta.size(), "gauss_newton_product", "theta");
  require_parameters(problem, v.size(), "gauss_newton_product", "v");
  require_parameters(problem, product.size(), "gauss_newton_product", "a result");
  const DeviceBuffer<double> direction = uploaded(workspace.memory(), v);
  mean_vjp(workspace, problem, theta, 0, problem.samples(), control, product, [&](Pass& pass) {
    pass.jvp(direction.data());
    LOSSATLAS_CUDA(kernels::launch_curvature(pass.outputs(), pass.cotangent(), workspace.stream()));
  });
}

}  // namespace lossatlas::cuda
