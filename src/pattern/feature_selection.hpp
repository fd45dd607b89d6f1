// Orthogonal least squares: which candidate features most lower the residual of a least-squares fit, given those chosen
// before.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

namespace lossatlas {

/// The pixels on which features are chosen.
struct Pixels {
  std::int64_t count = 0;
  std::vector<double> points;   // (count, z)
  std::vector<double> targets;  // (count, K)
};

/// Features as columns, with their products with a set of chosen ones, with each other and with the targets.
struct Candidates {
  std::int64_t count = 0;
  std::span<const double> columns;  // B (pixels, count)
  std::vector<double> against;      // (size, count): U⁻ᵀ Aᵀ B
  std::vector<double> schur;        // (count, count): BᵀB + λ − againstᵀ against
  std::vector<double> gain;         // (count, K): Bᵀy − againstᵀ U⁻ᵀAᵀy
};

/// Picks up to `wanted` candidates, each the one that most lowers the squared residual given those before it. Leaves
/// out those whose squared length, given the others, is below `least_norm`.
std::vector<std::int64_t> pick_best(Candidates candidates, std::int64_t outputs, std::int64_t wanted,
                                    double least_norm);

/// A growing set of features, the constant first: the Cholesky factor U of their Gram matrix AᵀA + λ, and the residual.
/// The bits do not depend on the number of threads. The caller must hold a SingleThreadedBlas.
class FeatureSelection {
 public:
  /// Room for `capacity` features; adds λ = ridge·pixels to squared lengths. Keeps references to pixels and control.
  FeatureSelection(const Pixels& pixels, std::int64_t outputs, std::int64_t capacity, double ridge, int threads,
                   const Control& control);

  std::span<const double> residual() const { return residual_; }  ///< (pixels, K)
  /// Computes the products of columns (pixels, count).
  Candidates candidates(std::span<const double> columns, std::int64_t count) const;
  /// Adds the candidates of `picked`, in order, and solves for the residual.
  void append(const Candidates& candidates, std::span<const std::int64_t> picked);

 private:
  double& entry(std::int64_t i, std::int64_t j) { return factor_[static_cast<std::size_t>(i * stride_ + j)]; }
  template <class Work>
  void blocks(std::int64_t size, Work&& work) const;
  void copy_products(const Candidates& candidates, std::span<const std::int64_t> picked);
  void solve_residual();

  const Pixels& pixels_;
  std::int64_t rows_, outputs_, stride_;
  double ridge_;
  int threads_;
  const Control& control_;
  std::int64_t size_ = 0;
  std::vector<double> features_;   // A (rows, stride)
  std::vector<double> factor_;     // U (stride, stride)
  std::vector<double> projected_;  // U⁻ᵀAᵀy (stride, K)
  std::vector<double> residual_;   // (rows, K)
};

}  // namespace lossatlas
