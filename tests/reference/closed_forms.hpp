// Hessians of networks without hidden layers, in long double: ∇²R = mean_n ∇²ℓ_n ⊗ x̃_n x̃_nᵀ.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/network.hpp>

#include "reference/oracle.hpp"

namespace lossatlas::reference {

/// mean_n S_n ⊗ x̃ x̃ᵀ in the order of θ = (W, b), in long double; S_n (C, C) from `curvature(n)`.
template <class OutputCurvature>
std::vector<double> kronecker_mean(const Dataset& data, std::size_t outputs, OutputCurvature&& curvature) {
  const std::size_t in = static_cast<std::size_t>(data.features()), size = outputs * (in + 1);
  std::vector<long double> sum(size * size, 0.0L);
  const auto place = [&](std::size_t unit, std::size_t j) { return j == in ? outputs * in + unit : unit * in + j; };
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const std::vector<long double> s = curvature(n);
    std::vector<long double> x(data.input(n).begin(), data.input(n).end());
    x.push_back(1);
    for (std::size_t e = 0; e < size * size; ++e) {
      const std::size_t i = e / (in + 1) / size, j = e / size % (in + 1), p = e % size / (in + 1), q = e % (in + 1);
      sum[place(i, j) * size + place(p, q)] += s[i * outputs + p] * x[j] * x[q];
    }
  }
  std::vector<double> result;
  for (long double value : sum) result.push_back(static_cast<double>(value / static_cast<long double>(data.size())));
  return result;
}

inline std::vector<long double> softmax(const Network& network, std::span<const double> theta, const Dataset& data,
                                        std::int64_t n) {
  const auto outputs_of_sample = outputs(network, lift<long double>(theta), data.input(n));
  auto p = log_softmax(std::span<const long double>(outputs_of_sample));
  for (long double& value : p) value = std::exp(value);
  return p;
}

/// Hessian of the mean squared error: S_n = 2I.
inline std::vector<double> linear_regression_hessian(const Dataset& data, std::size_t outputs) {
  return kronecker_mean(data, outputs, [&](std::int64_t) {
    std::vector<long double> s(outputs * outputs, 0.0L);
    for (std::size_t c = 0; c < outputs; ++c) s[c * (outputs + 1)] = 2;
    return s;
  });
}

/// Hessian of the cross entropy: S_n = diag(p) − p pᵀ, with 1 − p_c as the sum of the others.
inline std::vector<double> softmax_regression_hessian(const Network& network, std::span<const double> theta,
                                                      const Dataset& data) {
  const auto outputs = static_cast<std::size_t>(network.outputs());
  return kronecker_mean(data, outputs, [&](std::int64_t n) {
    const auto p = softmax(network, theta, data, n);
    std::vector<long double> s(outputs * outputs, 0.0L);
    for (std::size_t c = 0; c < outputs; ++c) {
      for (std::size_t d = 0; d < outputs; ++d) {
        if (c == d) continue;
        s[c * outputs + d] = -p[c] * p[d];
        s[c * outputs + c] += p[c] * p[d];
      }
    }
    return s;
  });
}

}  // namespace lossatlas::reference
