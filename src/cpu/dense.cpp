#include "cpu/dense.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "cpu/layers.hpp"
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
  for (const Layer& layer : network.layers()) sum += width(layer);
  return sum;
}

/// Forward, tangent and backward passes over one chunk at a time, with their memory.
class Pass {
 public:
  Pass(const Problem& problem, std::span<const double> theta, const Control& control)
      : network_(problem.network), data_(problem.data), theta_(theta), control_(control) {
    capacity_ = std::min(kChunk, data_.size());
    for (const Layer& layer : network_.layers()) {
      widest_ = std::max(widest_, width(layer));
      pre_.emplace_back(static_cast<std::size_t>(capacity_ * width(layer)));
      post_.emplace_back(pre_.back().size());
    }
  }

  /// All activations for samples first..first+rows−1.
  void forward_pass(std::int64_t first, std::int64_t rows) {
    first_ = first;
    rows_ = rows;
    for (std::size_t l = 0; l < layers(); ++l) {
      check_stop(control_);
      const Layer& layer = network_.layers()[l];
      std::visit([&](const auto& one) { forward(one, view(l), rows, below(l), pre(l)); }, layer);
      apply(activation(layer), rows * width(layer), pre_[l].data(), post_[l].data());
    }
  }

  Matrix outputs() { return {post_.back().data(), network_.outputs()}; }

  /// J v (rows, H·C) at the activations of the last forward pass.
  Matrix tangent_pass(std::span<const double> v) {
    reserve_deltas();
    Matrix tangent{nullptr, 0};
    for (std::size_t l = 0; l < layers(); ++l) {
      check_stop(control_);
      const Layer& layer = network_.layers()[l];
      const Matrix next = delta_for(l);
      const LayerView<const double> direction = network_.view(v, static_cast<std::int64_t>(l));
      std::visit([&](const auto& one) { forward(one, direction, rows_, below(l), next); }, layer);
      if (l > 0) {
        std::visit([&](const auto& one) { add_image(one, view(l), rows_, tangent, next); }, layer);
      }
      multiply_slope(activation(layer), rows_ * width(layer), pre_[l].data(), next.data);
      tangent = next;
    }
    return tangent;
  }

  /// Memory (rows, H·C) for the cotangent that backward_pass() reads; tangent_pass() leaves its result there.
  Matrix cotangent() {
    reserve_deltas();
    return delta_for(layers() - 1);
  }

  /// sum (M) += Jᵀ cotangent.
  void backward_pass(std::span<double> sum) {
    for (std::size_t l = layers(); l-- > 0;) {
      check_stop(control_);
      const Layer& layer = network_.layers()[l];
      const Matrix delta = delta_for(l);
      multiply_slope(activation(layer), rows_ * width(layer), pre_[l].data(), delta.data);
      const LayerView<double> gradient = network_.view(sum, static_cast<std::int64_t>(l));
      std::visit([&](const auto& one) { pull_to_parameters(one, rows_, delta, below(l), gradient); }, layer);
      if (l == 0) break;
      std::visit([&](const auto& one) { pull_to_input(one, view(l), rows_, delta, 0, delta_for(l - 1)); }, layer);
    }
  }

 private:
  std::size_t layers() const { return network_.layers().size(); }
  LayerView<const double> view(std::size_t l) const { return network_.view(theta_, static_cast<std::int64_t>(l)); }
  Matrix pre(std::size_t l) { return {pre_[l].data(), width(network_.layers()[l])}; }
  ConstMatrix below(std::size_t l) const {
    if (l == 0) return {data_.inputs().data() + first_ * data_.features(), data_.features()};
    return {post_[l - 1].data(), width(network_.layers()[l - 1])};
  }
  void reserve_deltas() {
    for (auto& delta : deltas_) delta.resize(static_cast<std::size_t>(capacity_ * widest_));
  }
  Matrix delta_for(std::size_t l) { return {deltas_[l % 2].data(), width(network_.layers()[l])}; }

  const Network& network_;
  const Dataset& data_;
  std::span<const double> theta_;
  const Control& control_;
  std::vector<std::vector<double>> pre_;   ///< z_l (rows, m_l)
  std::vector<std::vector<double>> post_;  ///< a_l (rows, m_l)
  std::vector<double> deltas_[2];          ///< of layers with even and odd index
  std::int64_t capacity_ = 0;
  std::int64_t widest_ = 0;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
};

/// One Pass a thread, made when the thread first works.
class Passes {
 public:
  Passes(const Problem& problem, std::span<const double> theta, const Control& control)
      : problem_(problem), theta_(theta), control_(control), passes_(static_cast<std::size_t>(problem.threads)) {}
  Pass& of(int thread) {
    auto& pass = passes_[static_cast<std::size_t>(thread)];
    if (!pass) pass = std::make_unique<Pass>(problem_, theta_, control_);
    return *pass;
  }

 private:
  const Problem& problem_;
  std::span<const double> theta_;
  const Control& control_;
  std::vector<std::unique_ptr<Pass>> passes_;
};

/// Reports samples as threads finish them.
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

/// result (M) = mean over samples first..last−1 of Jᵀ of what `cotangent(pass, first, rows)` leaves in
/// pass.cotangent(). Chunk c goes to accumulator c mod A, in order, and the accumulators are added in order.
template <class Cotangent>
void mean_pull_back(const Problem& problem, std::span<const double> theta, std::int64_t first, std::int64_t last,
                    const Control& control, std::span<double> result, Cotangent&& cotangent) {
  const SingleThreadedBlas guard;
  const Control only_stop{{}, control.stop};
  const std::int64_t parameters = problem.network.parameter_count();
  const std::int64_t lanes = accumulators(problem.network, last - first);
  std::vector<double> sums(static_cast<std::size_t>(lanes * parameters));
  Passes passes(problem, theta, control);
  SampleProgress progress(control, last - first);
  parallel_for(lanes, problem.threads, only_stop, "", [&](std::int64_t lane, int thread) {
    Pass& pass = passes.of(thread);
    const std::span<double> sum(sums.data() + lane * parameters, static_cast<std::size_t>(parameters));
    for (std::int64_t begin = first + lane * kChunk; begin < last; begin += lanes * kChunk) {
      const std::int64_t rows = std::min(kChunk, last - begin);
      pass.forward_pass(begin, rows);
      cotangent(pass, begin, rows);
      pass.backward_pass(sum);
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
  Passes passes(problem, theta, control);
  SampleProgress progress(control, samples);
  parallel_for(count, problem.threads, {{}, control.stop}, "", [&](std::int64_t chunk, int thread) {
    const std::int64_t first = chunk * kChunk, rows = std::min(kChunk, samples - first);
    Pass& pass = passes.of(thread);
    pass.forward_pass(first, rows);
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
  const LossRows rows_of(problem.loss, problem.data, problem.network.heads(), problem.network.outputs_per_head());
  const auto cotangent = [&](Pass& pass, std::int64_t begin, std::int64_t rows) {
    const Matrix outputs = pass.outputs(), of_outputs = pass.cotangent();
    for (std::int64_t r = 0; r < rows; ++r) {
      rows_of.gradient(outputs.at(r, 0).data, begin + r, of_outputs.at(r, 0).data);
    }
  };
  mean_pull_back(problem, theta, first, last, control, gradient, cotangent);
}

void gauss_newton_product(const Problem& problem, std::span<const double> theta, std::span<const double> v,
                          const Control& control, std::span<double> product) {
  require_parameters(problem, theta.size(), "gauss_newton_product", "theta");
  require_parameters(problem, v.size(), "gauss_newton_product", "v");
  require_parameters(problem, product.size(), "gauss_newton_product", "a result");
  const LossRows rows_of(problem.loss, problem.data, problem.network.heads(), problem.network.outputs_per_head());
  const auto cotangent = [&](Pass& pass, std::int64_t, std::int64_t rows) {
    const Matrix outputs = pass.outputs(), tangent = pass.tangent_pass(v);
    for (std::int64_t r = 0; r < rows; ++r) {
      rows_of.multiply_curvature(outputs.at(r, 0).data, tangent.at(r, 0).data);
    }
  };
  mean_pull_back(problem, theta, 0, problem.data.size(), control, product, cotangent);
}

std::int64_t feature_count(const Network& network) {
  return network.depth() == 1 ? network.inputs() : width(network.layers()[network.layers().size() - 2]);
}

void hidden_features(const Network& network, std::span<const double> theta, const Dataset& data, std::int64_t first,
                     std::int64_t rows, Matrix features) {
  std::vector<double> buffers[2];
  ConstMatrix below{data.inputs().data() + first * data.features(), data.features()};
  const std::size_t hidden = network.layers().size() - 1;
  if (hidden == 0) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(below.at(r, 0).data, data.features(), features.at(r, 0).data);
    }
  }
  for (std::size_t l = 0; l < hidden; ++l) {
    const Layer& layer = network.layers()[l];
    Matrix next = features;
    if (l + 1 < hidden) {
      buffers[l % 2].resize(static_cast<std::size_t>(rows * width(layer)));
      next = {buffers[l % 2].data(), width(layer)};
    }
    const LayerView<const double> view = network.view(theta, static_cast<std::int64_t>(l));
    std::visit([&](const auto& one) { forward(one, view, rows, below, next); }, layer);
    for (std::int64_t r = 0; r < rows; ++r) {
      double* row = next.at(r, 0).data;
      apply(activation(layer), width(layer), row, row);
    }
    below = next;
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
