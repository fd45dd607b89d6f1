#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/evaluate_options.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// The outcome of Method::chebyshev. Errors are relative to `scale`, the largest |L| of the head that was met.
/// `estimate` and `held_out_error` estimate and measure the largest error; neither is a proof. They compare with losses
/// evaluated one by one in the precision that ran, whose own error they exclude (see fit_chebyshev()).
struct ChebyshevReport {
  Method method = Method::pointwise;  ///< what ran in the end; pointwise: given up, and every loss was evaluated
  std::string reason;                 ///< why it ended so, in a few words
  double tolerance = 0;               ///< as asked for
  bool met = false;                   ///< the losses are interpolated and the estimate is at most the tolerance
  std::vector<std::int64_t> nodes;    ///< K_1, ..., K_z of the last interpolant; 0 when none was made
  double estimate = 0;                ///< of the last interpolant; NaN when none was made
  double held_out_error = 0;          ///< its largest error at the held-out points; NaN when none was made
  std::int64_t held_out_points = 0;   ///< how many those are
  /// (z) The largest gap between neighbouring coordinates of all evaluated points along each axis, in units of α. A
  /// narrower structure may have been missed, with more than one axis also a wider one that is confined along all of
  /// them. NaN when no interpolant was made.
  std::vector<double> resolution;
  std::vector<double> scale;             ///< (H) the largest |L|
  std::int64_t evaluations = 0;          ///< spent: nodes, held-out points, and for pointwise all G
  std::int64_t saved = 0;                ///< G − evaluations; negative for pointwise
  Precision precision = Precision::f64;  ///< the arithmetic that ran
};

/// Losses of a section at the G points of a grid, or of a list, per head, with what computed them.
/// @snippet api/sections.cpp surface
struct LOSSATLAS_API Surface {
  Grid grid;                             ///< the grid; for a list of points one axis 0..G−1
  std::vector<double> points;            ///< (G, z) for a list of points, else empty
  std::int64_t heads = 1;                ///< H
  std::vector<double> losses;            ///< (G, H) row-major; non-finite values stay where they arose
  std::int64_t nonfinite = 0;            ///< how many of the losses are NaN or infinite
  std::string device;                    ///< Device::describe() of what ran
  Precision precision = Precision::f64;  ///< the arithmetic that ran, not the one asked for
  std::string plan;                      ///< explain() of the plan that ran
  double seconds = 0;
  std::optional<ChebyshevReport> chebyshev;  ///< for Method::chebyshev, whatever came of it

  std::int64_t size() const { return grid.size(); }  ///< G
  double at(std::int64_t g, std::int64_t head) const { return losses[static_cast<std::size_t>(g * heads + head)]; }
  /// R = Σ over heads at point g.
  double total(std::int64_t g) const;
  /// The losses of one head (G).
  std::vector<double> head(std::int64_t index) const;
};

/// Smallest and largest finite value; both NaN when there is none.
struct Range {
  double lo = 0;
  double hi = 0;
};
/// The range of the finite values.
LOSSATLAS_API Range finite_range(std::span<const double> values);

}  // namespace lossatlas
