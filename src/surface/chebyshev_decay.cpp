#include "surface/chebyshev_decay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {

std::vector<double> degree_profile(const ChebyshevInterpolant& interpolant, std::size_t axis,
                                   std::span<const double> scale) {
  const auto axes = interpolant.axes();
  const std::int64_t left = node_count(axes.first(axis)), right = node_count(axes.subspan(axis + 1));
  const std::int64_t nodes = axes[axis].nodes;
  std::vector<double> profile(static_cast<std::size_t>(nodes), 0.0);
  const double* c = interpolant.coefficients().data();
  for (std::int64_t h = 0; h < interpolant.heads(); ++h) {
    std::vector<double> sums(profile.size(), 0.0);
    for (std::int64_t l = 0; l < left; ++l) {
      for (double& sum : sums) {
        for (std::int64_t r = 0; r < right; ++r) sum += std::abs(*c++);
      }
    }
    const double unit = scale[static_cast<std::size_t>(h)];
    for (std::size_t k = 0; k < sums.size() && unit > 0; ++k) {
      if (!(sums[k] / unit <= profile[k])) profile[k] = sums[k] / unit;  // true for NaN too
      if (std::isnan(profile[k])) profile[k] = std::numeric_limits<double>::infinity();
    }
  }
  return profile;
}

double rounding_level(Precision precision) {
  switch (precision) {
    case Precision::f64:
      return 1e-13;
    case Precision::f32:
      return 1e-6;
    case Precision::fast:
      return 1e-3;
  }
  return 0;
}

double estimate_floor(std::span<const ChebyshevAxis> axes, Precision precision) {
  if (precision != Precision::f64) return rounding_level(precision) / 2;
  double nodes = 64;
  for (double sum = 0; const ChebyshevAxis& axis : axes)
    nodes = std::max(nodes, sum += static_cast<double>(axis.nodes));
  return nodes * std::numeric_limits<double>::epsilon();
}

double rounding_profile(std::span<const ChebyshevAxis> axes, std::size_t axis, double level) {
  double square = 1;
  for (std::size_t j = 0; j < axes.size(); ++j) {
    const auto nodes = static_cast<double>(axes[j].nodes);
    if (nodes > 1) square *= 2 * (j == axis ? 1 / nodes : nodes);
  }
  return level * std::sqrt(square);
}

Decay decay_of(std::span<const double> profile, double rounding) {
  constexpr double kFlat = 1.0 / 3;
  if (!std::all_of(profile.begin(), profile.end(), [](double a) { return std::isfinite(a); }))
    return {std::numeric_limits<double>::infinity(), false};
  const std::size_t n = profile.size() - 1, middle = n / 2, late = (3 * n + 3) / 4;
  const auto largest = [&](std::size_t first, std::size_t last) {
    return *std::max_element(profile.begin() + static_cast<std::ptrdiff_t>(first),
                             profile.begin() + static_cast<std::ptrdiff_t>(last));
  };
  const auto mean = [&](std::size_t first, std::size_t last) {
    return std::accumulate(profile.begin() + static_cast<std::ptrdiff_t>(first),
                           profile.begin() + static_cast<std::ptrdiff_t>(last), 0.0) /
           static_cast<double>(last - first);
  };
  // Ratio of means of n/4 independent terms each: allows three standard deviations.
  const double flat = std::max(kFlat, 1 - 6.4 / std::sqrt(static_cast<double>(n)));
  const double half = largest(middle, n + 1);
  if (half <= rounding && mean(late, n + 1) >= flat * mean(middle, late)) return {4 * half, true};
  const double steps = static_cast<double>(late - middle);
  const double slowest = std::max(0.99, 1 - 4 / static_cast<double>(n));
  const double rate = std::min(slowest, std::pow(largest(late, n + 1) / largest(middle, late), 1 / steps));
  double end = 0;
  for (std::size_t k = middle; k <= n; ++k)
    end = std::max(end, profile[k] * std::pow(rate, static_cast<double>(n - k)));
  return {2 * end * rate / (1 - rate), false};
}

}  // namespace lossatlas
