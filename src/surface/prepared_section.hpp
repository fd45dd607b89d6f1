// A section of a landscape, set up once and evaluated any number of times.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <lossatlas/grid.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/surface.hpp>

#include "backend/backend.hpp"
#include "section/plan.hpp"
#include "section/section_range.hpp"

namespace lossatlas {

/// The plan that evaluates a section, and the precision to ask the device for: those of the options, unless the plan's
/// parts overflow at every point; then f64 and, if they overflow there too, the direct plan.
struct PlanChoice {
  SectionPlan plan;
  Precision precision = Precision::f64;
};
/// Starts from the plan and precision of the options, whose control can interrupt it. Throws OutOfMemory.
PlanChoice choose_plan(const Landscape& landscape, const Section& section, const EvaluateOptions& options);

/// The largest |α_d| over the points (z); for part of a grid, over the whole grid.
std::vector<double> magnitudes_of(const SectionPoints& points);

/// Used by one thread at a time; landscape and section must outlive it. If the plan's parts overflow at some points
/// only, forms θ(α) at those first and computes R in f64.
class PreparedSection {
 public:
  /// Plans as the options ask; their control can interrupt it.
  PreparedSection(const Landscape& landscape, const Section& section, const EvaluateOptions& options);
  PreparedSection(const PreparedSection&) = delete;
  PreparedSection& operator=(const PreparedSection&) = delete;

  const Landscape& landscape() const { return landscape_; }
  const Section& section() const { return section_; }
  const SectionPlan& plan() const { return chosen_.plan; }
  /// One line on the points so far for which θ(α) was formed first; empty if there were none.
  std::string range_note() const;

  /// Uploads the plan on first use; the calls below do so too. Throws Interrupted, OutOfMemory.
  void prepare(const Control& control);
  /// The precision actually used.
  Precision precision() const { return precision_; }
  /// losses (G, H) at points, and what replace_ends() does.
  void losses(const SectionPoints& points, const Control& control, std::span<double> losses);
  /// Whether the section gives the parameters at its ends.
  bool has_ends() const { return !section_.ends.empty(); }
  /// Replaces the losses at ends that the section gives by those of exactly their parameters, where θ₀ + θᵢ would
  /// round, whatever computed them. Returns how many it replaced.
  std::int64_t replace_ends(const SectionPoints& points, const Control& control, std::span<double> losses) const;
  /// The surface at a list of points or, if that is empty, on the grid.
  Surface surface(const Grid& grid, std::span<const double> list, const Control& control);

 private:
  /// R at θ(α), in f64.
  void evaluate_at(std::span<const double> alpha, const Control& control, std::span<double> losses) const;
  /// Sets R(θ(α)) at points where the plan's parts overflow.
  void evaluate_out_of_range(const SectionPoints& points, const Control& control, std::span<double> losses);

  const Landscape& landscape_;
  const Section& section_;
  PlanChoice chosen_;
  Precision precision_;
  SectionRange range_;
  std::int64_t out_of_range_ = 0;             ///< points so far where parts overflowed
  std::unique_ptr<DeviceSection> on_device_;  ///< null until set up
};

}  // namespace lossatlas
