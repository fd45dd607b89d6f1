#include <algorithm>
#include <cmath>

#include <lossatlas/grid.hpp>

#include "base/check.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kMaxPoints = std::int64_t{1} << 62;

double step_of(const Axis& axis) {
  const auto steps = static_cast<double>(axis.points - 1);
  const double range = axis.hi - axis.lo;
  return std::isfinite(range) ? range / steps : axis.hi / steps - axis.lo / steps;
}

// Device: kernels/section.cu. If hi − lo overflows, steps from the nearer end, and by halves up to the middle.
double coordinate(const Axis& axis, double step, std::int64_t k) {
  const std::int64_t last = axis.points - 1;
  if (k == 0) return axis.lo;
  if (k == last) return axis.hi;
  if (std::isfinite(axis.hi - axis.lo)) return axis.lo + static_cast<double>(k) * step;
  if (k > last / 2) return axis.hi - static_cast<double>(last - k) * step;
  return 2 * (axis.lo / 2 + static_cast<double>(k) * (step / 2));
}

}  // namespace

double Axis::at(std::int64_t k) const { return coordinate(*this, step_of(*this), k); }

Grid::Grid(std::vector<Axis> axes) : axes_(std::move(axes)), size_(1) {
  require(!axes_.empty(), "Grid", "received no axes, expected at least 1");
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    const Axis& axis = axes_[i];
    require(axis.points >= 1, "Grid", "received ", axis.points, " points on axis ", i + 1, ", expected at least 1");
    require(std::isfinite(axis.lo) && std::isfinite(axis.hi), "Grid", "received the range ", axis.lo, ":", axis.hi,
            " on axis ", i + 1, ", expected finite ends");
    require(size_ <= kMaxPoints / axis.points, "Grid", "received more than 2^62 points, expected a smaller grid");
    size_ *= axis.points;
  }
}

Grid Grid::unit(std::vector<std::int64_t> shape) { return box(0, 1, std::move(shape)); }

Grid Grid::box(double lo, double hi, std::vector<std::int64_t> shape) {
  std::vector<Axis> axes;
  for (const std::int64_t points : shape) axes.push_back({lo, hi, points});
  return Grid(std::move(axes));
}

std::vector<std::int64_t> Grid::shape() const {
  std::vector<std::int64_t> result;
  for (const Axis& axis : axes_) result.push_back(axis.points);
  return result;
}

void Grid::point(std::int64_t g, std::span<double> alpha) const {
  require(alpha.size() == axes_.size(), "Grid::point", "received room for ", alpha.size(), " coordinates, expected ",
          axes_.size());
  require(g >= 0 && g < size_, "Grid::point", "received point ", g, ", expected 0 to ", size_ - 1);
  for (std::size_t i = axes_.size(); i-- > 0;) {
    alpha[i] = axes_[i].at(g % axes_[i].points);
    g /= axes_[i].points;
  }
}

void Grid::points(std::int64_t first, std::int64_t count, std::span<double> alpha) const {
  const auto z = axes_.size();
  require(count >= 0 && alpha.size() == static_cast<std::size_t>(count) * z, "Grid::points", "received room for ",
          alpha.size(), " coordinates, expected ", count, " points of ", z);
  require(first >= 0 && count <= size_ - first, "Grid::points", "received points ", first, " to ", first + count - 1,
          ", expected 0 to ", size_ - 1);
  if (count == 0) return;
  const Axis& fastest = axes_.back();
  const double step = step_of(fastest);
  std::vector<double> row(z);
  for (double* to = alpha.data(); count > 0;) {
    point(first, row);
    const std::int64_t begin = first % fastest.points, end = std::min(begin + count, fastest.points);
    for (std::int64_t k = begin; k < end; ++k, to += z) {
      std::copy(row.begin(), row.end() - 1, to);
      to[z - 1] = coordinate(fastest, step, k);
    }
    first += end - begin;
    count -= end - begin;
  }
}

std::string Grid::describe() const {
  TextStream text;
  for (std::size_t i = 0; i < axes_.size(); ++i)
    text << (i ? " × [" : "[") << axes_[i].lo << ", " << axes_[i].hi << ']';
  for (std::size_t i = 0; i < axes_.size(); ++i) text << (i ? " × " : ", ") << axes_[i].points;
  text << " points";
  return text.str();
}

}  // namespace lossatlas
