// Surfaces by interpolation, or, where that does not pay, by evaluation at every point.
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

/// fit_chebyshev() on a box whose axes give the ranges (their nodes are not looked at), for `points` points.
ChebyshevFit fit_box(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points,
                     const EvaluateOptions& options);

/// The surface at the points (G, z) of a list or, if that is empty, at those of the grid.
Surface chebyshev_surface(const Landscape& landscape, const Section& section, const Grid& grid,
                          std::span<const double> list, const EvaluateOptions& options);

/// What the plan of a surface on a grid gains by a fit, or by its failure.
std::string method_lines(const ChebyshevFit& fit, const Grid& grid);

/// What Landscape::explain() adds to the plan for Method::chebyshev as K grows: evaluations, with rates their floor,
/// and FLOP.
std::string chebyshev_forecast(const SectionPlan& plan, std::int64_t samples, std::int64_t points,
                               const EvaluateOptions& options, const DeviceRates* rates);

}  // namespace lossatlas
