#include "cuda/last_layer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>
#include <vector>

#include "../kernels/section.hpp"
#include "../kernels/training.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "cuda/linear_algebra.hpp"
#include "cuda/pass.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kQrBytes = std::int64_t{1} << 31;
constexpr std::int64_t kQrUnits = 1024;
constexpr int kRefinements = 3;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLeastCondition = 64 * kEpsilon;  // below it a solution of the normal equations has no correct digit
constexpr double kRegularised = 2;   // a refinement that lowers Σr² by a larger factor was held back by the ridge
constexpr double kFlat = 1 + 1e-13;  // near its minimum the objective cannot tell a better solution from rounding
constexpr double kQrRidge = 1e-18;   // the ridge chosen for QR: larger weights would spoil an evaluation in f32

/// The design matrix [a, 1] (N, n) of the least squares problem, a group of samples at a time. It is kept if memory
/// allows, else computed anew each time, with the same bits.
class DesignMatrix {
 public:
  DesignMatrix(Workspace& workspace, const Problem& problem, std::span<const double> theta)
      : workspace_(workspace),
        problem_(problem),
        pass_(workspace, problem, workspace.parameters(theta), problem.network().nodes().size() - 1, PassDetail::values,
              std::min(kChunkRows, problem.samples())),
        has_bias_(dense_chain(problem.network(), "solve_last_layer").back().bias) {
    const std::int64_t whole = samples() * columns(), group = std::min(kChunkRows, samples()) * columns();
    if (8 * whole <= memory_budget()) {
      try {
        values_ = DeviceBuffer<double>(workspace.memory(), whole);
      } catch (const OutOfMemory&) {  // one group at a time will do
      }
    }
    if (values_.size() == 0) values_ = DeviceBuffer<double>(workspace.memory(), group);
    stored_ = values_.size() == whole;
  }

  std::int64_t samples() const { return problem_.samples(); }  ///< N
  std::int64_t units() const { return pass_.last_width(); }    ///< F
  bool has_bias() const { return has_bias_; }
  std::int64_t columns() const { return units() + (has_bias_ ? 1 : 0); }  ///< n

  /// Calls body(first, rows, columns (rows, n)) for each group in order; the first round computes all of them.
  template <class Body>
  void for_each_group(const Control& control, Body&& body) {
    for (std::int64_t first = 0; first < samples(); first += kChunkRows) {
      check_stop(control);
      const std::int64_t rows = std::min(kChunkRows, samples() - first);
      double* values = values_.data() + (stored_ ? first * columns() : 0);
      if (!made_ || !stored_) make(first, rows, values);
      body(first, rows, static_cast<const double*>(values));
    }
    made_ = true;
  }

 private:
  void make(std::int64_t first, std::int64_t rows, double* values) {
    pass_.forward(first, rows);
    LOSSATLAS_CUDA(kernels::launch_activate(Activation::identity, pass_.last(), rows, units(), values, columns(),
                                            workspace_.stream()));
    if (!has_bias_) return;
    LOSSATLAS_CUDA(kernels::launch_fill_strided(values + units(), rows, columns(), 1, workspace_.stream()));
  }

  Workspace& workspace_;
  const Problem& problem_;
  ForwardPass pass_;
  bool has_bias_;
  bool stored_ = false;
  bool made_ = false;
  DeviceBuffer<double> values_;
};

/// Rows first..first+rows−1 of the targets, for every head.
kernels::OutputRows target_rows(const Problem& problem, std::int64_t first, std::int64_t rows) {
  kernels::OutputRows targets;
  targets.first = first;
  targets.rows = rows;
  targets.heads = problem.network().heads();
  targets.classes = problem.network().outputs_per_head();
  targets.targets = problem.targets<double>();
  return targets;
}

struct Residual {
  double squares = 0;             ///< Σ ‖y − Wᵀφ‖²
  std::vector<double> projected;  ///< Φᵀ (Y − Φ W), (n, K) column-major
};

/// The regularised normal equations (ΦᵀΦ + λ N d I) X = R, factored. Matrices are column-major: the row-major Φ (rows,
/// n) of a group is A (n, rows) with ΦᵀΦ = A Aᵀ.
class NormalEquations {
 public:
  NormalEquations(Workspace& workspace, const Problem& problem, DesignMatrix& design, const Control& control)
      : workspace_(workspace),
        problem_(problem),
        design_(design),
        control_(control),
        n_(design.columns()),
        outputs_(problem.network().outputs()),
        gram_(memory(), n_ * n_),
        factor_(memory(), n_ * n_),
        rows_(memory(), std::min(kChunkRows, design.samples()) * outputs_),
        coefficients_(memory(), n_ * outputs_),
        projected_(memory(), n_ * outputs_) {
    initial_ = residual_of(std::vector<double>(static_cast<std::size_t>(n_ * outputs_)), true);
    const std::vector<double> squares = diagonal(gram_);
    for (std::int64_t i = 0; i < design.units(); ++i) mean_diagonal_ += squares[static_cast<std::size_t>(i)];
    mean_diagonal_ /= static_cast<double>(design.units());
    if (mean_diagonal_ == 0) mean_diagonal_ = 1;  // all hidden activations vanish, so any ridge gives zero weights
  }

  double shift(double ridge) const { return ridge * mean_diagonal_; }  ///< λ N d

  /// Factors with the relative ridge λ; false if the matrix is not numerically positive definite.
  bool factor(double ridge) {
    LOSSATLAS_CUDA(cudaMemcpyAsync(factor_.data(), gram_.data(), static_cast<std::size_t>(8 * n_ * n_),
                                   cudaMemcpyDeviceToDevice, workspace_.stream()));
    LOSSATLAS_CUDA(
        kernels::launch_add_strided(factor_.data(), design_.units(), n_ + 1, shift(ridge), workspace_.stream()));
    if (!factor_cholesky(workspace_, n_, factor_.data())) return false;
    const std::vector<double> pivots = diagonal(factor_);
    const double least = *std::min_element(pivots.begin(), pivots.end());
    const double trace = static_cast<double>(design_.units()) * (mean_diagonal_ + shift(ridge));
    condition_ = least * least / trace;
    return std::all_of(pivots.begin(), pivots.end(), [](double pivot) { return std::isfinite(pivot) && pivot > 0; });
  }

  bool hopeless() const { return condition_ < kLeastCondition; }

  struct Solution {
    std::vector<double> coefficients;  ///< (n, K) column-major
    double gain = 1;                   ///< Σr² before the refinement over Σr² after it
  };

  /// Refines by up to kRefinements corrections and keeps each unless the objective rises. `penalty` is the λ of the
  /// objective in units of the Gram matrix; if it is 0, the ridge of the factor only damps the corrections.
  Solution solve(double penalty) {
    std::vector<double> best = solved(initial_.projected);
    Residual residual = residual_of(best, false);
    double objective = residual.squares + penalty * squared_weights(best);
    const double first_squares = residual.squares;
    double squares = first_squares;
    for (int step = 0; step < kRefinements; ++step) {
      std::vector<double> correction = std::move(residual.projected);
      for_weights([&](std::size_t i) { correction[i] -= penalty * best[i]; });
      correction = solved(std::move(correction));
      for (std::size_t i = 0; i < best.size(); ++i) correction[i] += best[i];
      residual = residual_of(correction, false);
      const double next = residual.squares + penalty * squared_weights(correction);
      if (!(next <= objective * kFlat)) break;
      best = std::move(correction);
      objective = next;
      squares = residual.squares;
    }
    return {std::move(best), squares > 0 ? first_squares / squares : 1};
  }

 private:
  Memory& memory() const { return workspace_.memory(); }

  std::vector<double> diagonal(const DeviceBuffer<double>& matrix) const {
    std::vector<double> entries(static_cast<std::size_t>(n_));
    LOSSATLAS_CUDA(cudaMemcpy2DAsync(entries.data(), sizeof(double), matrix.data(),
                                     static_cast<std::size_t>(n_ + 1) * sizeof(double), sizeof(double),
                                     static_cast<std::size_t>(n_), cudaMemcpyDeviceToHost, workspace_.stream()));
    synchronise(memory());
    return entries;
  }

  std::vector<double> solved(std::vector<double> right) {
    upload(memory(), std::span<const double>(right), coefficients_.data());
    solve_cholesky(workspace_, n_, outputs_, factor_.data(), coefficients_.data());
    download(memory(), coefficients_.data(), std::span(right));
    return right;
  }

  /// The residual of coefficients (n, K); the same round also computes the Gram matrix if asked for.
  Residual residual_of(const std::vector<double>& coefficients, bool with_gram) {
    Residual residual{0, std::vector<double>(coefficients.size())};
    upload(memory(), std::span(coefficients), coefficients_.data());
    fill_zero(memory(), projected_.data(), projected_.size());
    if (with_gram) fill_zero(memory(), gram_.data(), gram_.size());
    design_.for_each_group(control_, [&](std::int64_t first, std::int64_t rows, const double* block) {
      if (with_gram) add_gram(rows, block);
      residual.squares += add_group(first, rows, block);
      if (with_gram && control_.progress) {
        control_.progress({"least squares", first + rows, design_.samples()});
      }
    });
    download(memory(), projected_.data(), std::span(residual.projected));
    return residual;
  }

  void add_gram(std::int64_t rows, const double* block) {
    const double one = 1;
    const int n = static_cast<int>(n_);
    LOSSATLAS_CUDA(cublasDsyrk(workspace_.cublas(), CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, n, static_cast<int>(rows),
                               &one, block, n, &one, gram_.data(), n));
  }

  /// projected_ += A (Y − Φ W) of one group; returns its Σ ‖y − Wᵀφ‖².
  double add_group(std::int64_t first, std::int64_t rows, const double* block) {
    const double one = 1, minus = -1;
    const int n = static_cast<int>(n_), k = static_cast<int>(outputs_), count = static_cast<int>(rows);
    LOSSATLAS_CUDA(kernels::launch_targets(target_rows(problem_, first, rows), rows_.data(), workspace_.stream()));
    LOSSATLAS_CUDA(cublasDgemm(workspace_.cublas(), CUBLAS_OP_T, CUBLAS_OP_N, k, count, n, &minus, coefficients_.data(),
                               n, block, n, &one, rows_.data(), k));
    LOSSATLAS_CUDA(cublasDgemm(workspace_.cublas(), CUBLAS_OP_N, CUBLAS_OP_T, n, k, count, &one, block, n, rows_.data(),
                               k, &one, projected_.data(), n));
    const std::int64_t values = rows * outputs_;
    std::vector<double> pieces(static_cast<std::size_t>((values + kernels::kSquarePiece - 1) / kernels::kSquarePiece));
    const DeviceBuffer<double> sums(memory(), static_cast<std::int64_t>(pieces.size()));
    LOSSATLAS_CUDA(kernels::launch_square_sums(rows_.data(), values, sums.data(), workspace_.stream()));
    download(memory(), sums.data(), std::span(pieces));
    double sum = 0;
    for (const double piece : pieces) sum += piece;
    return sum;
  }

  /// Calls body(index) for every coefficient that is not a bias.
  template <class Body>
  void for_weights(Body&& body) const {
    for (std::int64_t k = 0; k < outputs_; ++k) {
      for (std::int64_t i = 0; i < design_.units(); ++i) body(static_cast<std::size_t>(k * n_ + i));
    }
  }

  double squared_weights(const std::vector<double>& coefficients) const {
    double sum = 0;
    for_weights([&](std::size_t i) { sum += coefficients[i] * coefficients[i]; });
    return sum;
  }

  Workspace& workspace_;
  const Problem& problem_;
  DesignMatrix& design_;
  const Control& control_;
  std::int64_t n_;
  std::int64_t outputs_;
  DeviceBuffer<double> gram_;          ///< ΦᵀΦ, lower triangle
  DeviceBuffer<double> factor_;        ///< L
  DeviceBuffer<double> rows_;          ///< residual of one group, (K, rows) column-major
  DeviceBuffer<double> coefficients_;  ///< (n, K)
  DeviceBuffer<double> projected_;     ///< (n, K)
  Residual initial_;                   ///< at zero coefficients: Σ ‖y‖² and ΦᵀY
  double mean_diagonal_ = 0;
  double condition_ = 0;  ///< estimate of 1/cond: the smallest pivot of the factor over the largest eigenvalue
};

/// Coefficients (n, K) by Householder QR of [Φ; √(λ N d) I], where I leaves out the bias; empty if R is singular.
std::vector<double> solve_by_qr(Workspace& workspace, const Problem& problem, DesignMatrix& design, double shift,
                                const Control& control) {
  Memory& memory = workspace.memory();
  const cudaStream_t stream = workspace.stream();
  const std::int64_t n = design.columns(), outputs = problem.network().outputs(), samples = design.samples();
  const std::int64_t rows = samples + design.units();
  const DeviceBuffer<double> a(memory, rows * n), b(memory, rows * outputs), y(memory, samples * outputs);
  fill_zero(memory, a.data(), a.size());
  fill_zero(memory, b.data(), b.size());
  design.for_each_group(control, [&](std::int64_t first, std::int64_t count, const double* block) {
    LOSSATLAS_CUDA(kernels::launch_transpose(block, count, n, a.data() + first, rows, stream));
  });
  LOSSATLAS_CUDA(kernels::launch_fill_strided(a.data() + samples, design.units(), rows + 1, std::sqrt(shift), stream));
  LOSSATLAS_CUDA(kernels::launch_targets(target_rows(problem, 0, samples), y.data(), stream));
  LOSSATLAS_CUDA(kernels::launch_transpose(y.data(), samples, outputs, b.data(), rows, stream));
  if (!solve_least_squares(workspace, rows, n, outputs, a.data(), b.data())) return {};
  std::vector<double> coefficients(static_cast<std::size_t>(n * outputs));
  LOSSATLAS_CUDA(cudaMemcpy2DAsync(coefficients.data(), static_cast<std::size_t>(8 * n), b.data(),
                                   static_cast<std::size_t>(8 * rows), static_cast<std::size_t>(8 * n),
                                   static_cast<std::size_t>(outputs), cudaMemcpyDeviceToHost, stream));
  synchronise(memory);
  return coefficients;
}

/// Splits coefficients (n, K), column-major, into weights (K, F) and bias (K).
LastLayer unpack(const DesignMatrix& design, const std::vector<double>& coefficients, double ridge, bool by_qr) {
  LastLayer layer;
  for (auto column = coefficients.begin(); column != coefficients.end(); column += design.columns()) {
    layer.weights.insert(layer.weights.end(), column, column + design.units());
    if (design.has_bias()) layer.bias.push_back(*(column + design.units()));
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

}  // namespace

LastLayer solve_last_layer(Workspace& workspace, const Problem& problem, std::span<const double> theta, double ridge,
                           const Control& control) {
  require(problem.loss() == Loss::mean_squared_error, "solve_last_layer", "received the loss ", name(problem.loss()),
          ", expected mse; make a landscape with mean squared error");
  require(std::isfinite(ridge), "solve_last_layer", "received ridge ", ridge,
          ", expected a finite one; pass a negative ridge to have it chosen");
  require(static_cast<std::int64_t>(theta.size()) == problem.network().parameter_count(), "solve_last_layer",
          "received theta with ", theta.size(), " entries, expected ", problem.network().parameter_count());
  DesignMatrix design(workspace, problem, theta);
  NormalEquations equations(workspace, problem, design, control);
  const auto by_qr = [&](double relative) {
    return solve_by_qr(workspace, problem, design, equations.shift(relative), control);
  };
  // At worst, rounding perturbs the Gram matrix by about n ε times its mean diagonal; a quarter of that proved enough.
  const double least_ridge = 0.25 * kEpsilon * static_cast<double>(design.columns());
  if (ridge < 0) {
    ridge = factor_from(equations, least_ridge);
    const auto solution = equations.solve(0);
    if (fits_qr(design) && equations.hopeless() && solution.gain > kRegularised) {
      const auto coefficients = by_qr(kQrRidge);
      if (!coefficients.empty()) return unpack(design, coefficients, kQrRidge, true);
    }
    return unpack(design, solution.coefficients, ridge, false);
  }
  const bool factored = equations.factor(ridge);
  if (fits_qr(design) && (!factored || equations.hopeless())) {
    const auto coefficients = by_qr(ridge);
    if (!coefficients.empty()) return unpack(design, coefficients, ridge, true);
  }
  if (!factored) ridge = factor_from(equations, std::max(least_ridge, 10 * ridge));
  return unpack(design, equations.solve(equations.shift(ridge)).coefficients, ridge, false);
}

}  // namespace lossatlas::cuda
