#include <algorithm>
#include <cmath>

#include <lossatlas/chebyshev.hpp>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kPoints = 1024;  // of a list, that one thread takes at a time
constexpr std::int64_t kBlock = 4096;   // points of an axis whose T_k are held at once

/// Evaluates p, or a derivative of it, at one point after another. Sums over the axes one by one, as contract() does;
/// leading coordinates shared with the previous point are not summed again.
class PointWalk {
 public:
  /// orders (z): the order of the derivative along each axis.
  PointWalk(const ChebyshevInterpolant& p, std::span<const int> orders)
      : axes_(p.axes()), heads_(static_cast<std::size_t>(p.heads())), orders_(orders), coefficients_(p.coefficients()) {
    std::size_t size = coefficients_.size();
    for (const ChebyshevAxis& axis : axes_) {
      const auto nodes = static_cast<std::size_t>(axis.nodes);
      columns_.emplace_back(nodes);
      sums_.emplace_back(size /= nodes);
    }
  }

  /// (H): one number for each head.
  std::span<const double> at(std::span<const double> alpha) {
    std::size_t i = 0;
    while (i < last_.size() && last_[i] == alpha[i]) ++i;
    for (; i < axes_.size(); ++i) {
      chebyshev_column(axes_[i], alpha[i], orders_[i], columns_[i].data());
      sum_over(i);
    }
    last_.assign(alpha.begin(), alpha.end());
    return sums_.back();
  }

 private:
  /// (H, K_i, ..., K_z) → sums_[i] (H, K_{i+1}, ..., K_z).
  void sum_over(std::size_t i) {
    const std::size_t nodes = columns_[i].size(), right = sums_[i].size() / heads_;
    const double* in = i == 0 ? coefficients_.data() : sums_[i - 1].data();
    double* out = sums_[i].data();
    for (std::size_t h = 0; h < heads_; ++h, out += right) {
      std::fill_n(out, right, 0.0);
      for (std::size_t k = 0; k < nodes; ++k, in += right) {
        for (std::size_t r = 0; r < right; ++r) out[r] += columns_[i][k] * in[r];
      }
    }
  }

  std::span<const ChebyshevAxis> axes_;
  std::size_t heads_ = 1;
  std::span<const int> orders_;
  std::vector<std::vector<double>> columns_;  ///< T_k, or a derivative, of each axis at the last point
  std::span<const double> coefficients_;
  std::vector<std::vector<double>> sums_;  ///< over the first i + 1 axes
  std::vector<double> last_;
};

/// out[(g·H + h)·step] = p or a derivative of each head h at points (g, z).
void evaluate_list(const ChebyshevInterpolant& p, std::span<const double> points, std::span<const int> orders,
                   std::size_t step, double* out) {
  PointWalk walk(p, orders);
  const auto z = static_cast<std::size_t>(p.rank());
  for (std::size_t at = 0; at < points.size(); at += z) {
    for (const double value : walk.at(points.subspan(at, z))) {
      *out = value;
      out += step;
    }
  }
}

/// in (left, K, right) → (left, n, right) at the n points of an axis. Working in blocks of points keeps the table of
/// T_k small and changes no bit.
std::vector<double> along_axis(std::span<const double> in, AxisShape shape, const ChebyshevAxis& nodes,
                               const Axis& axis, int threads, const Control& control) {
  const auto table = [&](std::int64_t first, std::int64_t last) {
    std::vector<double> alpha;
    for (std::int64_t k = first; k < last; ++k) alpha.push_back(axis.at(k));
    return chebyshev_table(nodes, alpha);
  };
  constexpr const char* kStage = "interpolation";
  if (axis.points <= kBlock) return contract(in, shape, table(0, axis.points), threads, control, kStage);
  std::vector<double> result(static_cast<std::size_t>(shape.left * axis.points * shape.right));
  const Control quiet{{}, control.stop};
  for (std::int64_t first = 0; first < axis.points; first += kBlock) {
    const std::int64_t last = std::min(first + kBlock, axis.points), row = (last - first) * shape.right;
    const std::vector<double> block = contract(in, shape, table(first, last), threads, quiet, kStage);
    for (std::int64_t l = 0; l < shape.left; ++l) {
      std::copy_n(block.data() + l * row, row, result.data() + (l * axis.points + first) * shape.right);
    }
    if (control.progress) control.progress({kStage, last, axis.points, "points"});
  }
  return result;
}

void check_axes(std::span<const ChebyshevAxis> axes, std::int64_t heads, std::size_t numbers) {
  constexpr const char* kFunction = "ChebyshevInterpolant";
  require(!axes.empty() && heads >= 1, kFunction, "received ", axes.size(), " axes and ", heads,
          " heads, expected at least one of each");
  std::size_t left = numbers / static_cast<std::size_t>(heads) * static_cast<std::size_t>(heads) == numbers
                         ? numbers / static_cast<std::size_t>(heads)
                         : 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto& [lo, hi, nodes] = axes[i];
    require(std::isfinite(lo) && std::isfinite(hi) && lo <= hi, kFunction, "received the range ", lo, ":", hi,
            " on axis ", i + 1, ", expected finite ends in order");
    require(nodes >= 1 && (nodes == 1) == (lo == hi), kFunction, "received ", nodes, " nodes on axis ", i + 1,
            ", expected ", lo == hi ? "1 where the range is empty" : "at least 2");
    left = left % static_cast<std::size_t>(nodes) == 0 ? left / static_cast<std::size_t>(nodes) : 0;
  }
  require(left == 1, kFunction, "received ", numbers, " numbers, expected heads times the nodes of all axes");
}

}  // namespace

ChebyshevInterpolant::ChebyshevInterpolant(std::vector<ChebyshevAxis> axes, std::int64_t heads,
                                           std::vector<double> coefficients)
    : axes_(std::move(axes)), heads_(heads), coefficients_(std::move(coefficients)) {
  check_axes(axes_, heads_, coefficients_.size());
}

ChebyshevInterpolant ChebyshevInterpolant::through(std::vector<ChebyshevAxis> axes, std::int64_t heads,
                                                   std::span<const double> values, int threads,
                                                   const Control& control) {
  check_axes(axes, heads, values.size());
  auto coefficients = chebyshev_coefficients(axes, heads, values, threads, control);
  return {std::move(axes), heads, std::move(coefficients)};
}

void ChebyshevInterpolant::check_grid(const Grid& grid) const {
  require(grid.rank() == rank(), "ChebyshevInterpolant", "received a grid of ", grid.rank(), " axes, expected ",
          rank());
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    const Axis& axis = grid.axes()[i];
    const auto [lo, hi] = std::minmax({axis.at(0), axis.at(axis.points - 1)});
    require(axes_[i].lo <= lo && hi <= axes_[i].hi, "ChebyshevInterpolant", "received the range ", lo, ":", hi,
            " on axis ", i + 1, ", expected points within the box, ", axes_[i].lo, ":", axes_[i].hi);
  }
}

std::int64_t ChebyshevInterpolant::check_points(std::span<const double> points) const {
  require(points.size() % axes_.size() == 0, "ChebyshevInterpolant", "received ", points.size(),
          " coordinates, expected a multiple of ", rank());
  for (std::size_t at = 0; at < points.size(); ++at) {
    const ChebyshevAxis& axis = axes_[at % axes_.size()];
    require(axis.lo <= points[at] && points[at] <= axis.hi, "ChebyshevInterpolant", "received ", points[at],
            " on axis ", at % axes_.size() + 1, ", expected points within the box, ", axis.lo, ":", axis.hi);
  }
  return static_cast<std::int64_t>(points.size()) / rank();
}

std::vector<double> ChebyshevInterpolant::evaluate(const Grid& grid, int threads, const Control& control) const {
  check_grid(grid);
  std::vector<double> result = coefficients_;
  AxisShape shape{heads_, 1, node_count(axes_)};
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    shape = {shape.left, axes_[i].nodes, shape.right / axes_[i].nodes};
    result = along_axis(result, shape, axes_[i], grid.axes()[i], threads, control);
    shape.left *= grid.axes()[i].points;
  }
  if (heads_ == 1) return result;
  std::vector<double> by_point(result.size());
  const auto heads = static_cast<std::size_t>(heads_), points = result.size() / heads;
  for (std::size_t g = 0; g < points; ++g) {
    for (std::size_t h = 0; h < heads; ++h) by_point[g * heads + h] = result[h * points + g];
  }
  return by_point;
}

std::vector<double> ChebyshevInterpolant::evaluate(std::span<const double> points, int threads,
                                                   const Control& control) const {
  const std::int64_t count = check_points(points);
  std::vector<double> result(static_cast<std::size_t>(count * heads_));
  const std::vector<int> orders(axes_.size(), 0);
  parallel_for((count + kPoints - 1) / kPoints, threads, control, "interpolation", [&](std::int64_t item, int) {
    const std::int64_t first = item * kPoints, last = std::min(first + kPoints, count);
    const auto part =
        points.subspan(static_cast<std::size_t>(first * rank()), static_cast<std::size_t>((last - first) * rank()));
    evaluate_list(*this, part, orders, 1, result.data() + first * heads_);
  });
  return result;
}

std::vector<double> ChebyshevInterpolant::gradient(std::span<const double> points) const {
  const std::int64_t count = check_points(points);
  const std::size_t z = axes_.size();
  std::vector<double> result(static_cast<std::size_t>(count * heads_) * z);
  std::vector<int> orders(z, 0);
  for (std::size_t i = 0; i < z; ++i) {
    orders[i] = 1;
    evaluate_list(*this, points, orders, z, result.data() + i);
    orders[i] = 0;
  }
  return result;
}

std::vector<double> ChebyshevInterpolant::hessian(std::span<const double> points) const {
  const std::int64_t count = check_points(points);
  const std::size_t z = axes_.size();
  const auto rows = static_cast<std::size_t>(count * heads_);
  std::vector<double> result(rows * z * z);
  std::vector<int> orders(z, 0);
  for (std::size_t i = 0; i < z; ++i) {
    for (std::size_t j = i; j < z; ++j) {
      ++orders[i], ++orders[j];
      evaluate_list(*this, points, orders, z * z, result.data() + i * z + j);
      for (std::size_t row = 0; row < rows; ++row) result[row * z * z + j * z + i] = result[row * z * z + i * z + j];
      orders[i] = orders[j] = 0;
    }
  }
  return result;
}

double ChebyshevInterpolant::flop(const Grid& grid) const {
  check_grid(grid);
  double flop = 0, left = static_cast<double>(heads_), right = static_cast<double>(node_count(axes_));
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    const auto points = static_cast<double>(grid.axes()[i].points), nodes = static_cast<double>(axes_[i].nodes);
    flop += 3 * points * nodes + 2 * left * points * right;
    left *= points;
    right /= nodes;
  }
  return flop;
}

}  // namespace lossatlas
