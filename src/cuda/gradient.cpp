#include "cuda/gradient.hpp"

#include <algorithm>
#include <limits>
#include <variant>

#include "../kernels/pair_losses.hpp"
#include "../kernels/section.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/device_limits.hpp"

namespace lossatlas::cuda {
namespace {

const Dense& dense_layer(const Network& network, std::size_t l) { return std::get<Dense>(network.layers()[l]); }

int narrow(std::int64_t size) {
  require(size <= std::numeric_limits<int>::max(), "cuda", "received a layer with ", size, " units, expected at most ",
          std::numeric_limits<int>::max());
  return static_cast<int>(size);
}

/// C (m, n) ← op(A) op(B) + beta·C, column-major.
void gemm(Workspace& workspace, cublasOperation_t op_a, cublasOperation_t op_b, std::int64_t m, std::int64_t n,
          std::int64_t k, const double* a, std::int64_t lda, const double* b, std::int64_t ldb, double beta,
          double* c) {
  const double one = 1;
  LOSSATLAS_CUDA(cublasDgemm(workspace.cublas(), op_a, op_b, narrow(m), narrow(n), narrow(k), &one, a, narrow(lda), b,
                             narrow(ldb), &beta, c, narrow(m)));
}

}  // namespace

Pass::Pass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers)
    : workspace_(workspace), problem_(problem), theta_(theta) {
  const std::int64_t capacity = std::min(kChunkRows, problem.samples());
  for (std::size_t l = 0; l < layers; ++l) {
    const Dense& dense = dense_layer(problem.network(), l);
    layers_.push_back({dense.in,
                       dense.out,
                       dense.activation,
                       0,
                       -1,
                       {workspace.memory(), capacity * dense.out},
                       {workspace.memory(), capacity * dense.out}});
  }
  for (const ParameterBlock& block : problem.network().blocks()) {
    if (block.layer >= static_cast<std::int64_t>(layers)) continue;
    LayerMemory& layer = layers_[static_cast<std::size_t>(block.layer)];
    (block.kind == ParameterBlock::Kind::bias ? layer.bias : layer.weight) = block.offset;
  }
}

const double* Pass::below(std::size_t l) const {
  return l == 0 ? problem_.inputs() + first_ * problem_.features() : layers_[l - 1].post.data();
}

// y (rows, out) ← x Wᵀ + beta·y. A row-major matrix is a transposed column-major one.
void Pass::multiply(const LayerMemory& layer, const double* weights, const double* x, double beta, double* y) {
  gemm(workspace_, CUBLAS_OP_T, CUBLAS_OP_N, layer.out, rows_, layer.in, weights, layer.in, x, layer.in, beta, y);
}

void Pass::forward_pass(std::int64_t first, std::int64_t rows) {
  first_ = first;
  rows_ = rows;
  const cudaStream_t stream = workspace_.stream();
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const LayerMemory& layer = layers_[l];
    multiply(layer, theta_ + layer.weight, below(l), 0, layer.pre.data());
    LOSSATLAS_CUDA(kernels::launch_add_bias(layer.pre.data(), bias_at(layer, theta_), rows, layer.out, stream));
    LOSSATLAS_CUDA(kernels::launch_activate(layer.activation, layer.pre.data(), rows, layer.out, layer.post.data(),
                                            layer.out, stream));
  }
}

double* Pass::cotangent() {
  std::int64_t widest = 0;
  for (const LayerMemory& layer : layers_) widest = std::max(widest, layer.pre.size());
  for (auto& delta : deltas_) {
    if (delta.size() == 0) delta = DeviceBuffer<double>(workspace_.memory(), widest);
  }
  return delta(layers_.size() - 1);
}

void Pass::tangent_pass(const double* v) {
  cotangent();
  const cudaStream_t stream = workspace_.stream();
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const LayerMemory& layer = layers_[l];
    multiply(layer, v + layer.weight, below(l), 0, delta(l));
    if (l > 0) multiply(layer, theta_ + layer.weight, delta(l - 1), 1, delta(l));
    LOSSATLAS_CUDA(kernels::launch_add_bias(delta(l), bias_at(layer, v), rows_, layer.out, stream));
    LOSSATLAS_CUDA(
        kernels::launch_multiply_slope(layer.activation, layer.pre.data(), rows_ * layer.out, delta(l), stream));
  }
}

void Pass::backward_pass(double* sum) {
  const cudaStream_t stream = workspace_.stream();
  for (std::size_t l = layers_.size(); l-- > 0;) {
    const LayerMemory& layer = layers_[l];
    LOSSATLAS_CUDA(
        kernels::launch_multiply_slope(layer.activation, layer.pre.data(), rows_ * layer.out, delta(l), stream));
    gemm(workspace_, CUBLAS_OP_N, CUBLAS_OP_T, layer.in, layer.out, rows_, below(l), layer.in, delta(l), layer.out, 1,
         sum + layer.weight);
    if (layer.bias >= 0) {
      LOSSATLAS_CUDA(kernels::launch_add_column_sums(delta(l), rows_, layer.out, sum + layer.bias, stream));
    }
    if (l == 0) break;
    gemm(workspace_, CUBLAS_OP_N, CUBLAS_OP_N, layer.in, rows_, layer.out, theta_ + layer.weight, layer.in, delta(l),
         layer.out, 0, delta(l - 1));
  }
}

kernels::OutputRows Pass::outputs() const {
  kernels::OutputRows rows;
  rows.outputs = last();
  rows.first = first_;
  rows.rows = rows_;
  rows.loss = problem_.loss();
  rows.heads = problem_.network().heads();
  rows.classes = problem_.network().outputs_per_head();
  rows.targets = problem_.targets<double>();
  return rows;
}

namespace {

void require_parameters(const Problem& problem, std::size_t size, const char* function, const char* argument) {
  require(static_cast<std::int64_t>(size) == problem.network().parameter_count(), function, "received ", argument,
          " with ", size, " entries, expected ", problem.network().parameter_count(),
          "; pass one value for each parameter");
}

std::size_t depth(const Problem& problem) { return problem.network().layers().size(); }

/// Waits, checks for a requested stop and reports progress each time about a tile's work has been queued.
class SamplePace {
 public:
  SamplePace(const Memory& memory, const Control& control, double sample_flop, std::int64_t samples)
      : memory_(memory), control_(control), sample_flop_(sample_flop), samples_(samples) {}

  /// Notes that `rows` more rows have been queued.
  void add(std::int64_t rows) {
    done_ += rows;
    queued_ += sample_flop_ * static_cast<double>(rows);
    if (queued_ < kTileFlop) return;
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
  const DeviceBuffer<double> parameters = uploaded(memory, theta);
  const DeviceBuffer<double> sum(memory, parameters.size());
  fill_zero(memory, sum.data(), sum.size());
  Pass pass(workspace, problem, parameters.data(), depth(problem));
  SamplePace pace(memory, control, 6.0 * static_cast<double>(theta.size()), last - first);
  for (std::int64_t begin = first; begin < last; begin += kChunkRows) {
    const std::int64_t rows = std::min(kChunkRows, last - begin);
    pass.forward_pass(begin, rows);
    cotangent(pass);
    pass.backward_pass(sum.data());
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
  const DeviceBuffer<double> parameters = uploaded(memory, theta);
  kernels::ChunkSums<double> sums;
  sums.points = 1;
  sums.chunks = (problem.samples() + kernels::kChunkSamples - 1) / kernels::kChunkSamples;
  const DeviceBuffer<double> loss_sums(memory, sums.chunks * heads), hits(memory, sums.chunks * heads);
  const DeviceBuffer<double> means(memory, 2 * heads);
  Pass pass(workspace, problem, parameters.data(), depth(problem));
  SamplePace pace(memory, control, 2.0 * static_cast<double>(theta.size()), problem.samples());
  for (std::int64_t first = 0; first < problem.samples(); first += kChunkRows) {
    pass.forward_pass(first, std::min(kChunkRows, problem.samples() - first));
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
    pass.tangent_pass(direction.data());
    LOSSATLAS_CUDA(kernels::launch_curvature(pass.outputs(), pass.cotangent(), workspace.stream()));
  });
}

}  // namespace lossatlas::cuda
