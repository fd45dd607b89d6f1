#include "cpu/last_layer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "linalg/cholesky.hpp"
#include "model/graph.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kGroup = 4 * kChunk;                   // samples per update of the Gram matrix
constexpr std::int64_t kStoredBytes = std::int64_t{1} << 30;  // hidden activations up to this size are kept
constexpr std::int64_t kQrBytes = std::int64_t{1} << 31;
constexpr std::int64_t kQrUnits = 1024;
constexpr int kRefinements = 3;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLeastCondition = 64 * kEpsilon;  // below it a solution of the normal equations has no correct digit
constexpr double kRegularised = 2;   // a refinement that lowers Σr² by a larger factor was held back by the ridge
constexpr double kFlat = 1 + 1e-13;  // near its minimum the objective cannot tell a better solution from rounding
constexpr double kQrRidge = 1e-18;   // the ridge chosen for QR: larger weights would spoil an evaluation in f32

/// The design matrix [a, 1] (N, n) of the least squares problem, a group of samples at a time: kept, or computed anew
/// each time.
class DesignMatrix {
 public:
  DesignMatrix(const Problem& problem, std::span<const double> theta, const Control& control)
      : problem_(problem), passes_(problem, theta), control_(control), units_(last_hidden_width(problem.network)) {
    has_bias_ = dense_chain(problem.network, "solve_last_layer").back().bias;
    stored_ = 8 * samples() * columns() <= kStoredBytes;
    values_.resize(static_cast<std::size_t>((stored_ ? samples() : std::min(kGroup, samples())) * columns()));
    if (stored_) make(0, samples(), values_.data());
  }

  std::int64_t samples() const { return problem_.data.size(); }  ///< N
  std::int64_t units() const { return units_; }                  ///< F
  bool has_bias() const { return has_bias_; }
  std::int64_t columns() const { return units_ + (has_bias_ ? 1 : 0); }  ///< n

  /// Calls body(first, rows, columns (rows, n)) for each group in order.
  template <class Body>
  void for_each_group(Body&& body) {
    for (std::int64_t first = 0; first < samples(); first += kGroup) {
      const std::int64_t rows = std::min(kGroup, samples() - first);
      if (!stored_) make(first, rows, values_.data());
      body(first, rows, ConstMatrix{values_.data() + (stored_ ? first * columns() : 0), columns()});
    }
  }

 private:
  void make(std::int64_t first, std::int64_t rows, double* values) {
    parallel_for((rows + kChunk - 1) / kChunk, problem_.threads, control_, "features", [&](std::int64_t c, int thread) {
      const std::int64_t begin = c * kChunk, size = std::min(kChunk, rows - begin);
      const Matrix block{values + begin * columns(), columns()};
      last_hidden_values(passes_.of(thread), problem_.network, first + begin, size, block);
      if (!has_bias_) return;
      for (std::int64_t r = 0; r < size; ++r) *block.at(r, units_).data = 1;
    });
  }

  const Problem& problem_;
  Passes passes_;
  const Control& control_;
  std::int64_t units_;
  bool has_bias_ = false;
  bool stored_ = false;
  std::vector<double> values_;
};

/// Target k of sample n; heads share the targets.
double target(const Dataset& data, std::int64_t n, std::int64_t k) { return data.target(n, k % data.outputs()); }

struct Residual {
  double squares = 0;             ///< Σ ‖y − Wᵀφ‖²
  std::vector<double> projected;  ///< Φᵀ (Y − Φ W) (n, K)
};

/// Adds one group to the residual of coefficients (n, K). `scratch` (kGroup, K) receives the group's residual.
void add_residual(const Problem& problem, std::int64_t n, std::int64_t first, std::int64_t rows, ConstMatrix design,
                  const std::vector<double>& coefficients, std::vector<double>& scratch, Residual& residual) {
  const std::int64_t outputs = problem.network.outputs();
  constexpr std::int64_t kColumns = 256;
  std::vector<double> squares(static_cast<std::size_t>((rows + kChunk - 1) / kChunk));
  parallel_for(static_cast<std::int64_t>(squares.size()), problem.threads, [&](std::int64_t c, int) {
    const std::int64_t begin = c * kChunk, size = std::min(kChunk, rows - begin);
    const Matrix block{scratch.data() + begin * outputs, outputs};
    for (std::int64_t r = 0; r < size; ++r) {
      for (std::int64_t k = 0; k < outputs; ++k) *block.at(r, k).data = target(problem.data, first + begin + r, k);
    }
    gemm(Op::none, Op::none, size, outputs, n, -1, design.at(begin, 0), {coefficients.data(), outputs}, 1, block);
    double sum = 0;
    for (std::int64_t i = 0; i < size * outputs; ++i) sum += block.data[i] * block.data[i];
    squares[static_cast<std::size_t>(c)] = sum;
  });
  for (double sum : squares) residual.squares += sum;
  parallel_for((n + kColumns - 1) / kColumns, problem.threads, [&](std::int64_t c, int) {
    const std::int64_t begin = c * kColumns, size = std::min(kColumns, n - begin);
    gemm(Op::transpose, Op::none, size, outputs, rows, 1, design.at(0, begin), {scratch.data(), outputs}, 1,
         {residual.projected.data() + begin * outputs, outputs});
  });
}

/// The regularised normal equations (ΦᵀΦ + λ N d I) X = R, factored.
class NormalEquations {
 public:
  NormalEquations(const Problem& problem, DesignMatrix& design, const Control& control)
      : problem_(problem), design_(design), control_(control), n_(design.columns()) {
    gram_.resize(static_cast<std::size_t>(n_ * n_));
    initial_ = zero_residual();
    const std::vector<double> zeros(initial_.projected.size());
    std::vector<double> scratch(static_cast<std::size_t>(kGroup * problem.network.outputs()));
    design.for_each_group([&](std::int64_t first, std::int64_t rows, ConstMatrix block) {
      check_stop(control);
      add_gram(n_, rows, block, {gram_.data(), n_}, problem.threads, control);
      add_residual(problem, n_, first, rows, block, zeros, scratch, initial_);
      if (control.progress) control.progress({"least squares", first + rows, design.samples()});
    });
    for (std::int64_t i = 0; i < design.units(); ++i) mean_diagonal_ += gram_[static_cast<std::size_t>(i * n_ + i)];
    mean_diagonal_ /= static_cast<double>(design.units());
    if (mean_diagonal_ == 0) mean_diagonal_ = 1;  // all hidden activations vanish, so any ridge gives zero weights
  }

  double shift(double ridge) const { return ridge * mean_diagonal_; }  ///< λ N d

  /// Factors with the relative ridge λ; false if the matrix is not numerically positive definite.
  bool factor(double ridge) {
    factor_ = gram_;
    for (std::int64_t i = 0; i < design_.units(); ++i) factor_[static_cast<std::size_t>(i * n_ + i)] += shift(ridge);
    norm_ = symmetric_norm(n_, {factor_.data(), n_});
    return std::isfinite(norm_) && cholesky(n_, {factor_.data(), n_}, problem_.threads, control_);
  }

  bool hopeless() const { return cpu::reciprocal_condition(n_, {factor_.data(), n_}, norm_) < kLeastCondition; }

  struct Solution {
    std::vector<double> coefficients;  ///< (n, K)
    double gain = 1;                   ///< Σr² before the refinement over Σr² after it
  };

  /// Refines by up to kRefinements corrections and keeps each unless the objective rises. `penalty` is the λ of the
  /// objective in units of the Gram matrix; if it is 0, the ridge of the factor only damps the corrections.
  Solution solve(double penalty) {
    const std::int64_t outputs = problem_.network.outputs();
    std::vector<double> best = initial_.projected;
    solve_cholesky(n_, outputs, {factor_.data(), n_}, {best.data(), outputs});
    Residual residual = residual_of(best);
    double objective = residual.squares + penalty * squared_weights(best);
    const double first_squares = residual.squares;
    double squares = first_squares;
    for (int step = 0; step < kRefinements; ++step) {
      check_stop(control_);
      std::vector<double> correction = std::move(residual.projected);
      for (std::int64_t i = 0; i < design_.units() * outputs; ++i) {
        correction[static_cast<std::size_t>(i)] -= penalty * best[static_cast<std::size_t>(i)];
      }
      solve_cholesky(n_, outputs, {factor_.data(), n_}, {correction.data(), outputs});
      for (std::size_t i = 0; i < best.size(); ++i) correction[i] += best[i];
      residual = residual_of(correction);
      const double next = residual.squares + penalty * squared_weights(correction);
      if (!(next <= objective * kFlat)) break;
      best = std::move(correction);
      objective = next;
      squares = residual.squares;
    }
    return {std::move(best), squares > 0 ? first_squares / squares : 1};
  }

 private:
  Residual zero_residual() const {
    return {0, std::vector<double>(static_cast<std::size_t>(n_ * problem_.network.outputs()))};
  }

  Residual residual_of(const std::vector<double>& coefficients) {
    Residual residual = zero_residual();
    std::vector<double> scratch(static_cast<std::size_t>(kGroup * problem_.network.outputs()));
    design_.for_each_group([&](std::int64_t first, std::int64_t rows, ConstMatrix block) {
      check_stop(control_);
      add_residual(problem_, n_, first, rows, block, coefficients, scratch, residual);
    });
    return residual;
  }

  double squared_weights(const std::vector<double>& coefficients) const {
    double sum = 0;
    for (std::int64_t i = 0; i < design_.units() * problem_.network.outputs(); ++i) {
      sum += coefficients[static_cast<std::size_t>(i)] * coefficients[static_cast<std::size_t>(i)];
    }
    return sum;
  }

  const Problem& problem_;
  DesignMatrix& design_;
  const Control& control_;
  std::int64_t n_;
  std::vector<double> gram_;    ///< ΦᵀΦ, upper triangle
  std::vector<double> factor_;  ///< U
  Residual initial_;            ///< at zero coefficients: Σ ‖y‖² and ΦᵀY
  double mean_diagonal_ = 0;
  double norm_ = 0;
};

/// Coefficients (n, K) by Householder QR of [Φ; √(λ N d) I], where I leaves out the bias; empty if R is singular.
std::vector<double> solve_by_qr(const Problem& problem, DesignMatrix& design, double shift) {
  const std::int64_t n = design.columns(), outputs = problem.network.outputs(), samples = design.samples();
  const std::int64_t rows = samples + design.units();
  std::vector<double> a(static_cast<std::size_t>(n * rows)), b(static_cast<std::size_t>(outputs * rows));
  design.for_each_group([&](std::int64_t first, std::int64_t count, ConstMatrix block) {
    parallel_for(n, problem.threads, [&](std::int64_t i, int) {
      for (std::int64_t r = 0; r < count; ++r) a[static_cast<std::size_t>(i * rows + first + r)] = *block.at(r, i).data;
    });
  });
  for (std::int64_t i = 0; i < design.units(); ++i) {
    a[static_cast<std::size_t>(i * rows + samples + i)] = std::sqrt(shift);
  }
  for (std::int64_t k = 0; k < outputs; ++k) {
    for (std::int64_t r = 0; r < samples; ++r) b[static_cast<std::size_t>(k * rows + r)] = target(problem.data, r, k);
  }
  if (!least_squares_by_qr(rows, n, outputs, {a.data(), rows}, {b.data(), rows})) return {};
  std::vector<double> coefficients(static_cast<std::size_t>(n * outputs));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < outputs; ++k) {
      coefficients[static_cast<std::size_t>(i * outputs + k)] = b[static_cast<std::size_t>(k * rows + i)];
    }
  }
  return coefficients;
}

/// Splits coefficients (n, K) into weights (K, F) and bias (K).
LastLayer unpack(const DesignMatrix& design, const std::vector<double>& coefficients, double ridge, bool by_qr) {
  const std::int64_t units = design.units();
  const std::int64_t outputs = static_cast<std::int64_t>(coefficients.size()) / design.columns();
  LastLayer layer;
  for (std::int64_t k = 0; k < outputs; ++k) {
    for (std::int64_t i = 0; i < units; ++i) {
      layer.weights.push_back(coefficients[static_cast<std::size_t>(i * outputs + k)]);
    }
    if (design.has_bias()) layer.bias.push_back(coefficients[static_cast<std::size_t>(units * outputs + k)]);
  }
  layer.ridge = ridge;
  layer.factored_by_qr = by_qr;
  return layer;
}

bool fits_qr(const DesignMatrix& design) {
  return design.units() <= kQrUnits && 8 * design.samples() * design.units() <= kQrBytes;
}

/// Raises the ridge tenfold until Cholesky succeeds, and returns it.
double factor_from(NormalEquations& equations, double ridge) {
  while (!equations.factor(ridge)) {
    require(
        ridge < 1, "solve_last_layer",
        "received hidden layers whose features are not finite, expected finite ones; scale the hidden weights down");
    ridge *= 10;
  }
  return ridge;
}

LastLayer solve_with_ridge(const Problem& problem, DesignMatrix& design, NormalEquations& equations, double ridge,
                           double least_ridge) {
  const bool factored = equations.factor(ridge);
  if (fits_qr(design) && (!factored || equations.hopeless())) {
    const auto coefficients = solve_by_qr(problem, design, equations.shift(ridge));
    if (!coefficients.empty()) return unpack(design, coefficients, ridge, true);
  }
  if (!factored) ridge = factor_from(equations, std::max(least_ridge, 10 * ridge));
  return unpack(design, equations.solve(equations.shift(ridge)).coefficients, ridge, false);
}

LastLayer solve_with_chosen_ridge(const Problem& problem, DesignMatrix& design, NormalEquations& equations,
                                  double least_ridge) {
  const double ridge = factor_from(equations, least_ridge);
  const auto solution = equations.solve(0);
  if (fits_qr(design) && equations.hopeless() && solution.gain > kRegularised) {
    const auto coefficients = solve_by_qr(problem, design, equations.shift(kQrRidge));
    if (!coefficients.empty()) return unpack(design, coefficients, kQrRidge, true);
  }
  return unpack(design, solution.coefficients, ridge, false);
}

}  // namespace

LastLayer solve_last_layer(const Problem& problem, std::span<const double> theta, double ridge,
                           const Control& control) {
  require(problem.loss == Loss::mean_squared_error, "solve_last_layer", "received the loss ", name(problem.loss),
          ", expected mse; make a landscape with mean squared error");
  require(!std::isnan(ridge) && !std::isinf(ridge), "solve_last_layer", "received ridge ", ridge,
          ", expected a finite one; pass a negative ridge to have it chosen");
  const SingleThreadedBlas guard;
  DesignMatrix design(problem, theta, control);
  NormalEquations equations(problem, design, control);
  // At worst, rounding perturbs the Gram matrix by about n ε times its mean diagonal; a quarter of that proved enough.
  const double least_ridge = 0.25 * kEpsilon * static_cast<double>(design.columns());
  return ridge < 0 ? solve_with_chosen_ridge(problem, design, equations, least_ridge)
                   : solve_with_ridge(problem, design, equations, ridge, least_ridge);
}

std::int64_t last_layer_bytes(const Problem& problem) {
  const std::int64_t n = last_hidden_width(problem.network) + 1, samples = problem.data.size();
  const std::int64_t whole = 8 * samples * n;
  const bool qr = n <= kQrUnits + 1 && whole <= kQrBytes;
  return (whole <= kStoredBytes ? whole : 8 * std::min(kGroup, samples) * n) + 16 * n * n +
         (qr ? whole + 8 * n * n : 0) + evaluate_bytes(problem);
}

}  // namespace lossatlas::cpu
