// Where the parts that a plan takes a section apart into stay finite.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>

#include "section/plan.hpp"

namespace lossatlas {

/// Bounds of what a plan forms at a point before it adds it up. A_0 + Σ α_d A_d may overflow, or become ∞ − ∞ or 0·∞,
/// where the parameters θ₀ + Σ α_d θ_d are finite and so is their loss; in f32 and below this begins at 10³⁸. What the
/// bounds say depends on the problem and the point alone. Entries that are not finite count as 0: they make the
/// parameters themselves so.
class SectionRange {
 public:
  /// The plan outlives it. Heeds a requested stop.
  SectionRange(const SectionPlan& plan, const Dataset& data, Precision precision, const Control& control);

  /// Whether nothing overflows at any point with |α_d| ≤ magnitudes[d] (z).
  bool holds(std::span<const double> magnitudes) const;
  /// Whether that holds at α = 0; where it does not, it does nowhere.
  bool holds_somewhere() const;

 private:
  struct Part {
    std::int32_t direction;  ///< −1: of θ₀
    double bound;
  };
  /// The largest entry of each part.
  using Parts = std::vector<Part>;

  void add_formed(const ChainLayer& layer, const Control& control);
  bool sum_fits(const Parts& parts, std::span<const double> magnitudes, double beside) const;

  const SectionPlan& plan_;
  double limit_;
  Parts sample_;               ///< of A_d
  std::vector<Parts> formed_;  ///< below f64, of the weights and biases of each layer that depends on the point
};

}  // namespace lossatlas
