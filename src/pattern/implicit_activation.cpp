#include <algorithm>
#include <cmath>
#include <limits>

#include <lossatlas/implicit_activation.hpp>

#include "../kernels/scalar.cuh"
#include "base/check.hpp"
#include "model/labels.hpp"

namespace lossatlas {
namespace {

constexpr double kAbsentLogit = 40;  // how far below the rarest class an absent one starts

/// log(1 + π (eˢ − 1)) without overflow.
double log_mix(double share, double s) {
  if (s < 30) return std::log1p(share * std::expm1(s));
  return s + std::log(share) + std::log1p((1 - share) / share * std::exp(-s));
}

/// π eˢ / (1 + π (eˢ − 1)).
double mix_share(double share, double s) { return share / (share + (1 - share) * std::exp(-s)); }

void check_distribution(std::span<const double> mean) {
  double sum = 0;
  for (const double share : mean) {
    require(share >= 0, "ImplicitActivation", "received a mean target of ", share,
            ", expected label frequencies >= 0 for cross entropy");
    sum += share;
  }
  require(std::abs(sum - 1) <= 1e-9, "ImplicitActivation", "received label frequencies with sum ", sum,
          ", expected 1 for cross entropy");
}

}  // namespace

ImplicitActivation::ImplicitActivation(Loss loss, const Dataset& data)
    : ImplicitActivation(loss, (require_no_unread_labels(data, loss, "ImplicitActivation"), label_statistics(data))) {}

ImplicitActivation::ImplicitActivation(Loss loss, LabelStatistics statistics)
    : loss_(loss), statistics_(std::move(statistics)) {
  const std::vector<double>& mean = statistics_.mean;
  require(!mean.empty(), "ImplicitActivation", "received no outputs, expected at least 1");
  if (loss_ == Loss::mean_squared_error) {
    base_ = mean;
    direction_.assign(mean.size(), 1 / std::sqrt(static_cast<double>(mean.size())));
    minimum_ = statistics_.variance;
    return;
  }
  check_distribution(mean);
  std::size_t rarest = mean.size(), absent = mean.size(), present = 0;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    if (mean[c] == 0) {
      absent = c;
      continue;
    }
    ++present;
    if (rarest == mean.size() || mean[c] < mean[rarest]) rarest = c;
    minimum_ -= mean[c] * std::log(mean[c]);
  }
  smallest_ = mean[rarest];
  base_.resize(mean.size());
  for (std::size_t c = 0; c < mean.size(); ++c)
    base_[c] = std::log(mean[c] == 0 ? smallest_ : mean[c]) - (mean[c] == 0 ? kAbsentLogit : 0);
  direction_.assign(mean.size(), 0);
  if (present > 1) {
    direction_[rarest] = 1;
    return;
  }
  require(absent < mean.size(), "ImplicitActivation",
          "received one class in all, expected at least 2; with one class the cross entropy is always 0");
  std::fill(base_.begin(), base_.end(), -kAbsentLogit);
  base_[rarest] = base_[absent] = 0;
  direction_[absent] = 1;
  minimum_ = 0;
  attained_ = false;
}

double ImplicitActivation::operator()(std::span<const double> p) const {
  require(p.size() == base_.size(), "ImplicitActivation", "received ", p.size(), " outputs, expected ", base_.size());
  if (loss_ == Loss::mean_squared_error) {
    return scalar::squared_error(p.data(), std::ssize(p), 1, base_.data()) + statistics_.variance;
  }
  return scalar::cross_entropy(p.data(), std::ssize(p), 1, statistics_.mean.data());
}

std::vector<double> ImplicitActivation::gradient(std::span<const double> p) const {
  require(p.size() == base_.size(), "ImplicitActivation::gradient", "received ", p.size(), " outputs, expected ",
          base_.size());
  std::vector<double> result(p.size());
  if (loss_ == Loss::mean_squared_error) {
    for (std::size_t c = 0; c < p.size(); ++c) result[c] = scalar::squared_error_derivative(p[c], base_[c]);
    return result;
  }
  const auto norm = scalar::logsumexp(p.data(), std::ssize(p), 1);
  for (std::size_t c = 0; c < p.size(); ++c) {
    result[c] = scalar::cross_entropy_derivative(p[c], norm, statistics_.mean[c]);
  }
  return result;
}

double ImplicitActivation::along_path(double s) const {
  if (loss_ == Loss::mean_squared_error) return statistics_.variance + s * s;
  const auto absent = static_cast<double>(std::count(statistics_.mean.begin(), statistics_.mean.end(), 0.0));
  const double tail = std::exp(-kAbsentLogit);
  if (!attained_) {  // logits 0 and s, the others at −40
    const double rest = (absent - 1) * tail;
    return s <= 0 ? std::log1p(std::exp(s) + rest) : s + std::log1p((1 + rest) * std::exp(-s));
  }
  // Absent classes add π_min e⁻⁴⁰ each to the sum of exponentials 1 + π_k (eˢ − 1).
  const double main = log_mix(smallest_, s) - smallest_ * s;
  return minimum_ + main + std::log1p(absent * smallest_ * tail * std::exp(-log_mix(smallest_, s)));
}

double ImplicitActivation::path_derivative(double s) const {
  if (loss_ == Loss::mean_squared_error) return 2 * s;
  if (!attained_) return s <= 0 ? std::exp(s) / (1 + std::exp(s)) : 1 / (1 + std::exp(-s));
  return mix_share(smallest_, s) - smallest_;
}

double ImplicitActivation::inverse(double t) const {
  require(std::isfinite(t) && (attained_ ? t >= minimum_ : t > minimum_), "ImplicitActivation::inverse", "received ", t,
          ", expected a loss ", attained_ ? "of at least " : "above ", minimum_, "; raise the offset");
  if (loss_ == Loss::mean_squared_error) return std::sqrt(t - statistics_.variance);
  double lo = attained_ ? 0 : -1, hi = 1;
  while (!attained_ && along_path(lo) > t && lo > -700) lo *= 2;
  while (along_path(hi) < t) hi *= 2;
  // σ is convex along the path, so Newton from above converges monotonically; the bracket guards against rounding.
  double s = hi;
  for (int i = 0; i < 200; ++i) {
    const double value = along_path(s) - t;
    (value > 0 ? hi : lo) = s;
    const double slope = path_derivative(s);
    double next = slope > 0 ? s - value / slope : (lo + hi) / 2;
    if (!(next > lo && next < hi)) next = (lo + hi) / 2;
    if (std::abs(next - s) <= 1e-16 * std::abs(s) || next == s) break;
    s = next;
  }
  return s;
}

}  // namespace lossatlas
