// Norms and sums of plain vectors, shared by the optimisers and what is built on them.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

namespace lossatlas {

inline double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

inline double norm_l2(std::span<const double> a) { return std::sqrt(dot(a, a)); }

inline double norm_l1(std::span<const double> a) {
  return std::accumulate(a.begin(), a.end(), 0.0, [](double sum, double x) { return sum + std::abs(x); });
}

/// The largest |a_i|; NaN when an entry is NaN.
inline double norm_max(std::span<const double> a) {
  double top = 0;
  for (const double x : a) {
    if (std::isnan(x)) return x;
    top = std::max(top, std::abs(x));
  }
  return top;
}

/// a + t·d.
inline std::vector<double> moved(std::span<const double> a, double t, std::span<const double> d) {
  std::vector<double> result(a.begin(), a.end());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] += t * d[i];
  return result;
}

}  // namespace lossatlas
