// The losses of one sample with their first and second derivatives in the outputs, for every head.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>

#include "../kernels/scalar.cuh"

namespace lossatlas::cpu {

class LossRows {
 public:
  LossRows(Loss loss, const Dataset& data, std::int64_t heads, std::int64_t classes)
      : loss_(loss), data_(data), heads_(heads), classes_(classes) {}

  /// Writes ℓ(p, y_n) of each head to `losses` (H), for outputs p (H·C).
  void losses(const double* p, std::int64_t n, double* losses) const {
    const bool entropy = loss_ == Loss::cross_entropy;
    for (std::int64_t k = 0; k < heads_; ++k, p += classes_) {
      if (data_.has_labels()) {
        const std::int64_t label = data_.labels()[static_cast<std::size_t>(n)];
        losses[k] =
            entropy ? scalar::cross_entropy(p, classes_, 1, label) : scalar::squared_error(p, classes_, 1, label);
      } else {
        const double* y = data_.targets().data() + n * classes_;
        losses[k] = entropy ? scalar::cross_entropy(p, classes_, 1, y) : scalar::squared_error(p, classes_, 1, y);
      }
    }
  }

  /// Adds 1 to `right` (H) if the first largest output is the label and no output of the head is NaN.
  void count_right(const double* p, std::int64_t n, std::int64_t* right) const {
    if (!data_.has_labels()) return;
    const std::int64_t label = data_.labels()[static_cast<std::size_t>(n)];
    for (std::int64_t k = 0; k < heads_; ++k, p += classes_) {
      const bool has_nan = std::any_of(p, p + classes_, [](double x) { return std::isnan(x); });
      right[k] += !has_nan && std::max_element(p, p + classes_) - p == label;
    }
  }

  /// Writes ∂ℓ/∂p of all heads to `result` (H·C).
  void gradient(const double* p, std::int64_t n, double* result) const {
    for (std::int64_t k = 0; k < heads_; ++k, p += classes_, result += classes_) {
      if (loss_ == Loss::mean_squared_error) {
        for (std::int64_t c = 0; c < classes_; ++c) {
          result[c] = scalar::squared_error_derivative(p[c], data_.target(n, c));
        }
        continue;
      }
      const auto norm = scalar::logsumexp(p, classes_, 1);
      for (std::int64_t c = 0; c < classes_; ++c) {
        result[c] = scalar::cross_entropy_derivative(p[c], norm, data_.target(n, c));
      }
    }
  }

  /// u (H·C) ← ∇²ℓ u: 2u, or s ⊙ (u − s·u) with s = softmax(p).
  void multiply_curvature(const double* p, double* u) const {
    if (loss_ == Loss::mean_squared_error) {
      for (std::int64_t c = 0; c < heads_ * classes_; ++c) u[c] *= 2;
      return;
    }
    for (std::int64_t k = 0; k < heads_; ++k, p += classes_, u += classes_) {
      const auto norm = scalar::logsumexp(p, classes_, 1);
      double mean = 0;
      for (std::int64_t c = 0; c < classes_; ++c) mean += std::exp(norm.log_share(p[c])) * u[c];
      for (std::int64_t c = 0; c < classes_; ++c) u[c] = std::exp(norm.log_share(p[c])) * (u[c] - mean);
    }
  }

 private:
  Loss loss_;
  const Dataset& data_;
  std::int64_t heads_;
  std::int64_t classes_;
};

}  // namespace lossatlas::cpu
