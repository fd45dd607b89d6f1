// A section of a landscape, set up once and evaluated any number of times.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <lossatlas/grid.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/surface.hpp>

#include "backend.hpp"
#include "plan.hpp"

namespace lossatlas {

/// Used by one thread at a time; landscape and section outlive it.
class PreparedSection {
 public:
  /// Plans for plan and precision of the options, whose control can end that.
  PreparedSection(const Landscape& landscape, const Section& section, const EvaluateOptions& options);

  const Landscape& landscape() const { return landscape_; }
  const Section& section() const { return section_; }
  const SectionPlan& plan() const { return plan_; }

  /// Sets the plan up on the device, unless it is; what follows does, too. Throws Interrupted, OutOfMemory.
  void prepare(const Control& control);
  /// That runs.
  Precision precision(const Control& control);
  /// losses (G, H) at points; at ends that the section gives, those of exactly their parameters.
  void losses(const SectionPoints& points, const Control& control, std::span<double> losses);
  /// The surface at the points of a list or, if that is empty, at those of the grid.
  Surface surface(const Grid& grid, std::span<const double> list, const Control& control);

 private:
  const Landscape& landscape_;
  const Section& section_;
  SectionPlan plan_;
  Precision asked_;
  std::unique_ptr<DeviceSection> on_device_;  ///< none yet: not set up
};

}  // namespace lossatlas
