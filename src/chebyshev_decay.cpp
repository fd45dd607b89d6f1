#include "chebyshev_decay.hpp"

#include <algorithm>
#include <cmath>

#include "chebyshev_tensor.hpp"

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
    for (std::size_t k = 0; k < sums.size() && unit > 0; ++k) profile[k] = std::max(profile[k], sums[k] / unit);
  }
  return profile;
}

double rounding_level(Precision precision) {
  switch (precision) {
    case Precision::f64:
      return 1e-11;
    case Precision::f32:
      return 1e-5;
    case Precision::fast:
      return 1e-3;
  }
  return 0;
}

Decay decay_of(std::span<const double> profile, double rounding_level) {
  constexpr double kSlowest = 0.99, kFlat = 1.0 / 3;
  const std::size_t n = profile.size() - 1, middle = n / 2, late = (3 * n + 3) / 4;
  const auto largest = [&](std::size_t first, std::size_t last) {
    return *std::max_element(profile.begin() + static_cast<std::ptrdiff_t>(first),
                             profile.begin() + static_cast<std::ptrdiff_t>(last));
  };
  const double half = largest(middle, n + 1);
  if (half <= rounding_level && largest(n - 1, n + 1) >= kFlat * half) return {4 * half, true};
  const double steps = static_cast<double>(late - middle);
  const double rate = std::min(kSlowest, std::pow(largest(late, n + 1) / largest(middle, late), 1 / steps));
  double end = 0;
  for (std::size_t k = middle; k <= n; ++k)
    end = std::max(end, profile[k] * std::pow(rate, static_cast<double>(n - k)));
  return {2 * end * rate / (1 - rate), false};
}

}  // namespace lossatlas
