// Landscape's methods on whole sections.
#include <lossatlas/landscape.hpp>

#include "backend/backend.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "surface/chebyshev_surface.hpp"
#include "surface/prepared_section.hpp"

namespace lossatlas {
namespace {

std::string explained(const Landscape& landscape, const Section& section, std::int64_t points,
                      const EvaluateOptions& options, const DeviceRates* rates) {
  require(points >= 1, "Landscape::explain", "received ", points, " points, expected at least 1");
  const auto [plan, asked] = choose_plan(landscape, section, options);
  const Precision precision = on_device(landscape).section_precision(plan, asked);
  std::string text = plan.explain(landscape.data().size(), points, precision, rates);
  if (options.method == Method::chebyshev) {
    text += chebyshev_forecast(plan, landscape.data().size(), points, precision, options.tolerance, rates);
  }
  return text;
}

/// Checks a list of points (G, z); returns G.
std::int64_t check_points(const Section& section, std::span<const double> points, std::string_view function) {
  const std::int64_t z = section.rank();
  require(z >= 1, function, "received a section without directions, expected at least 1");
  require(!points.empty() && static_cast<std::int64_t>(points.size()) % z == 0, function, "received ", points.size(),
          " coordinates, expected a positive multiple of ", z, " directions");
  require_finite(points, function, "points");
  return static_cast<std::int64_t>(points.size()) / z;
}

}  // namespace

Surface Landscape::evaluate(const Section& section, const Grid& grid, const EvaluateOptions& options) const {
  require(grid.rank() == section.rank(), "Landscape::evaluate", "received a grid of ", grid.rank(), " axes for ",
          section.rank(), " directions, expected one axis each");
  if (options.method == Method::chebyshev) return chebyshev_surface(*this, section, grid, {}, options);
  return PreparedSection(*this, section, options).surface(grid, {}, options.control);
}

Surface Landscape::evaluate(const Section& section, std::span<const double> points,
                            const EvaluateOptions& options) const {
  const std::int64_t count = check_points(section, points, "Landscape::evaluate");
  const Grid numbers({Axis{0, static_cast<double>(count - 1), count}});
  if (options.method == Method::chebyshev) return chebyshev_surface(*this, section, numbers, points, options);
  return PreparedSection(*this, section, options).surface(numbers, points, options.control);
}

std::vector<double> Landscape::outputs(const Section& section, std::span<const double> points,
                                       const Control& control) const {
  const std::int64_t count = check_points(section, points, "Landscape::outputs");
  const SectionPlan plan = plan_section(network(), loss(), section, Plan::automatic, control);
  require(plan.kind == PlanKind::sample_free, "Landscape::outputs",
          "received a section on which the output depends on the input, expected one that cuts it off (Theorem 1)");
  const auto outputs = static_cast<std::size_t>(network().outputs()), rank = static_cast<std::size_t>(section.rank());
  std::vector<double> result(static_cast<std::size_t>(count) * outputs);
  on_device(*this).section_outputs(plan, points, control, result);
  const SectionRange range(plan, data(), Precision::f64, control);
  if (range.holds(magnitudes_of({points, section.rank()}))) return result;
  for (std::size_t g = 0; g < static_cast<std::size_t>(count); ++g) {
    check_stop(control);
    const auto alpha = points.subspan(g * rank, rank);
    if (range.holds(magnitudes_of({alpha, section.rank()}))) continue;
    // The plan's parts overflow: forms the parameters first, as a section of one point.
    const Section there{section.at(alpha), std::vector<double>(section.origin.size(), 0.0)};
    on_device(*this).section_outputs(plan_section(network(), loss(), there, Plan::automatic, control),
                                     std::vector<double>{0}, control, std::span(result).subspan(g * outputs, outputs));
  }
  return result;
}

std::string Landscape::explain(const Section& section, std::int64_t points, const EvaluateOptions& options) const {
  return explained(*this, section, points, options, nullptr);
}

std::string Landscape::explain(const Section& section, std::int64_t points, const EvaluateOptions& options,
                               const DeviceRates& rates) const {
  return explained(*this, section, points, options, &rates);
}

SectionCost section_cost(const Landscape& landscape, const Section& section, std::int64_t points,
                         const EvaluateOptions& options) {
  require(points >= 1, "section_cost", "received ", points, " points, expected at least 1");
  const auto [plan, asked] = choose_plan(landscape, section, options);
  return plan.total(landscape.data().size(), points, on_device(landscape).section_precision(plan, asked));
}

}  // namespace lossatlas
