#include "surface/chebyshev_surface.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <stdexcept>

#include "base/check.hpp"
#include "section/section_cost.hpp"
#include "surface/chebyshev_nodes.hpp"
#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {
namespace {

/// The smallest box around points (G, z).
std::vector<ChebyshevAxis> box_of(std::span<const double> points, std::size_t rank) {
  std::vector<ChebyshevAxis> box;
  for (std::size_t i = 0; i < rank; ++i) box.push_back({points[i], points[i], 0});
  for (std::size_t at = 0; at < points.size(); ++at) {
    ChebyshevAxis& axis = box[at % rank];
    axis.lo = std::min(axis.lo, points[at]);
    axis.hi = std::max(axis.hi, points[at]);
  }
  return box;
}

std::string nodes_text(std::span<const std::int64_t> nodes) {
  std::string text;
  for (const std::int64_t count : nodes) text += (text.empty() ? "" : " × ") + std::to_string(count);
  return text;
}

std::string gaps_text(std::span<const double> gaps) {
  TextStream text;
  text.precision(3);
  for (std::size_t i = 0; i < gaps.size(); ++i) text << (i == 0 ? "" : " × ") << gaps[i];
  return text.str();
}

/// Lines that an interpolated surface adds to its plan.
std::string stages(const ChebyshevInterpolant& p, const ChebyshevReport& report, double interpolation_flop) {
  TextStream text;
  text << "\nmethod: chebyshev, " << nodes_text(report.nodes) << " nodes and " << report.held_out_points
       << " held-out points evaluated, gaps of at most " << gaps_text(report.resolution) << "; " << report.reason
       << "\ntransform: " << quantity(chebyshev_coefficients_flop(p.axes(), p.heads()), "FLOP")
       << "\ninterpolation: " << quantity(interpolation_flop, "FLOP");
  return text.str();
}

/// Upper bound of the interpolant's FLOP on a list of points, as if consecutive points shared no coordinates.
double list_flop(const ChebyshevInterpolant& p, std::int64_t points) {
  double flop = 0, right = static_cast<double>(node_count(p.axes()));
  for (const ChebyshevAxis& axis : p.axes()) {
    flop += 3 * static_cast<double>(axis.nodes) + 2 * static_cast<double>(p.heads()) * right;
    right /= static_cast<double>(axis.nodes);
  }
  return flop * static_cast<double>(points);
}

std::string given_up(const ChebyshevReport& report) {
  return "\nmethod: pointwise; chebyshev was given up: " + report.reason;
}

Surface pointwise_surface(PreparedSection& section, const Grid& grid, std::span<const double> list,
                          const Control& control, ChebyshevReport report) {
  Surface surface = section.surface(grid, list, control);
  surface.plan += given_up(report);
  report.evaluations += surface.size();
  report.precision = surface.precision;
  surface.chebyshev = std::move(report);
  return surface;
}

}  // namespace

Surface chebyshev_surface(const Landscape& landscape, const Section& section, const Grid& grid,
                          std::span<const double> list, const EvaluateOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  PreparedSection prepared(landscape, section, options);
  const auto box = list.empty() ? box_of(grid) : box_of(list, static_cast<std::size_t>(section.rank()));
  ChebyshevFit fit = fit_box(prepared, box, grid.size(), options);
  if (!fit.interpolant) {
    Surface surface = pointwise_surface(prepared, grid, list, options.control, std::move(fit.report));
    surface.seconds = seconds();
    return surface;
  }
  const ChebyshevInterpolant& p = *fit.interpolant;
  Surface surface;
  surface.grid = grid;
  surface.heads = p.heads();
  const int threads = landscape.device().threads();
  try {
    surface.points.assign(list.begin(), list.end());
    surface.losses =
        list.empty() ? p.evaluate(grid, threads, options.control) : p.evaluate(list, threads, options.control);
  } catch (const std::bad_alloc&) {
    const double bytes = 16.0 * static_cast<double>(grid.size()) * static_cast<double>(p.heads());
    throw OutOfMemory(message("Landscape::evaluate", "received ", grid.size(), " points, which take ", bytes,
                              " bytes, expected fewer; use a smaller grid"),
                      static_cast<std::int64_t>(std::min(bytes, 9e18)));
  }
  const SectionPoints points = list.empty() ? SectionPoints(grid, 0, grid.size()) : SectionPoints(list, section.rank());
  const std::int64_t exact = prepared.replace_ends(points, options.control, surface.losses);
  fit.report.evaluations += exact;
  fit.report.saved -= exact;
  for (const double loss : surface.losses) surface.nonfinite += !std::isfinite(loss);
  surface.device = landscape.device().describe();
  surface.precision = fit.report.precision;
  surface.plan = prepared.plan().explain(landscape.data().size(), fit.report.evaluations, surface.precision) +
                 prepared.range_note() + stages(p, fit.report, list.empty() ? p.flop(grid) : list_flop(p, grid.size()));
  surface.chebyshev = std::move(fit.report);
  surface.seconds = seconds();
  return surface;
}

std::string method_lines(const ChebyshevFit& fit, const Grid& grid) {
  if (!fit.interpolant) return given_up(fit.report);
  return stages(*fit.interpolant, fit.report, fit.interpolant->flop(grid));
}

std::string chebyshev_forecast(const SectionPlan& plan, std::int64_t samples, std::int64_t points, Precision precision,
                               double tolerance, const DeviceRates* rates) {
  const auto z = static_cast<double>(plan.rank), h = static_cast<double>(plan.heads);
  const double side = std::pow(static_cast<double>(points), 1 / z);
  TextStream text;
  text << "\nmethod: chebyshev, K - 1 doubled along each axis until the estimate is at most " << tolerance
       << "; pointwise at kinks, or where it takes " << points << " evaluations";
  const auto start = static_cast<double>(plan.kind == PlanKind::quadratic ? 3 : 9);
  for (double nodes = start;; nodes = 2 * nodes - 1) {
    const std::vector<std::int64_t> all(static_cast<std::size_t>(plan.rank), static_cast<std::int64_t>(nodes));
    const double evaluations = std::pow(nodes, z) + held_out_count(all, points);
    if (evaluations >= static_cast<double>(points)) return text.str();
    double interpolation = 0;
    for (double i = 1; i <= z; ++i) {
      interpolation += 3 * side * nodes + 2 * h * std::pow(side, i) * std::pow(nodes, z + 1 - i);
    }
    text << "\nat K = " << nodes << ": " << evaluations << " evaluations";
    if (rates) {
      const SectionCost cost = plan.total(samples, static_cast<std::int64_t>(evaluations), precision);
      text << " (floor " << time_text(cost.floor_seconds(*rates)) << ")";
    }
    text << ", transform " << quantity(2 * h * z * std::pow(nodes, z + 1), "FLOP") << ", interpolation "
         << quantity(interpolation, "FLOP");
  }
}

}  // namespace lossatlas
