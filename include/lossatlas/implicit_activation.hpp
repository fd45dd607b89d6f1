#pragma once

#include <span>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/loss.hpp>

namespace lossatlas {

/// The implicit activation σ(p) = (1/N) Σ_n ℓ(p, y_n): the loss of a network whose output p does not depend on the
/// input ([C19] section 3). For cross entropy σ(p) = logsumexp(p) − π·p, for mean squared error ‖p − ȳ‖² + tr Cov(y).
///
/// σ is inverted along the line p(s) = base + s·direction, s ≥ 0, on which it grows from its minimum without bound:
/// base = log π (absent classes: min log π − 40), direction = e_k with k = argmin π over the classes that occur, or, if
/// only one class occurs, an absent one; base = ȳ and direction = 1/√C for mean squared error.
/// @snippet api/patterns.cpp implicit activation
class LOSSATLAS_API ImplicitActivation {
 public:
  /// Throws InvalidArgument for cross entropy if the mean target is not a distribution.
  ImplicitActivation(Loss loss, LabelStatistics statistics);
  ImplicitActivation(Loss loss, const Dataset& data);

  Loss loss() const { return loss_; }
  const LabelStatistics& statistics() const { return statistics_; }

  /// σ(p) for p (C).
  double operator()(std::span<const double> p) const;
  /// ∇σ(p) (C): softmax(p) − π, or 2(p − ȳ).
  std::vector<double> gradient(std::span<const double> p) const;
  /// Infimum of σ: the entropy of π (cross entropy) or tr Cov(y). See infimum_attained().
  double minimum() const { return minimum_; }
  /// False when σ only tends to its infimum (cross entropy with a single class).
  bool infimum_attained() const { return attained_; }

  std::span<const double> path_base() const { return base_; }            ///< (C)
  std::span<const double> path_direction() const { return direction_; }  ///< (C)
  /// σ(base + s·direction); no overflow for any finite s.
  double along_path(double s) const;
  /// d/ds of along_path.
  double path_derivative(double s) const;
  /// The s with along_path(s) = t, to 1e-12 relative in t; s ≥ 0 except for a single class, where s is any real.
  /// Throws InvalidArgument when t is below the image.
  double inverse(double t) const;

 private:
  Loss loss_;
  LabelStatistics statistics_;
  std::vector<double> base_;
  std::vector<double> direction_;
  double minimum_ = 0;
  double smallest_ = 0;  // π_k
  bool attained_ = true;
};

}  // namespace lossatlas
