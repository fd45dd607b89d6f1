#include "cpu/hessian.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cpu/elementwise.hpp"
#include "cpu/hessian_factors.hpp"
#include "cpu/scratch.hpp"
#include "linalg/cholesky.hpp"
#include "model/graph.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kSubblockColumns = 256;
constexpr double kItemFlop = 5e7;
constexpr double kSerialFlop = 1e6;  // less than this is done before a second thread has started
constexpr std::int64_t kMirror = 64;
constexpr std::int64_t kUnitVectors = 64;  // products at a time where there are no factors
constexpr std::int64_t kUnits = 128;       // units of the sparse rest in one item
// A product of inner width d reaches about d / (d + kThin) of the rate of a large one.
constexpr double kThin = 24;

/// Chooses the cheaper method. JᵀJ sums over all outputs, but it is one large product. It leaves out φ'' and the
/// residuals, which are sparse if there is at most one hidden layer.
HessianMethod choose_method(const Network& network, HessianPart part) {
  const std::vector<PlacedLayer> layers = placed_layers(network);
  if (part == HessianPart::full && layers.size() > 2) return HessianMethod::blocks;
  double blocks = 0, above = 0;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    const auto rows = static_cast<double>(layer->parameters());
    blocks += rows * (rows + 2 * above) * (1 + kThin / static_cast<double>(layer->augmented()));
    above += rows;
  }
  const auto parameters = static_cast<double>(network.parameter_count());
  const double jacobian = static_cast<double>(network.outputs()) * parameters * parameters;
  return jacobian <= blocks ? HessianMethod::jacobian : HessianMethod::blocks;
}

/// Unit i of layer k against units first..last−1 of layer l.
struct Subblock {
  std::size_t k;
  std::size_t l;
  std::int64_t i;
  std::int64_t first;
  std::int64_t last;
};

/// What the φ'' terms, or the residuals, of units first..last−1 of one hidden layer add at `count` pairs.
struct Rest {
  bool bend;
  std::int64_t first;
  std::int64_t last;
  std::int64_t row;  ///< the first pair: inputs (j, q) for φ'', output and input (p, j) for the residuals
  std::int64_t column;
  std::int64_t count;
};

/// The memory of one thread.
struct Workspace {
  Scratch bracket;  ///< (n; (p, q)) of one unit i, or (n; pairs)
  Scratch product;  ///< (j; (p, q)), or (units; pairs)

  void reserve(std::int64_t bracket_entries, std::int64_t product_entries) {
    if (bracket.size() < bracket_entries) bracket = Scratch(bracket_entries);
    if (product.size() < product_entries) product = Scratch(product_entries);
  }
};

std::vector<Subblock> all_subblocks(const std::vector<PlacedLayer>& layers) {
  std::vector<Subblock> subblocks;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    for (std::size_t l = k; l < layers.size(); ++l) {
      const std::int64_t step = std::max<std::int64_t>(1, kSubblockColumns / layers[l].augmented());
      for (std::int64_t i = 0; i < layers[k].layer.out; ++i) {
        for (std::int64_t p = k == l ? i : 0; p < layers[l].layer.out; p += step) {
          subblocks.push_back({k, l, i, p, std::min(p + step, layers[l].layer.out)});
        }
      }
    }
  }
  return subblocks;
}

/// Sums the upper triangle of the Hessian over one chunk after another.
class Assembly {
 public:
  Assembly(const Problem& problem, std::span<const double> theta, HessianPart part, Matrix sum)
      : problem_(problem),
        part_(part),
        method_(choose_method(problem.network, part)),
        factors_(problem, theta, part, method_),
        chunk_(factors_.chunk()),
        layers_(chunk_.layers()),
        sum_(sum) {
    const auto size = static_cast<double>(problem.network.parameter_count());
    const bool small = size * size * static_cast<double>(problem.data.size()) < kSerialFlop;
    threads_ = small ? 1 : problem.threads;
    scratch_.resize(static_cast<std::size_t>(threads_));
    if (method_ == HessianMethod::blocks) {
      cut_into_items();
    } else if (part_ == HessianPart::full) {
      cut_rest_into_items();
    }
  }

  int threads() const { return threads_; }

  void run(const Control& control) {
    const Control only_stop{{}, control.stop};
    const std::int64_t samples = problem_.data.size(), chunk = chunk_.samples();
    for (std::int64_t first = 0; first < samples; first += chunk) {
      check_stop(control);
      const std::int64_t rows = std::min(chunk, samples - first);
      factors_.compute(first, rows, threads_, only_stop);
      if (method_ == HessianMethod::jacobian) {
        add_gram(problem_.network.parameter_count(), rows * problem_.network.outputs(), chunk_.jacobian(), sum_,
                 threads_, only_stop);
        if (!rests_.empty()) add_sparse_rest(only_stop);
      } else {
        add_blocks(only_stop);
      }
      if (control.progress) control.progress({"hessian", first + rows, samples});
    }
  }

 private:
  void cut_into_items() {
    subblocks_ = all_subblocks(layers_);
    double flop = 0;
    for (std::size_t t = 0; t < subblocks_.size(); ++t) {
      const Subblock& subblock = subblocks_[t];
      if (t == 0 || flop > kItemFlop) {
        items_.push_back(t);
        flop = 0;
      }
      flop += 2.0 * static_cast<double>(chunk_.samples() * layers_[subblock.k].augmented() *
                                        (subblock.last - subblock.first) * layers_[subblock.l].augmented());
    }
    items_.push_back(subblocks_.size());
  }

  void add_blocks(const Control& control) {
    parallel_for(static_cast<std::int64_t>(items_.size()) - 1, threads_, control, "",
                 [&](std::int64_t item, int thread) {
                   for (std::size_t t = items_[static_cast<std::size_t>(item)];
                        t < items_[static_cast<std::size_t>(item) + 1]; ++t) {
                     add_subblock(subblocks_[t], scratch_[static_cast<std::size_t>(thread)]);
                   }
                 });
  }

  void add_subblock(const Subblock& subblock, Workspace& scratch) {
    const std::int64_t samples = factors_.rows(), rows = layers_[subblock.k].augmented();
    const std::int64_t columns = (subblock.last - subblock.first) * layers_[subblock.l].augmented();
    scratch.reserve(samples * columns, rows * columns);
    fill_bracket(subblock, scratch.bracket.data());
    gemm(Op::transpose, Op::none, rows, columns, samples, 1, {chunk_.input(subblock.k, 0), rows},
         {scratch.bracket.data(), columns}, 0, {scratch.product.data(), columns});
    const double* product = scratch.product.data();
    for (std::int64_t j = 0; j < rows; ++j) {
      for (std::int64_t p = subblock.first; p < subblock.last; ++p, product += layers_[subblock.l].augmented()) {
        add_row(subblock, j, p, product);
      }
    }
  }

  /// S_kl[i,p] ã[q] + 1{k<l} δ_l[p] J_{l−1,k}[q,i].
  void fill_bracket(const Subblock& subblock, double* bracket) const {
    const auto [k, l, i, first, last] = subblock;
    const std::int64_t below = layers_[k].layer.out, in = layers_[l].layer.in, augmented = layers_[l].augmented();
    const bool has_rest = part_ == HessianPart::full && k < l;
    for (std::int64_t n = 0; n < factors_.rows(); ++n) {
      const double* curvature = chunk_.curvature(k, l, n);
      const double* input = chunk_.input(l, n);
      const double* delta = chunk_.delta(l, n);
      for (std::int64_t p = first; p < last; ++p, bracket += augmented) {
        scale(augmented, curvature[p * below + i], input, bracket);
        if (!has_rest) continue;
        if (l == k + 1) {
          bracket[i] += delta[p] * chunk_.slope(k, n)[i];
        } else {
          add_scaled(in, delta[p], chunk_.sensitivity(k, l - 1, n) + i * in, bracket);
        }
      }
    }
  }

  /// Adds values (d_l) to H[(k; i,j), (l; p,·)]. Only the upper triangle counts; what falls below it is overwritten
  /// later.
  void add_row(const Subblock& subblock, std::int64_t j, std::int64_t p, const double* values) {
    const PlacedLayer& k = layers_[subblock.k];
    const PlacedLayer& l = layers_[subblock.l];
    const std::int64_t in = l.layer.in;
    const bool is_bias = j == k.layer.in, same_unit = subblock.k == subblock.l && p == subblock.i;
    const std::int64_t row = k.at(subblock.i, j);
    if (is_bias && subblock.k == subblock.l && !same_unit) {
      for (std::int64_t q = 0; q < in; ++q) *sum_.at(l.weight + p * in + q, row).data += values[q];
    } else {
      add_scaled(in, 1, values, sum_.at(row, l.weight + p * in).data);
    }
    if (l.layer.bias) *sum_.at(row, l.bias + p).data += values[in];
  }

  /// Adds what JᵀJ leaves out of the Hessian with one hidden layer: φ'' in its own block and residuals between the two
  /// layers, each only where both parameters meet in one hidden unit.
  void add_sparse_rest(const Control& control) {
    parallel_for(static_cast<std::int64_t>(rests_.size()), threads_, control, "", [&](std::int64_t item, int thread) {
      add_rest(rests_[static_cast<std::size_t>(item)], scratch_[static_cast<std::size_t>(thread)]);
    });
  }

  void cut_rest_into_items() {
    if (layers_.size() < 2) return;
    const std::int64_t units = layers_[0].layer.out, inputs = layers_[0].augmented();
    for (std::int64_t unit = 0; unit < units; unit += kUnits) {
      const std::int64_t end = std::min(units, unit + kUnits);
      for (const bool bend : {true, false}) {
        // Row j of the φ'' terms has the columns q ≥ j; row p of the residuals has every j.
        const std::int64_t rows = bend ? inputs : layers_[1].layer.out;
        Rest rest{bend, unit, end, 0, 0, 0};
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = bend ? r : 0; c < inputs; ++c) {
            if (rest.count == kSubblockColumns) {
              rests_.push_back(rest);
              rest = {bend, unit, end, r, c, 0};
            }
            ++rest.count;
          }
        }
        rests_.push_back(rest);
      }
    }
  }

  /// Calls visit(row, column) for the columns of one item's right factor.
  template <class Visit>
  void for_each_column(const Rest& rest, Visit&& visit) const {
    const std::int64_t inputs = layers_[0].augmented();
    std::int64_t r = rest.row, c = rest.column;
    for (std::int64_t n = 0; n < rest.count; ++n) {
      visit(r, c);
      if (++c < inputs) continue;
      ++r;
      c = rest.bend ? r : 0;
    }
  }

  /// Adds Σ_n bend[i] ã[j] ã[q] to H[(0; i,j), (0; i,q)], or Σ_n φ'[i] δ[p] ã[j] to H[(0; i,j), (1; p,i)]: one product
  /// for many units i and many pairs.
  void add_rest(const Rest& rest, Workspace& scratch) {
    const std::int64_t samples = factors_.rows(), units = rest.last - rest.first;
    scratch.reserve(samples * rest.count, units * rest.count);
    double* right = scratch.bracket.data();
    for (std::int64_t n = 0; n < samples; ++n) {
      const double* inputs = chunk_.input(0, n);
      const double* rows = rest.bend ? inputs : chunk_.delta(1, n);
      for_each_column(rest, [&](std::int64_t r, std::int64_t c) { *right++ = rows[r] * inputs[c]; });
    }
    const double* left = rest.bend ? chunk_.bend(0, 0) : chunk_.slope(0, 0);
    gemm(Op::transpose, Op::none, units, rest.count, samples, 1, {left + rest.first, layers_[0].layer.out},
         {scratch.bracket.data(), rest.count}, 0, {scratch.product.data(), rest.count});
    const double* product = scratch.product.data();
    for (std::int64_t i = rest.first; i < rest.last; ++i) {
      for_each_column(rest, [&](std::int64_t r, std::int64_t c) {
        const std::int64_t row = layers_[0].at(i, rest.bend ? r : c);
        const std::int64_t column = rest.bend ? layers_[0].at(i, c) : layers_[1].at(r, i);
        *sum_.at(row, column).data += *product++;
      });
    }
  }

  const Problem& problem_;
  HessianPart part_;
  HessianMethod method_;
  HessianFactors factors_;
  const ChunkFactors& chunk_;
  const std::vector<PlacedLayer>& layers_;
  Matrix sum_;
  int threads_ = 1;
  std::vector<Subblock> subblocks_;
  std::vector<std::size_t> items_;  ///< first subblock of each item, and the end
  std::vector<Rest> rests_;
  std::vector<Workspace> scratch_;
};

/// Scales the upper triangle and copies it to the lower one.
void scale_and_mirror(std::int64_t size, double scale, Matrix matrix, int threads, const Control& control) {
  parallel_for((size + kMirror - 1) / kMirror, threads, control, "", [&](std::int64_t band, int) {
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

/// The Hessian of a network that is no chain of dense layers: products with unit vectors, kUnitVectors at a time.
void multiply_unit_vectors(const Problem& problem, std::span<const double> theta, HessianPart part,
                           const Control& control, std::span<double> hessian) {
  const std::int64_t size = problem.network.parameter_count();
  const Control only_stop{{}, control.stop};
  std::vector<double> units;
  for (std::int64_t first = 0; first < size; first += kUnitVectors) {
    const std::int64_t count = std::min(kUnitVectors, size - first);
    units.assign(static_cast<std::size_t>(count * size), 0.0);
    for (std::int64_t i = 0; i < count; ++i) units[static_cast<std::size_t>(i * size + first + i)] = 1;
    hessian_products(problem, theta, part, units, only_stop,
                     hessian.subspan(static_cast<std::size_t>(first * size), units.size()));
    if (control.progress) control.progress({"hessian", first + count, size});
  }
  scale_and_mirror(size, 1, {hessian.data(), size}, problem.threads, only_stop);
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
  if (!is_dense_chain(problem.network)) return multiply_unit_vectors(problem, theta, part, control, hessian);
  const Matrix sum{hessian.data(), size};
  Assembly assembly(problem, theta, part, sum);
  const Control only_stop{{}, control.stop};
  parallel_for(size, assembly.threads(), only_stop, "",
               [&](std::int64_t r, int) { std::fill_n(sum.at(r, 0).data, size, 0.0); });
  assembly.run(control);
  const double weight = problem.loss == Loss::mean_squared_error ? 2 : 1;
  scale_and_mirror(size, weight / static_cast<double>(problem.data.size()), sum, assembly.threads(), only_stop);
}

std::int64_t hessian_bytes(const Problem& problem, HessianPart part) {
  if (!is_dense_chain(problem.network)) {
    return hessian_products_bytes(problem, kUnitVectors) + 8 * kUnitVectors * problem.network.parameter_count();
  }
  const HessianMethod method = choose_method(problem.network, part);
  std::int64_t widest = kUnits;
  for (const PlacedLayer& layer : placed_layers(problem.network)) widest = std::max(widest, layer.augmented());
  const std::int64_t rows = HessianFactors::capacity(problem, method) + widest;
  return HessianFactors::bytes(problem, method) + 8 * problem.threads * rows * std::max(kSubblockColumns, widest);
}

double hessian_spectrum_bytes(const Problem& problem, HessianPart part, bool vectors) {
  const auto size = static_cast<double>(problem.network.parameter_count());
  const double matrix = 8 * size * size, solving = vectors ? 3 * matrix : 16 * size;  // dsyevd's, including the vectors
  return matrix + std::max(solving, static_cast<double>(hessian_bytes(problem, part)));
}

}  // namespace lossatlas::cpu
