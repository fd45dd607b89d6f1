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

/// One axis of an interpolant: K nodes α_j = (lo + hi)/2 − (hi − lo)/2 · cos(πj/(K−1)), j = 0..K−1; for lo = hi, the
/// single node lo.
struct ChebyshevAxis {
  double lo = -1;
  double hi = 1;
  std::int64_t nodes = 1;  ///< K

  friend bool operator==(const ChebyshevAxis&, const ChebyshevAxis&) = default;
};

/// The polynomial p(α) = Σ_k c_k Π_i T_{k_i}(t_i), t_i = (2α_i − lo_i − hi_i)/(hi_i − lo_i), of each head on a box
/// ([Trefethen 2019], "Approximation Theory and Approximation Practice", chapter 3). A value type. Its functions throw
/// InvalidArgument for points outside the box, where nothing is known.
/// @snippet api/sections.cpp interpolant
class LOSSATLAS_API ChebyshevInterpolant {
 public:
  /// coefficients (H, K_1, ..., K_z). Throws InvalidArgument when the sizes disagree, a range is not ordered or finite,
  /// or an axis with one node has lo < hi.
  ChebyshevInterpolant(std::vector<ChebyshevAxis> axes, std::int64_t heads, std::vector<double> coefficients);
  /// Interpolates the values (K_1, ..., K_z, H) at the nodes, in 2 H (ΠK_i) ΣK_i FLOP. The bits do not depend on the
  /// number of threads. Throws as the constructor does.
  static ChebyshevInterpolant through(std::vector<ChebyshevAxis> axes, std::int64_t heads,
                                      std::span<const double> values, int threads = 1, const Control& control = {});

  std::span<const ChebyshevAxis> axes() const { return axes_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(axes_.size()); }  ///< z
  std::int64_t heads() const { return heads_; }                                  ///< H
  std::span<const double> coefficients() const { return coefficients_; }         ///< (H, K_1, ..., K_z)

  /// p at every point of a grid: (G, H), computed axis by axis. The bits do not depend on the number of threads and
  /// equal those for a list of the grid's points.
  std::vector<double> evaluate(const Grid& grid, int threads = 1, const Control& control = {}) const;
  /// p at points (G, z): (G, H).
  std::vector<double> evaluate(std::span<const double> points, int threads = 1, const Control& control = {}) const;
  /// ∂p/∂α_i at points (G, z): (G, H, z). NaN along an axis with lo = hi, where it is unknown.
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

/// Result of fit_chebyshev().
struct ChebyshevFit {
  std::optional<ChebyshevInterpolant> interpolant;  ///< absent if the report says pointwise
  ChebyshevReport report;
};

/// Interpolates L on the box of a grid, as long as that takes fewer evaluations than the grid has points.
///
/// L is evaluated at 9 nodes along each axis (3 where L is known to be a quadratic form) and at held-out points of a
/// Kronecker sequence. Then K − 1 is doubled along the axes that need it. Nodes are nested and held-out points are only
/// ever added, so no point is evaluated twice. The number of held-out points is the largest of 16(z + 1), ΠK_i/16,
/// G/1024 (G/256 for z ≥ 3, where there is more room to hide) and G^{1/z} (2G^{2/3} for z = 1). The gaps between their
/// coordinates thus shrink as the grid's do; the report gives the largest gap along each axis. All evaluations are
/// counted. Let a_i(k) be the sum of |c| over all coefficients of degree k along axis i, relative to max |L| of the
/// head. One estimate of the largest relative error is
///
///   Σ_i 2 e_i q_i / (1 − q_i),   e_i = max over k ≥ n/2 of a_i(k) q_i^{n−k},   n = K_i − 1,
///
/// where q_i is the rate at which a_i decays from the third to the last quarter of its degrees (at most 0.99, or 1 −
/// 4/n if larger). The other is three times the error measured at the held-out points, which also replaces an axis's
/// term where that term is mere rounding. The larger one counts, but never less than the rounding of losses and
/// interpolant: max(64, ΣK_i) units in f64, 5·10⁻⁷ in f32, 5·10⁻⁴ in half precision. It is the distance from losses
/// evaluated one by one in the same precision and excludes the error common to all of those. It is an estimate and a
/// measurement, not a proof: a function that hides between nodes and held-out points goes unseen.
///
/// Growth ends with an interpolant once the estimate is at most options.tolerance, or once only rounding is left and
/// the estimate is within 4 times its lower bound (the reason then says so, and the estimate is what was reached). It
/// ends without one if only rounding is left and the estimate is larger; if the next nodes would take as many
/// evaluations as the grid has points, or exceed 4097 along an axis or 2²⁵ losses in all; on a non-finite loss or
/// interpolant; and at once if the section moves an activation that has a kink. The transform and the held-out check
/// run on the threads of the landscape's device and heed a requested stop.
///
/// Ignores options.method. Throws InvalidArgument if section and grid do not fit or the tolerance is not between 0 and
/// 1, and otherwise as Landscape::evaluate() does.
/// @snippet api/sections.cpp chebyshev
LOSSATLAS_API ChebyshevFit fit_chebyshev(const Landscape& landscape, const Section& section, const Grid& grid,
                                         const EvaluateOptions& options = {});

}  // namespace lossatlas
