#pragma once

#include <cstdint>

#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// How a section is evaluated.
///
/// automatic: what does not depend on the point or on the sample is computed once (see explain()).
/// direct: every layer and every sample at every point; to check a shortcut against.
enum class Plan : std::uint8_t { automatic, direct };

/// How the losses of a surface come about: each by itself, or by interpolation between Chebyshev nodes.
enum class Method : std::uint8_t { pointwise, chebyshev };

LOSSATLAS_API const char* name(Method method);

struct EvaluateOptions {
  Precision precision = Precision::f64;
  Plan plan = Plan::automatic;
  Method method = Method::pointwise;
  double tolerance = 1e-6;  ///< of Method::chebyshev: the largest error relative to the largest |L| of the head
  Control control = {};
};

}  // namespace lossatlas
