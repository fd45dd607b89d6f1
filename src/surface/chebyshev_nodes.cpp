#include "surface/chebyshev_nodes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {
namespace {

/// Appends points first..last−1, spread over the axes that are not single points: u_m = frac(1/2 + (m + 1) g^{−i}),
/// with g^{z+1} = g + 1 (a Kronecker sequence, irrational and so never a node). Half of the points have t = −cos(πu),
/// dense towards the faces as the nodes are; the others t = 2u − 1.
void held_out_points(std::span<const ChebyshevAxis> box, std::int64_t first, std::int64_t last,
                     std::vector<double>& points) {
  const auto free = std::count_if(box.begin(), box.end(), [](const ChebyshevAxis& axis) { return axis.lo != axis.hi; });
  double golden = 1.5;
  for (int i = 0; i < 100; ++i) golden = std::pow(1 + golden, 1.0 / static_cast<double>(free + 1));
  for (std::int64_t m = first + 1; m <= last; ++m) {
    double step = 1;
    for (const ChebyshevAxis& axis : box) {
      if (axis.lo == axis.hi) {
        points.push_back(axis.lo);
        continue;
      }
      step /= golden;
      const double shifted = 0.5 + static_cast<double>(m) * step, u = shifted - std::floor(shifted);
      const double t = m % 2 ? -std::cos(std::numbers::pi * u) : 2 * u - 1;
      points.push_back((axis.lo / 2 + axis.hi / 2) + (axis.hi / 2 - axis.lo / 2) * t);
    }
  }
}

/// Raises each head's scale to the largest |loss| of losses (n, H).
void raise(std::span<const double> losses, std::vector<double>& scale) {
  for (std::size_t at = 0; at < losses.size(); ++at) {
    double& top = scale[at % scale.size()];
    top = std::max(top, std::abs(losses[at]));
  }
}

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

double held_out_count(std::span<const std::int64_t> nodes, std::int64_t points) {
  double free = 0, product = 1;
  for (const std::int64_t count : nodes) {
    free += count > 1;
    product *= static_cast<double>(count);
  }
  if (free == 0) return 0;
  const auto all = static_cast<double>(points);
  const double share = all / (free < 3 ? 1024 : 256);
  const double side = free == 1 ? 2 * std::cbrt(all) * std::cbrt(all) : std::pow(all, 1 / free);
  return std::floor(std::max({16 * (free + 1), product / 16, share, side}));
}

ChebyshevNodes::ChebyshevNodes(PreparedSection& section, std::vector<ChebyshevAxis> box, std::int64_t points,
                               Control control)
    : section_(section), points_(points), control_(std::move(control)), axes_(std::move(box)) {
  for (ChebyshevAxis& axis : axes_) axis.nodes = 0;
}

double ChebyshevNodes::cost(std::span<const std::int64_t> nodes) const {
  double after = 1, before = 1;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    after *= static_cast<double>(nodes[i]);
    before *= static_cast<double>(axes_[i].nodes);
  }
  return after - before + lossatlas::held_out_count(nodes, points_) - static_cast<double>(held_out_count());
}

std::vector<double> ChebyshevNodes::new_points(std::span<const ChebyshevAxis> axes, std::vector<char>& fresh) const {
  std::vector<double> points;
  std::vector<std::int64_t> index(axes.size(), 0);
  for (char& is_new : fresh) {
    bool known = !values_.empty();
    for (std::size_t i = 0; i < axes.size() && known; ++i) {
      const std::int64_t step = axes[i].nodes == 1 ? 1 : (axes[i].nodes - 1) / (axes_[i].nodes - 1);
      known = index[i] % step == 0;
    }
    is_new = !known;
    for (std::size_t i = 0; i < axes.size() && is_new; ++i) points.push_back(chebyshev_node(axes[i], index[i]));
    for (std::size_t i = axes.size(); i-- > 0 && ++index[i] == axes[i].nodes;) index[i] = 0;
  }
  return points;
}

void ChebyshevNodes::grow(std::span<const std::int64_t> nodes) {
  std::vector<ChebyshevAxis> axes = axes_;
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i].nodes = nodes[i];
  std::vector<char> fresh(static_cast<std::size_t>(node_count(axes)));
  std::vector<double> points = new_points(axes, fresh);
  const auto more = static_cast<std::ptrdiff_t>(held_out_.size());
  held_out_points(axes, held_out_count(), static_cast<std::int64_t>(lossatlas::held_out_count(nodes, points_)),
                  held_out_);
  points.insert(points.end(), held_out_.begin() + more, held_out_.end());
  if (points.empty()) return;
  const auto count = static_cast<std::int64_t>(points.size() / axes.size());
  std::vector<double> losses(static_cast<std::size_t>(count) * heads());
  section_.losses({points, static_cast<std::int64_t>(axes.size())}, control_, losses);
  precision_ = section_.precision();
  evaluations_ += count;

  // The old nodes keep their order within the new grid.
  std::vector<double> values;
  values.reserve(fresh.size() * heads());
  auto old_loss = values_.cbegin(), new_loss = losses.cbegin();
  for (const char is_new : fresh) {
    auto& source = is_new ? new_loss : old_loss;
    values.insert(values.end(), source, source + static_cast<std::ptrdiff_t>(heads()));
    source += static_cast<std::ptrdiff_t>(heads());
  }
  held_out_losses_.insert(held_out_losses_.end(), new_loss, losses.cend());
  values_ = std::move(values);
  axes_ = std::move(axes);
}

bool ChebyshevNodes::finite() const { return all_finite(values_) && all_finite(held_out_losses_); }

std::vector<double> ChebyshevNodes::scale() const {
  std::vector<double> scale(heads(), 0.0);
  raise(values_, scale);
  raise(held_out_losses_, scale);
  return scale;
}

std::vector<double> ChebyshevNodes::resolution() const {
  std::vector<double> gaps;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    std::vector<double> places;
    for (std::int64_t j = 0; j < axes_[i].nodes; ++j) places.push_back(chebyshev_node(axes_[i], j));
    for (std::size_t at = i; at < held_out_.size(); at += axes_.size()) places.push_back(held_out_[at]);
    std::ranges::sort(places);
    double& gap = gaps.emplace_back(0);
    for (std::size_t k = 1; k < places.size(); ++k) gap = std::max(gap, places[k] - places[k - 1]);
  }
  return gaps;
}

ChebyshevInterpolant ChebyshevNodes::interpolant() const {
  return ChebyshevInterpolant::through(axes_, static_cast<std::int64_t>(heads()), values_, threads(), control_);
}

double ChebyshevNodes::held_out_error(const ChebyshevInterpolant& interpolant) const {
  const std::vector<double> unit = scale(), predicted = interpolant.evaluate(held_out_, threads(), control_);
  double worst = 0;
  for (std::size_t at = 0; at < predicted.size(); ++at) {
    const double error = std::abs(predicted[at] - held_out_losses_[at]);
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    if (error > 0) worst = std::max(worst, error / unit[at % unit.size()]);
  }
  return worst;
}

}  // namespace lossatlas
