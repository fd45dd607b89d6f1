// Symmetric matrices with a given spectrum.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace lossatlas::reference {

/// Q diag(values) Qᵀ in long double, Q a product of a few random reflections I − 2 u uᵀ.
inline std::vector<double> with_spectrum(const std::vector<double>& values, std::uint64_t seed) {
  const std::size_t n = values.size();
  std::vector<long double> a(n * n, 0.0L), u(n), au(n);
  for (std::size_t i = 0; i < n; ++i) a[i * n + i] = values[i];
  Random random(seed);
  for (int reflection = 0; reflection < 3; ++reflection) {
    long double norm = 0;
    for (long double& entry : u) entry = random.normal(), norm += entry * entry;
    for (long double& entry : u) entry /= std::sqrt(norm);
    // (I − 2uuᵀ) A (I − 2uuᵀ) = A − u wᵀ − w uᵀ with w = 2Au − 2(uᵀAu) u.
    long double uau = 0;
    for (std::size_t i = 0; i < n; ++i) {
      au[i] = 0;
      for (std::size_t j = 0; j < n; ++j) au[i] += a[i * n + j] * u[j];
      uau += u[i] * au[i];
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        a[i * n + j] -= 2 * (u[i] * (au[j] - uau * u[j]) + (au[i] - uau * u[i]) * u[j]);
      }
    }
  }
  return {a.begin(), a.end()};
}

}  // namespace lossatlas::reference
