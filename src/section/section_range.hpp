// Where the parts into which a plan divides a section stay finite.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>

#include "section/graph_plan.hpp"
#include "section/plan.hpp"

namespace lossatlas {

/// Bounds the terms that a plan adds up at a point. Their sum A_0 + Σ α_d A_d may overflow, or become ∞ − ∞ or 0·∞,
/// although the parameters θ₀ + Σ α_d θ_d and their loss are finite; in f32 and below, from 10³⁸ on. The bounds depend
/// only on the problem and the point. Non-finite entries count as 0: they make the parameters themselves so.
class SectionRange {
 public:
  /// The plan must outlive it. Checks for stop requests.
  SectionRange(const SectionPlan& plan, const Dataset& data, Precision precision, const Control& control);

  /// Whether nothing overflows at any point with |α_d| ≤ magnitudes[d] (z).
  bool holds(std::span<const double> magnitudes) const;
  /// Whether holds() at α = 0; if not, it holds nowhere.
  bool holds_somewhere() const;

 private:
  struct Part {
    std::int32_t direction;  ///< −1: θ₀
    double bound;
  };
  /// The largest entry of each part.
  using Parts = std::vector<Part>;

  void add_formed(const ChainLayer& layer, const Control& control);
  bool sum_fits(const Parts& parts, std::span<const double> magnitudes, double beside) const;

  PlanLists lists_;
  std::int64_t rank_;
  double limit_;
  std::vector<Parts> samples_;  ///< of each crossing: A_d
  std::vector<Parts> formed_;   ///< below f64: the weights and biases of each layer that depends on the point
};

}  // namespace lossatlas
