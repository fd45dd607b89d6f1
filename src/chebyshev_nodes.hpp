// The losses at nested Chebyshev nodes and at held-out points, each evaluated once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/landscape.hpp>

namespace lossatlas {

/// What was evaluated of L on a box.
class ChebyshevNodes {
 public:
  /// Ranges of the box; the number of nodes is not looked at. options.method is not looked at, either.
  ChebyshevNodes(const Landscape& landscape, const Section& section, std::vector<ChebyshevAxis> box,
                 EvaluateOptions options);

  /// How many evaluations grow(nodes) would make; a double, as it may be any number.
  double cost(std::span<const std::int64_t> nodes) const;
  /// Evaluates the nodes (K_i) that are new, and on the first call the held-out points. K_i − 1 is a multiple of what
  /// it was before.
  void grow(std::span<const std::int64_t> nodes);

  std::span<const ChebyshevAxis> axes() const { return axes_; }
  std::span<const double> held_out() const { return held_out_; }  ///< points (n, z)
  std::int64_t held_out_count() const { return static_cast<std::int64_t>(held_out_.size() / axes_.size()); }
  std::int64_t evaluations() const { return evaluations_; }
  Precision precision() const { return precision_; }  ///< that ran
  bool finite() const;                                ///< all losses so far
  std::vector<double> scale() const;                  ///< (H) the largest |L| so far
  ChebyshevInterpolant interpolant() const;           ///< through the nodes
  /// The largest |p − L| over the head's scale at the held-out points; 0 without any.
  double held_out_error(const ChebyshevInterpolant& interpolant) const;

 private:
  /// Coordinates of the nodes that `axes` has more than axes_, in order, and in `fresh` whether a node is one of them.
  std::vector<double> new_points(std::span<const ChebyshevAxis> axes, std::vector<char>& fresh) const;

  const Landscape& landscape_;
  const Section& section_;
  EvaluateOptions options_;
  std::vector<ChebyshevAxis> axes_;  ///< nodes 0: nothing evaluated yet
  std::vector<double> held_out_;
  std::vector<double> held_out_losses_;  ///< (n, H)
  std::vector<double> values_;           ///< (K_1, ..., K_z, H)
  std::int64_t evaluations_ = 0;
  Precision precision_ = Precision::f64;
};

}  // namespace lossatlas
