// Products with the Hessian, forward over reverse. With a prime for the derivative along v = (V_l, v_l):
//
//   z'_l = V_l a_{l−1} + v_l + W_l a'_{l−1},   a'_l = φ'(z_l) z'_l,   δ'_L = ∇²ℓ z'_L,
//   δ'_l = φ'(z_l) (W_{l+1}ᵀ δ'_{l+1} + V_{l+1}ᵀ δ_{l+1}) + φ''(z_l) z'_l W_{l+1}ᵀ δ_{l+1},
//   (H v)_l = mean_n δ'_l [a_{l−1}, 1]ᵀ + δ_l [a'_{l−1}, 0]ᵀ;   the Gauss–Newton part is the same with δ = 0.
#include <algorithm>
#include <memory>
#include <variant>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "cpu/hessian.hpp"
#include "cpu/layers.hpp"
#include "cpu/loss_rows.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kBatch = 64;                            // vectors that run together
constexpr std::int64_t kSumEntries = std::int64_t{1} << 24;    // of all lanes for one vector
constexpr std::int64_t kBatchEntries = std::int64_t{1} << 27;  // of all lanes for a batch: 1 GiB
constexpr std::int64_t kReducePiece = std::int64_t{1} << 14;

/// Sums over samples: chunk c goes to lane c mod lanes, in order.
std::int64_t lane_count(const Problem& problem) {
  const std::int64_t chunks = (problem.data.size() + kChunk - 1) / kChunk;
  const std::int64_t fit = kSumEntries / problem.network.parameter_count();
  return std::clamp<std::int64_t>(std::min(fit, chunks), 1, kLanes);
}

std::int64_t batch_size(const Problem& problem) {
  return std::clamp<std::int64_t>(kBatchEntries / (lane_count(problem) * problem.network.parameter_count()), 1, kBatch);
}

/// The passes over one chunk, with their memory.
class ProductPass {
 public:
  ProductPass(const Problem& problem, std::span<const double> theta, HessianPart part)
      : network_(problem.network),
        data_(problem.data),
        theta_(theta),
        full_(part == HessianPart::full),
        loss_rows_(problem.loss, data_, network_.heads(), network_.outputs_per_head()) {
    std::int64_t widest = 0;
    const std::int64_t capacity = std::min(kChunk, data_.size());
    for (const Layer& layer : network_.layers()) {
      widest = std::max(widest, width(layer));
      for (auto* values : {&pre_, &post_, &slope_, &delta_, &bend_, &pre_tangent_, &post_tangent_}) {
        values->emplace_back(static_cast<std::size_t>(capacity * width(layer)));
      }
    }
    for (auto& values : cotangent_) values.resize(static_cast<std::size_t>(capacity * widest));
  }

  /// a_l, φ'(z_l) and, for the whole Hessian, δ_l and φ''(z_l) W_{l+1}ᵀ δ_{l+1}, for samples first..first+rows−1.
  void prepare(std::int64_t first, std::int64_t rows) {
    first_ = first;
    rows_ = rows;
    for (std::size_t l = 0; l < layers(); ++l) {
      const std::int64_t count = rows * out(l);
      std::visit([&](const auto& one) { forward(one, view(l), rows, below(l), of(pre_, l)); }, layer(l));
      apply(activation(layer(l)), count, pre_[l].data(), post_[l].data());
      std::fill_n(slope_[l].begin(), count, 1.0);
      multiply_slope(activation(layer(l)), count, pre_[l].data(), slope_[l].data());
    }
    if (full_) prepare_residuals();
  }

  /// sum (M) += (H v)·rows over the prepared samples.
  void add_product(std::span<const double> v, std::span<double> sum) {
    tangent_pass(v);
    const std::size_t last = layers() - 1;
    std::copy_n(pre_tangent_[last].begin(), rows_ * out(last), cotangent_[last % 2].begin());
    for (std::int64_t r = 0; r < rows_; ++r) {
      loss_rows_.multiply_curvature(of(post_, last).at(r, 0).data, cotangent(last).at(r, 0).data);
    }
    for (std::size_t l = last;; --l) {
      const LayerView<double> result = network_.view(sum, static_cast<std::int64_t>(l));
      std::visit([&](const auto& one) { pull_to_parameters(one, rows_, cotangent(l), below(l), result); }, layer(l));
      if (l == 0) return;
      if (full_) {
        std::visit(
            [&](const auto& one) { pull_to_weights(one, rows_, of(delta_, l), of(post_tangent_, l - 1), result); },
            layer(l));
      }
      lower_cotangent(v, l);
    }
  }

 private:
  std::size_t layers() const { return network_.layers().size(); }
  const Layer& layer(std::size_t l) const { return network_.layers()[l]; }
  std::int64_t out(std::size_t l) const { return width(layer(l)); }
  LayerView<const double> view(std::size_t l) const { return network_.view(theta_, static_cast<std::int64_t>(l)); }
  Matrix of(std::vector<std::vector<double>>& values, std::size_t l) const { return {values[l].data(), out(l)}; }
  Matrix cotangent(std::size_t l) { return {cotangent_[l % 2].data(), out(l)}; }
  ConstMatrix below(std::size_t l) const {
    if (l == 0) return {data_.inputs().data() + first_ * data_.features(), data_.features()};
    return {post_[l - 1].data(), out(l - 1)};
  }

  void prepare_residuals() {
    const std::size_t last = layers() - 1;
    for (std::int64_t r = 0; r < rows_; ++r) {
      loss_rows_.gradient(of(post_, last).at(r, 0).data, first_ + r, of(delta_, last).at(r, 0).data);
    }
    for (std::size_t l = last; l-- > 0;) {
      const std::int64_t count = rows_ * out(l);
      std::visit([&](const auto& one) { pull_to_input(one, view(l + 1), rows_, of(delta_, l + 1), 0, of(delta_, l)); },
                 layer(l + 1));
      std::copy_n(delta_[l].begin(), count, bend_[l].begin());
      multiply_bend(activation(layer(l)), count, pre_[l].data(), post_[l].data(), slope_[l].data(), bend_[l].data());
      multiply(count, slope_[l].data(), delta_[l].data());
    }
  }

  void tangent_pass(std::span<const double> v) {
    for (std::size_t l = 0; l < layers(); ++l) {
      const LayerView<const double> direction = network_.view(v, static_cast<std::int64_t>(l));
      const Matrix tangent = of(pre_tangent_, l);
      std::visit([&](const auto& one) { forward(one, direction, rows_, below(l), tangent); }, layer(l));
      if (l > 0) {
        std::visit([&](const auto& one) { add_image(one, view(l), rows_, of(post_tangent_, l - 1), tangent); },
                   layer(l));
      }
      std::copy_n(pre_tangent_[l].begin(), rows_ * out(l), post_tangent_[l].begin());
      multiply(rows_ * out(l), slope_[l].data(), post_tangent_[l].data());
    }
  }

  /// δ'_{l−1} from δ'_l.
  void lower_cotangent(std::span<const double> v, std::size_t l) {
    const LayerView<const double> direction = network_.view(v, static_cast<std::int64_t>(l));
    const Matrix lower = cotangent(l - 1);
    const std::int64_t count = rows_ * out(l - 1);
    std::visit([&](const auto& one) { pull_to_input(one, view(l), rows_, cotangent(l), 0, lower); }, layer(l));
    if (full_) {
      std::visit([&](const auto& one) { pull_to_input(one, direction, rows_, of(delta_, l), 1, lower); }, layer(l));
    }
    multiply(count, slope_[l - 1].data(), lower.data);
    if (!full_) return;
    const std::vector<double>& bend = bend_[l - 1];
    const std::vector<double>& tangent = pre_tangent_[l - 1];
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) lower.data[i] += bend[i] * tangent[i];
  }

  const Network& network_;
  const Dataset& data_;
  std::span<const double> theta_;
  bool full_;
  LossRows loss_rows_;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
  std::vector<std::vector<double>> pre_, post_, slope_, delta_, bend_, pre_tangent_, post_tangent_;  ///< (rows, m_l)
  std::vector<double> cotangent_[2];  ///< δ' of layers with even and odd index
};

/// Vectors first..first+count−1 of one call.
struct Batch {
  std::int64_t first;
  std::int64_t count;
};

class Products {
 public:
  Products(const Problem& problem, std::span<const double> theta, HessianPart part, std::span<const double> vectors,
           std::span<double> products)
      : problem_(problem),
        theta_(theta),
        part_(part),
        vectors_(vectors),
        products_(products),
        size_(problem.network.parameter_count()),
        lanes_(lane_count(problem)),
        passes_(static_cast<std::size_t>(problem.threads)) {}

  /// Looks for a stop request between chunks; `quiet` reports no progress.
  void run(Batch batch, const Control& quiet) {
    sums_.assign(static_cast<std::size_t>(lanes_ * batch.count * size_), 0.0);
    // Vectors of one group share a forward and a backward pass; a product's bits do not depend on its group.
    const std::int64_t group = std::max<std::int64_t>(1, batch.count * lanes_ / problem_.threads);
    const std::int64_t groups = (batch.count + group - 1) / group;
    parallel_for(groups * lanes_, problem_.threads, quiet, "", [&](std::int64_t item, int thread) {
      auto& pass = passes_[static_cast<std::size_t>(thread)];
      if (!pass) pass = std::make_unique<ProductPass>(problem_, theta_, part_);
      const std::int64_t first = item / lanes_ * group;
      add_lane(batch, first, std::min(batch.count, first + group), item % lanes_, quiet, *pass);
    });
    const std::int64_t entries = batch.count * size_;
    parallel_for((entries + kReducePiece - 1) / kReducePiece, problem_.threads, [&](std::int64_t piece, int) {
      for (std::int64_t e = piece * kReducePiece; e < std::min(entries, (piece + 1) * kReducePiece); ++e) {
        double sum = 0;
        for (std::int64_t lane = 0; lane < lanes_; ++lane) sum += sums_[static_cast<std::size_t>(lane * entries + e)];
        products_[static_cast<std::size_t>(batch.first * size_ + e)] = sum / static_cast<double>(problem_.data.size());
      }
    });
  }

 private:
  void add_lane(Batch batch, std::int64_t begin, std::int64_t end, std::int64_t lane, const Control& quiet,
                ProductPass& pass) {
    const auto size = static_cast<std::size_t>(size_);
    const std::int64_t samples = problem_.data.size();
    for (std::int64_t first = lane * kChunk; first < samples; first += lanes_ * kChunk) {
      check_stop(quiet);
      pass.prepare(first, std::min(kChunk, samples - first));
      for (std::int64_t v = begin; v < end; ++v) {
        pass.add_product({vectors_.data() + (batch.first + v) * size_, size},
                         {sums_.data() + (lane * batch.count + v) * size_, size});
      }
    }
  }

  const Problem& problem_;
  std::span<const double> theta_;
  HessianPart part_;
  std::span<const double> vectors_;
  std::span<double> products_;
  std::int64_t size_;
  std::int64_t lanes_;
  std::vector<double> sums_;  ///< (lanes, vectors of the batch, M)
  std::vector<std::unique_ptr<ProductPass>> passes_;
};

}  // namespace

void hessian_products(const Problem& problem, std::span<const double> theta, HessianPart part,
                      std::span<const double> vectors, const Control& control, std::span<double> products) {
  const std::int64_t size = problem.network.parameter_count();
  require(static_cast<std::int64_t>(theta.size()) == size, "hessian_products", "received ", theta.size(),
          " parameters, expected ", size);
  require(static_cast<std::int64_t>(vectors.size()) % size == 0 && vectors.size() == products.size(),
          "hessian_products", "received ", vectors.size(), " entries of vectors and ", products.size(),
          " of products, expected equal multiples of ", size);
  const SingleThreadedBlas guard;
  const std::int64_t count = static_cast<std::int64_t>(vectors.size()) / size, step = batch_size(problem);
  Products all(problem, theta, part, vectors, products);
  for (std::int64_t first = 0; first < count; first += step) {
    const std::int64_t members = std::min(step, count - first);
    all.run({first, members}, {.progress = {}, .stop = control.stop});
    if (control.progress) control.progress({"products", first + members, count});
  }
}

std::int64_t hessian_products_bytes(const Problem& problem, std::int64_t vectors) {
  const std::int64_t batch = std::min(vectors, batch_size(problem));
  std::int64_t widths = 0, widest = 0;
  for (const Layer& layer : problem.network.layers()) {
    widths += width(layer);
    widest = std::max(widest, width(layer));
  }
  const std::int64_t pass = std::min(kChunk, problem.data.size()) * (7 * widths + 2 * widest);
  return 8 * (lane_count(problem) * batch * problem.network.parameter_count() + problem.threads * pass);
}

}  // namespace lossatlas::cpu
