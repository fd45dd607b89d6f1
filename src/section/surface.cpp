#include <cmath>
#include <limits>

#include <lossatlas/surface.hpp>

#include "base/check.hpp"

namespace lossatlas {

const char* name(Method method) { return method == Method::chebyshev ? "chebyshev" : "pointwise"; }

double Surface::total(std::int64_t g) const {
  double sum = 0;
  for (std::int64_t k = 0; k < heads; ++k) sum += at(g, k);
  return sum;
}

std::vector<double> Surface::head(std::int64_t index) const {
  require(index >= 0 && index < heads, "Surface::head", "received head ", index, ", expected 0 to ", heads - 1);
  std::vector<double> result(static_cast<std::size_t>(size()));
  for (std::int64_t g = 0; g < size(); ++g) result[static_cast<std::size_t>(g)] = at(g, index);
  return result;
}

Range finite_range(std::span<const double> values) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  Range range{kNone, kNone};
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (!(range.lo <= value)) range.lo = value;
    if (!(range.hi >= value)) range.hi = value;
  }
  return range;
}

}  // namespace lossatlas
