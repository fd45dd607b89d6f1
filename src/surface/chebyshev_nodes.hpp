// The losses at nested Chebyshev nodes and at held-out points, each evaluated once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/progress.hpp>

#include "surface/prepared_section.hpp"

namespace lossatlas {

/// How many held-out points go with nodes (K_i), n of which exceed 1, for G points. The largest of: 16(n + 1); ΠK_i/16;
/// a share of G, 1/1024 or, for n ≥ 3, where there is more room to hide, 1/256; and the grid's points along one axis,
/// G^{1/n}, but 2G^{2/3} for n = 1, where those would be all points.
double held_out_count(std::span<const std::int64_t> nodes, std::int64_t points);

/// The losses evaluated on a box.
class ChebyshevNodes {
 public:
  /// Takes the ranges of the box, for G points; ignores its numbers of nodes.
  ChebyshevNodes(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points, Control control);

  /// Evaluations that grow(nodes) would make; a double, as their number has no bound.
  double cost(std::span<const std::int64_t> nodes) const;
  /// Evaluates those of the nodes (K_i) and held-out points that are new. K_i − 1 must be a multiple of its last value.
  void grow(std::span<const std::int64_t> nodes);

  std::span<const ChebyshevAxis> axes() const { return axes_; }
  std::int64_t held_out_count() const { return static_cast<std::int64_t>(held_out_.size() / axes_.size()); }
  std::span<const double> held_out() const { return held_out_; }  ///< (n, z)
  std::int64_t evaluations() const { return evaluations_; }
  Precision precision() const { return precision_; }  ///< actually used
  bool finite() const;                                ///< whether all losses so far are finite
  std::vector<double> scale() const;                  ///< (H) the largest |L| so far
  std::vector<double> resolution() const;             ///< (z) the largest gap between coordinates along each axis
  ChebyshevInterpolant interpolant() const;           ///< through the nodes
  /// The largest |p − L| over the head's scale at held-out points; 0 if there are none, infinite if p is not finite.
  double held_out_error(const ChebyshevInterpolant& interpolant) const;

 private:
  int threads() const { return std::max(1, section_.landscape().device().threads()); }
  std::size_t heads() const { return static_cast<std::size_t>(section_.landscape().network().heads()); }
  /// Coordinates of the nodes that `axes` adds to axes_, in order; `fresh` tells for each node whether it is new.
  std::vector<double> new_points(std::span<const ChebyshevAxis> axes, std::vector<char>& fresh) const;

  PreparedSection& section_;
  std::int64_t points_ = 0;
  Control control_;
  std::vector<ChebyshevAxis> axes_;      ///< nodes 0: nothing evaluated yet
  std::vector<double> held_out_;         ///< (n, z)
  std::vector<double> held_out_losses_;  ///< (n, H)
  std::vector<double> values_;           ///< (K_1, ..., K_z, H)
  std::int64_t evaluations_ = 0;
  Precision precision_ = Precision::f64;
};

}  // namespace lossatlas
