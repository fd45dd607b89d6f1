#include "cpu/hessian.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "check.hpp"
#include "cpu/cholesky.hpp"
#include "cpu/hessian_factors.hpp"
#include "parallel.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kTileColumns = 256;
constexpr double kItemFlop = 5e7;
constexpr double kSerialFlop = 1e6;  // less than this is done before a second thread has started
constexpr std::int64_t kMirror = 64;
constexpr std::int64_t kUnits = 64;  // units of the sparse rest in one item
// A product of inner width D reaches about D / (D + kThin) of the rate of a large one.
constexpr double kThin = 24;

/// The cheaper way. JᵀJ has the rank of all outputs, but it is one large product; it leaves out φ'' and residuals,
/// which are sparse when there is no more than one hidden layer.
HessianMethod choose_method(const Network& network, HessianPart part) {
  const std::vector<PlacedLayer> layers = placed_layers(network);
  if (part == HessianPart::full && layers.size() > 2) return HessianMethod::blocks;
  double blocks = 0;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const double rows = static_cast<double>(layers[k].parameters());
    const double price = 1 + kThin / static_cast<double>(layers[k].augmented());
    for (std::size_t l = k; l < layers.size(); ++l) {
      blocks += (l == k ? 1 : 2) * rows * static_cast<double>(layers[l].parameters()) * price;
    }
  }
  const auto parameters = static_cast<double>(network.parameter_count());
  const double jacobian = static_cast<double>(network.outputs()) * parameters * parameters;
  return jacobian <= blocks ? HessianMethod::jacobian : HessianMethod::blocks;
}

/// Unit i of layer k against units first..last−1 of layer l.
struct Tile {
  std::size_t k;
  std::size_t l;
  std::int64_t i;
  std::int64_t first;
  std::int64_t last;
};

/// Scratch of one thread.
struct Scratch {
  std::vector<double> bracket;  ///< (n; (p, q)) of one unit i
  std::vector<double> product;  ///< (j; (p, q))

  void reserve(std::int64_t samples, std::int64_t rows, std::int64_t columns) {
    bracket.resize(std::max(bracket.size(), static_cast<std::size_t>(samples * columns)));
    product.resize(std::max(product.size(), static_cast<std::size_t>(rows * columns)));
  }
};

std::vector<Tile> all_tiles(const std::vector<PlacedLayer>& layers) {
  std::vector<Tile> tiles;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    for (std::size_t l = k; l < layers.size(); ++l) {
      const std::int64_t step = std::max<std::int64_t>(1, kTileColumns / layers[l].augmented());
      for (std::int64_t i = 0; i < layers[k].layer.out; ++i) {
        for (std::int64_t p = k == l ? i : 0; p < layers[l].layer.out; p += step) {
          tiles.push_back({k, l, i, p, std::min(p + step, layers[l].layer.out)});
        }
      }
    }
  }
  return tiles;
}

/// Upper triangle of the Hessian, from one chunk after another.
class Assembly {
 public:
  Assembly(const Problem& problem, std::span<const double> theta, HessianPart part, Matrix sum)
      : problem_(problem),
        part_(part),
        method_(choose_method(problem.network, part)),
        factors_(problem, theta, part, method_),
        layers_(factors_.layers()),
        sum_(sum) {
    const auto size = static_cast<double>(problem.network.parameter_count());
    const bool small = size * size * static_cast<double>(problem.data.size()) < kSerialFlop;
    threads_ = small ? 1 : problem.threads;
    scratch_.resize(static_cast<std::size_t>(threads_));
    if (method_ == HessianMethod::blocks) cut_into_items();
  }

  int threads() const { return threads_; }

  void run(const Control& control) {
    const Control only_stop{{}, control.stop};
    const std::int64_t samples = problem_.data.size(), chunk = HessianFactors::capacity(problem_, method_);
    for (std::int64_t first = 0; first < samples; first += chunk) {
      check_stop(control);
      const std::int64_t rows = std::min(chunk, samples - first);
      factors_.compute(first, rows, threads_);
      if (method_ == HessianMethod::jacobian) {
        add_gram(problem_.network.parameter_count(), rows * problem_.network.outputs(), factors_.jacobian(), sum_,
                 threads_, only_stop);
        if (part_ == HessianPart::full) add_sparse_rest(only_stop);
      } else {
        add_blocks(only_stop);
      }
      if (control.progress) control.progress({"hessian", first + rows, samples});
    }
  }

 private:
  void cut_into_items() {
    tiles_ = all_tiles(layers_);
    double flop = 0;
    for (std::size_t t = 0; t < tiles_.size(); ++t) {
      const Tile& tile = tiles_[t];
      if (t == 0 || flop > kItemFlop) {
        items_.push_back(t);
        flop = 0;
      }
      flop += 2.0 * static_cast<double>(HessianFactors::capacity(problem_, method_) * layers_[tile.k].augmented() *
                                        (tile.last - tile.first) * layers_[tile.l].augmented());
    }
    items_.push_back(tiles_.size());
  }

  void add_blocks(const Control& control) {
    parallel_for(static_cast<std::int64_t>(items_.size()) - 1, threads_, control, "",
                 [&](std::int64_t item, int thread) {
                   for (std::size_t t = items_[static_cast<std::size_t>(item)];
                        t < items_[static_cast<std::size_t>(item) + 1]; ++t) {
                     add_tile(tiles_[t], scratch_[static_cast<std::size_t>(thread)]);
                   }
                 });
  }

  void add_tile(const Tile& tile, Scratch& scratch) {
    const std::int64_t samples = factors_.rows(), rows = layers_[tile.k].augmented();
    const std::int64_t columns = (tile.last - tile.first) * layers_[tile.l].augmented();
    scratch.reserve(samples, rows, columns);
    fill_bracket(tile, scratch.bracket.data());
    gemm(Op::transpose, Op::none, rows, columns, samples, 1, {factors_.input(tile.k, 0), rows},
         {scratch.bracket.data(), columns}, 0, {scratch.product.data(), columns});
    const double* product = scratch.product.data();
    for (std::int64_t j = 0; j < rows; ++j) {
      for (std::int64_t p = tile.first; p < tile.last; ++p, product += layers_[tile.l].augmented()) {
        add_row(tile, j, p, product);
      }
    }
  }

  /// S_kl[i,p] ã[q] + 1{k<l} δ_l[p] J_{l−1,k}[q,i].
  void fill_bracket(const Tile& tile, double* bracket) const {
    const auto [k, l, i, first, last] = tile;
    const std::int64_t below = layers_[k].layer.out, in = layers_[l].layer.in, augmented = layers_[l].augmented();
    const bool has_rest = part_ == HessianPart::full && k < l;
    for (std::int64_t n = 0; n < factors_.rows(); ++n) {
      const double* curvature = factors_.curvature(k, l, n);
      const double* input = factors_.input(l, n);
      const double* delta = factors_.delta(l, n);
      for (std::int64_t p = first; p < last; ++p, bracket += augmented) {
        const double s = curvature[p * below + i];
        for (std::int64_t q = 0; q < augmented; ++q) bracket[q] = s * input[q];
        if (!has_rest) continue;
        if (l == k + 1) {
          bracket[i] += delta[p] * factors_.slope(k, n)[i];
        } else {
          const double* sensitivity = factors_.sensitivity(k, l - 1, n) + i * in;
          for (std::int64_t q = 0; q < in; ++q) bracket[q] += delta[p] * sensitivity[q];
        }
      }
    }
  }

  /// Adds values (D_l) to H[(k; i,j), (l; p,·)]. Only the upper triangle counts: what falls below it is overwritten.
  void add_row(const Tile& tile, std::int64_t j, std::int64_t p, const double* values) {
    const PlacedLayer& k = layers_[tile.k];
    const PlacedLayer& l = layers_[tile.l];
    const std::int64_t in = l.layer.in;
    const bool is_bias = j == k.layer.in, same_unit = tile.k == tile.l && p == tile.i;
    const std::int64_t row = k.at(tile.i, j);
    if (is_bias && tile.k == tile.l && !same_unit) {
      for (std::int64_t q = 0; q < in; ++q) *sum_.at(l.weight + p * in + q, row).data += values[q];
    } else {
      double* target = sum_.at(row, l.weight + p * in).data;
      for (std::int64_t q = 0; q < in; ++q) target[q] += values[q];
    }
    if (l.layer.bias) *sum_.at(row, l.bias + p).data += values[in];
  }

  /// What JᵀJ leaves out of the Hessian with one hidden layer: φ'' in its own block and residuals between the two
  /// layers, each only where both parameters meet in one hidden unit.
  void add_sparse_rest(const Control& control) {
    if (layers_.size() < 2) return;
    const std::int64_t units = layers_[0].layer.out;
    parallel_for((units + kUnits - 1) / kUnits, threads_, control, "", [&](std::int64_t item, int thread) {
      for (std::int64_t i = item * kUnits; i < std::min(units, (item + 1) * kUnits); ++i) {
        add_unit_rest(i, scratch_[static_cast<std::size_t>(thread)]);
      }
    });
  }

  void add_unit_rest(std::int64_t i, Scratch& scratch) {
    const std::int64_t samples = factors_.rows(), rows = layers_[0].augmented(), outputs = layers_[1].layer.out;
    const std::int64_t columns = rows + outputs;
    scratch.reserve(samples, rows, columns);
    double* bracket = scratch.bracket.data();
    for (std::int64_t n = 0; n < samples; ++n, bracket += columns) {
      for (std::int64_t q = 0; q < rows; ++q) bracket[q] = factors_.bend(0, n)[i] * factors_.input(0, n)[q];
      for (std::int64_t p = 0; p < outputs; ++p) {
        bracket[rows + p] = factors_.slope(0, n)[i] * factors_.delta(1, n)[p];
      }
    }
    gemm(Op::transpose, Op::none, rows, columns, samples, 1, {factors_.input(0, 0), rows},
         {scratch.bracket.data(), columns}, 0, {scratch.product.data(), columns});
    for (std::int64_t j = 0; j < rows; ++j) {
      const double* product = scratch.product.data() + j * columns;
      add_row({0, 0, i, i, i + 1}, j, i, product);
      for (std::int64_t p = 0; p < outputs; ++p) {
        *sum_.at(layers_[0].at(i, j), layers_[1].at(p, i)).data += product[rows + p];
      }
    }
  }

  const Problem& problem_;
  HessianPart part_;
  HessianMethod method_;
  HessianFactors factors_;
  const std::vector<PlacedLayer>& layers_;
  Matrix sum_;
  int threads_ = 1;
  std::vector<Tile> tiles_;
  std::vector<std::size_t> items_;  ///< first tile of each item, and the end
  std::vector<Scratch> scratch_;
};

/// Scales the upper triangle and copies it to the lower one.
void scale_and_mirror(std::int64_t size, double scale, Matrix matrix, int threads) {
  parallel_for((size + kMirror - 1) / kMirror, threads, [&](std::int64_t band, int) {
    const std::int64_t top = band * kMirror, bottom = std::min(size, top + kMirror);
    for (std::int64_t left = top; left < size; left += kMirror) {
      for (std::int64_t r = top; r < bottom; ++r) {
        for (std::int64_t c = std::max(left, r); c < std::min(size, left + kMirror); ++c) {
          *matrix.at(c, r).data = *matrix.at(r, c).data *= scale;
        }
      }
    }
  });
}

}  // namespace

void hessian(const Problem& problem, std::span<const double> theta, HessianPart part, const Control& control,
             std::span<double> hessian) {
  const std::int64_t size = problem.network.parameter_count();
  require(static_cast<std::int64_t>(theta.size()) == size, "hessian", "received ", theta.size(),
          " parameters, expected ", size);
  require(static_cast<std::int64_t>(hessian.size()) == size * size, "hessian", "received a result with ",
          hessian.size(), " entries, expected ", size * size);
  const SingleThreadedBlas guard;
  const Matrix sum{hessian.data(), size};
  Assembly assembly(problem, theta, part, sum);
  parallel_for(size, assembly.threads(), [&](std::int64_t r, int) { std::fill_n(sum.at(r, 0).data, size, 0.0); });
  assembly.run(control);
  const double weight = problem.loss == Loss::mean_squared_error ? 2 : 1;
  scale_and_mirror(size, weight / static_cast<double>(problem.data.size()), sum, assembly.threads());
}

std::int64_t hessian_bytes(const Problem& problem, HessianPart part) {
  return HessianFactors::bytes(problem, choose_method(problem.network, part));
}

}  // namespace lossatlas::cpu
