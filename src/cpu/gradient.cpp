#include "cpu/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/loss_rows.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kAccumulators = 16;
constexpr std::int64_t kAccumulatorEntries = std::int64_t{1} << 27;  // 1 GiB for all of them

std::int64_t chunks(std::int64_t samples) { return (samples + kChunk - 1) / kChunk; }

std::int64_t accumulators(const Network& network, std::int64_t samples) {
  const std::int64_t fit = kAccumulatorEntries / std::max<std::int64_t>(1, network.parameter_count());
  return std::clamp<std::int64_t>(std::min(fit, chunks(samples)), 1, kAccumulators);
}

std::int64_t total_width(const Network& network) {
  std::int64_t sum = 0;
  for (std::int64_t l = 0; l < network.depth(); ++l) sum += network.width(l);
  return sum;
}

/// Reports samples as the threads finish them.
class SampleProgress {
 public:
  SampleProgress(const Control& control, std::int64_t total) : control_(control), total_(total) {}
  void add(std::int64_t samples) {
    if (!control_.progress) return;
    const std::lock_guard lock(mutex_);
    control_.progress({"samples", done_ += samples, total_});
  }

 private:
  const Control& control_;
  std::int64_t total_, done_ = 0;
  std::mutex mutex_;
};

double pairwise_sum(const double* values, std::int64_t count, std::int64_t stride) {
  if (count <= 16) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += values[i * stride];
    return sum;
  }
  const std::int64_t half = count / 2;
  return pairwise_sum(values, half, stride) + pairwise_sum(values + half * stride, count - half, stride);
}

/// result (M) = mean over samples first..last−1 of Jᵀ applied to what `cotangent(pass)` leaves in pass.cotangent().
/// Chunk c goes to accumulator c mod A, in order, and the accumulators are added in order.
template <class Cotangent>
void mean_vjp(const Problem& problem, std::span<const double> theta, std::int64_t first, std::int64_t last,
              const Control& control, std::span<double> result, Cotangent&& cotangent) {
  const SingleThreadedBlas guard;
  const Control only_stop{{}, control.stop};
  const std::int64_t parameters = problem.network.parameter_count();
  const std::int64_t lanes = accumulators(problem.network, last - first);
  std::vector<double> sums(static_cast<std::size_t>(lanes * parameters));
  Passes passes(problem, theta, {}, only_stop);
  SampleProgress progress(control, last - first);
  parallel_for(lanes, problem.threads, only_stop, "", [&](std::int64_t lane, int thread) {
    Pass& pass = passes.of(thread);
    const std::span<double> sum(sums.data() + lane * parameters, static_cast<std::size_t>(parameters));
    for (std::int64_t begin = first + lane * kChunk; begin < last; begin += lanes * kChunk) {
      const std::int64_t rows = std::min(kChunk, last - begin);
      pass.forward(begin, rows);
      cotangent(pass);
      pass.vjp(sum);
      progress.add(rows);
    }
  });
  constexpr std::int64_t kPiece = 1 << 16;
  parallel_for((parameters + kPiece - 1) / kPiece, problem.threads, only_stop, "", [&](std::int64_t piece, int) {
    for (std::int64_t m = piece * kPiece; m < std::min(parameters, (piece + 1) * kPiece); ++m) {
      double sum = 0;
      for (std::int64_t lane = 0; lane < lanes; ++lane) sum += sums[static_cast<std::size_t>(lane * parameters + m)];
      result[static_cast<std::size_t>(m)] = sum / static_cast<double>(last - first);
    }
  });
}

void require_parameters(const Problem& problem, std::size_t size, const char* function, const char* argument) {
  require(static_cast<std::int64_t>(size) == problem.network.parameter_count(), function, "received ", argument,
          " with ", size, " entries, expected ", problem.network.parameter_count(),
          "; pass one value for each parameter");
}

}  // namespace

void evaluate(const Problem& problem, std::span<const double> theta, const Control& control, std::span<double> losses,
              std::span<double> accuracy) {
  require_parameters(problem, theta.size(), "evaluate", "theta");
  const SingleThreadedBlas guard;
  const std::int64_t samples = problem.data.size(), heads = problem.network.heads(), count = chunks(samples);
  const LossRows rows_of(problem.loss, problem.data, heads, problem.network.outputs_per_head());
  std::vector<double> sums(static_cast<std::size_t>(count * heads));
  std::vector<std::int64_t> right(sums.size());
  Passes passes(problem, theta, {}, {{}, control.stop});
  SampleProgress progress(control, samples);
  parallel_for(count, problem.threads, {{}, control.stop}, "", [&](std::int64_t chunk, int thread) {
    const std::int64_t first = chunk * kChunk, rows = std::min(kChunk, samples - first);
    Pass& pass = passes.of(thread);
    pass.forward(first, rows);
    std::vector<double> sample_losses(static_cast<std::size_t>(rows * heads));
    for (std::int64_t r = 0; r < rows; ++r) {
      const double* outputs = pass.outputs().at(r, 0).data;
      rows_of.losses(outputs, first + r, sample_losses.data() + r * heads);
      rows_of.count_right(outputs, first + r, right.data() + chunk * heads);
    }
    for (std::int64_t k = 0; k < heads; ++k) {
      sums[static_cast<std::size_t>(chunk * heads + k)] = pairwise_sum(sample_losses.data() + k, rows, heads);
    }
    progress.add(rows);
  });
  for (std::int64_t k = 0; k < heads; ++k) {
    const std::size_t head = static_cast<std::size_t>(k);
    losses[head] = pairwise_sum(sums.data() + k, count, heads) / static_cast<double>(samples);
    std::int64_t hits = 0;
    for (std::int64_t c = 0; c < count; ++c) hits += right[static_cast<std::size_t>(c * heads + k)];
    accuracy[head] = problem.data.has_labels() ? static_cast<double>(hits) / static_cast<double>(samples)
                                               : std::numeric_limits<double>::quiet_NaN();
  }
}

void gradient(const Problem& problem, std::span<const double> theta, std::int64_t first, std::int64_t last,
              const Control& control, std::span<double> gradient) {
  require_parameters(problem, theta.size(), "gradient", "theta");
  require_parameters(problem, gradient.size(), "gradient", "a result");
  require(0 <= first && first < last && last <= problem.data.size(), "gradient", "received samples ", first, " to ",
          last, ", expected 0 <= first < last <= ", problem.data.size(), "; pass a range inside the data set");
  mean_vjp(problem, theta, first, last, control, gradient, [](Pass& pass) { pass.fill_loss_cotangent(); });
}

void gauss_newton_product(const Problem& problem, std::span<const double> theta, std::span<const double> v,
                          const Control& control, std::span<double> product) {
  require_parameters(problem, theta.size(), "gauss_newton_product", "theta");
  require_parameters(problem, v.size(), "gauss_newton_product", "v");
  require_parameters(problem, product.size(), "gauss_newton_product", "a result");
  const LossRows rows_of(problem.loss, problem.data, problem.network.heads(), problem.network.outputs_per_head());
  const auto cotangent = [&](Pass& pass) {
    const ConstMatrix outputs = pass.outputs(), tangent = pass.jvp(v);
    const Matrix result = pass.cotangent();
    std::copy_n(tangent.data, pass.rows() * problem.network.outputs(), result.data);
    for (std::int64_t r = 0; r < pass.rows(); ++r) {
      rows_of.multiply_curvature(outputs.at(r, 0).data, result.at(r, 0).data);
    }
  };
  mean_vjp(problem, theta, 0, problem.data.size(), control, product, cotangent);
}

std::int64_t last_hidden_width(const Network& network) { return network.width(network.depth() - 2); }

void last_hidden_values(ForwardPass& pass, const Network& network, std::int64_t first, std::int64_t rows, Matrix to) {
  pass.forward(first, rows, network.depth() - 1);
  const ConstMatrix values = pass.input(network.depth() - 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::copy_n(values.at(r, 0).data, last_hidden_width(network), to.at(r, 0).data);
  }
}

std::int64_t evaluate_bytes(const Problem& problem) {
  const std::int64_t workers = std::min<std::int64_t>(problem.threads, chunks(problem.data.size()));
  return 8 * workers * std::min(kChunk, problem.data.size()) * 2 * total_width(problem.network);
}

std::int64_t gradient_bytes(const Problem& problem) {
  const std::int64_t lanes = accumulators(problem.network, problem.data.size());
  return 2 * evaluate_bytes(problem) + 8 * lanes * problem.network.parameter_count();
}

}  // namespace lossatlas::cpu
