#pragma once

#include <cstdint>

#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// How a section is evaluated.
///
/// automatic: computes once what depends on no grid point or on no sample (see explain()).
/// direct: runs every layer for every sample at every point; a reference for the shortcuts.
enum class Plan : std::uint8_t { automatic, direct };

/// How the losses of a surface are computed: each by itself, or by interpolation between Chebyshev nodes.
enum class Method : std::uint8_t { pointwise, chebyshev };

/// "pointwise" or "chebyshev".
LOSSATLAS_API const char* name(Method method);

/// How to evaluate a section.
/// @snippet api/sections.cpp surface
/// @snippet api/sections.cpp chebyshev
struct EvaluateOptions {
  Precision precision = Precision::f64;
  Plan plan = Plan::automatic;
  Method method = Method::pointwise;
  double tolerance = 1e-6;  ///< for Method::chebyshev: largest error, relative to the largest |L| of the head
  Control control = {};
};

}  // namespace lossatlas
