// Results as lists of numbers, to be compared to the bit.
#pragma once

#include <cstdint>
#include <vector>

#include <lossatlas/lossatlas.hpp>

namespace lossatlas::testing {

using Numbers = std::vector<double>;

inline void append(Numbers& to, double value) { to.push_back(value); }
inline void append(Numbers& to, const std::vector<double>& values) {
  to.insert(to.end(), values.begin(), values.end());
}
inline void append(Numbers& to, const Inertia& inertia) {
  for (const std::int64_t count : {inertia.positive, inertia.zero, inertia.negative}) to.push_back(double(count));
}

template <class... Parts>
Numbers numbers(const Parts&... parts) {
  Numbers result;
  (append(result, parts), ...);
  return result;
}

inline Numbers numbers_of(const Spectrum& spectrum) {
  return numbers(spectrum.eigenvalues, spectrum.eigenvectors, spectrum.residual, spectrum.inertia, spectrum.zero.gap);
}

inline Numbers numbers_of(const Surface& surface) {
  Numbers result = numbers(surface.losses, surface.points, double(surface.precision));
  if (surface.chebyshev) append(result, numbers(surface.chebyshev->estimate, double(surface.chebyshev->evaluations)));
  return result;
}

inline Numbers numbers_of(const OptimiserResult& result) {
  return numbers(result.theta, result.loss, result.gradient_l1, double(result.iterations), double(result.reason));
}

inline Numbers numbers_of(const CriticalPoint& point) {
  return numbers(point.theta, point.loss, point.gradient_l1, point.inertia, point.zero.gap, double(point.finite));
}

inline Numbers numbers_of(const SplitForecast& forecast) {
  return numbers(forecast.b, forecast.d, forecast.b_eigenvalues, forecast.narrow, forecast.inside, forecast.outside,
                 forecast.border, forecast.gap);
}

inline Numbers numbers_of(const PatternFit& fit) {
  return numbers(fit.section.origin, fit.section.directions, fit.offset, fit.error.rms, double(fit.steps.size()));
}

}  // namespace lossatlas::testing
