// Surfaces by interpolation or, where that does not pay, by evaluation at every point.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/landscape.hpp>

#include "section/plan.hpp"
#include "surface/prepared_section.hpp"

namespace lossatlas {

/// The box of a grid, as ranges of axes.
std::vector<ChebyshevAxis> box_of(const Grid& grid);

/// fit_chebyshev() for `points` points on the box given by the ranges of the axes (their node counts are ignored).
ChebyshevFit fit_box(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points,
                     const EvaluateOptions& options);

/// The surface at a list of points (G, z) or, if that is empty, on the grid.
Surface chebyshev_surface(const Landscape& landscape, const Section& section, const Grid& grid,
                          std::span<const double> list, const EvaluateOptions& options);

/// Lines that a fit, or its failure, adds to the plan of a surface on a grid.
std::string method_lines(const ChebyshevFit& fit, const Grid& grid);

/// What Landscape::explain() adds for Method::chebyshev: evaluations as K grows, given rates their floor, and FLOP.
std::string chebyshev_forecast(const SectionPlan& plan, std::int64_t samples, std::int64_t points, Precision precision,
                               double tolerance, const DeviceRates* rates);

}  // namespace lossatlas
