#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// One axis of an interpolant: K nodes α_j = (lo + hi)/2 − (hi − lo)/2 · cos(πj/(K−1)), j = 0..K−1; with lo = hi the
/// one node lo.
struct ChebyshevAxis {
  double lo = -1;
  double hi = 1;
  std::int64_t nodes = 1;  ///< K

  friend bool operator==(const ChebyshevAxis&, const ChebyshevAxis&) = default;
};

/// The polynomial p(α) = Σ_k c_k Π_i T_{k_i}(t_i), t_i = (2α_i − lo_i − hi_i)/(hi_i − lo_i), of each head on a box
/// ([Trefethen 2019], "Approximation Theory and Approximation Practice", chapter 3). A value. Where it is asked for
/// points outside the box it throws InvalidArgument: nothing is known there.
class LOSSATLAS_API ChebyshevInterpolant {
 public:
  /// coefficients (H, K_1, ..., K_z). Throws InvalidArgument when the sizes disagree, a range is not ordered or finite,
  /// or an axis with one node has lo < hi.
  ChebyshevInterpolant(std::vector<ChebyshevAxis> axes, std::int64_t heads, std::vector<double> coefficients);
  /// The interpolant with the given values (K_1, ..., K_z, H) at the nodes, in 2 H (ΠK_i) ΣK_i FLOP; the same bits for
  /// any number of threads. Throws as the constructor does.
  static ChebyshevInterpolant through(std::vector<ChebyshevAxis> axes, std::int64_t heads,
                                      std::span<const double> values, int threads = 1, const Control& control = {});

  std::span<const ChebyshevAxis> axes() const { return axes_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(axes_.size()); }  ///< z
  std::int64_t heads() const { return heads_; }                                  ///< H
  std::span<const double> coefficients() const { return coefficients_; }         ///< (H, K_1, ..., K_z)

  /// p at every point of a grid (G, H), axis after axis; the same bits for any number of threads, and as at the list of
  /// the grid's points.
  std::vector<double> evaluate(const Grid& grid, int threads = 1, const Control& control = {}) const;
  /// p at points (G, z): (G, H).
  std::vector<double> evaluate(std::span<const double> points, int threads = 1, const Control& control = {}) const;
  /// ∂p/∂α_i at points (G, z): (G, H, z). NaN along an axis with lo = hi, where it is not known.
  std::vector<double> gradient(std::span<const double> points) const;
  /// ∂²p/∂α_i∂α_j at points (G, z): (G, H, z, z), symmetric to the bit; NaN as for the gradient.
  std::vector<double> hessian(std::span<const double> points) const;

  /// FLOP of evaluate(grid): 2 H Σ_i (n_1...n_i)(K_i...K_z) for the products, 3 n_i K_i for each axis's T_k.
  double flop(const Grid& grid) const;

 private:
  void check_grid(const Grid& grid) const;
  std::int64_t check_points(std::span<const double> points) const;

  std::vector<ChebyshevAxis> axes_;
  std::int64_t heads_ = 1;
  std::vector<double> coefficients_;
};

/// What fit_chebyshev() ends with.
struct ChebyshevFit {
  std::optional<ChebyshevInterpolant> interpolant;  ///< none where the report says pointwise
  ChebyshevReport report;
};

/// Interpolates L on the box of a grid, in competition with evaluating it at the grid's points.
///
/// L is evaluated at 9 nodes along each axis (3 where L is known to be a quadratic form) and at held-out points of a
/// Kronecker sequence, then K − 1 is doubled along the axes that need it; the nodes are nested, and the held-out points
/// only added to, so that none is evaluated twice. Of those there are the largest of 16(z + 1), ΠK_i/16, G/1024 (G/256
/// for z ≥ 3, where there is more room to hide) and G^{1/z} (2G^{2/3} for z = 1), so that the gaps between coordinates
/// shrink as the grid's do; the report gives the largest along each axis. All evaluations are counted. With a_i(k) the
/// sum of |c| over all coefficients of degree k along axis i, relative to max |L| of the head, the estimate of the
/// largest relative error is the larger of
///
///   Σ_i 2 e_i q_i / (1 − q_i),   e_i = max over k ≥ n/2 of a_i(k) q_i^{n−k},   n = K_i − 1,
///
/// with q_i the rate at which a_i decays from the third quarter of its degrees to the last (at most 0.99, or
/// 1 − 4/n if that is larger), and of three times the error that is measured at the held-out points, which stands for
/// an axis's share, too, where that is but rounding. It is never below the rounding of losses and interpolant: in f64
/// max(64, ΣK_i) units, in f32 5·10⁻⁷, in half precision 5·10⁻⁴. It says how far the interpolant is from losses
/// evaluated one by one in the same precision; the error that all of those have in common is no part of it. It is an
/// estimate and a measurement, not a proof: a function that hides between nodes and held-out points is not seen. Growth
/// ends when the estimate is at most options.tolerance, or where only rounding is left and the estimate is within 4
/// times its lower bound (the reason says so, and the estimate is what was reached). Without interpolant it ends where
/// only rounding is left and the estimate is larger, when the next nodes would make as many evaluations as the grid has
/// points, or be more than 4097 along an axis or 2²⁵ losses in all, on a non-finite loss or interpolant, and at once
/// where an activation that the section moves has a kink. The transform and the held-out error run on the threads of
/// the landscape's device and end at a requested stop, too.
///
/// options.method is not looked at. Throws InvalidArgument when section and grid do not fit or the tolerance is not
/// between 0 and 1, and as Landscape::evaluate() does.
LOSSATLAS_API ChebyshevFit fit_chebyshev(const Landscape& landscape, const Section& section, const Grid& grid,
                                         const EvaluateOptions& options = {});

}  // namespace lossatlas
