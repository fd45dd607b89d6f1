#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// Points lo + k (hi − lo)/(n − 1), k = 0..n−1. Point n−1 is exactly hi; for n = 1 the point is lo. hi − lo may exceed
/// the largest double.
struct Axis {
  double lo = 0;
  double hi = 1;
  std::int64_t points = 1;

  /// Point k.
  LOSSATLAS_API double at(std::int64_t k) const;
  friend bool operator==(const Axis&, const Axis&) = default;
};

/// A box grid in R^z. Points g are row-major in the axes: the last axis varies fastest, and axis 1 runs down the rows
/// of a picture.
/// @snippet api/sections.cpp grid
class LOSSATLAS_API Grid {
 public:
  Grid() = default;
  /// Throws InvalidArgument for no axes, an axis without points or with a non-finite end, or more than 2⁶² points.
  explicit Grid(std::vector<Axis> axes);
  /// [0, 1]^z with shape[i] points along axis i.
  static Grid unit(std::vector<std::int64_t> shape);
  /// [lo, hi]^z.
  static Grid box(double lo, double hi, std::vector<std::int64_t> shape);

  std::span<const Axis> axes() const { return axes_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(axes_.size()); }  ///< z
  std::int64_t size() const { return size_; }                                    ///< G
  std::vector<std::int64_t> shape() const;
  /// Writes α of point g to alpha (z).
  void point(std::int64_t g, std::span<double> alpha) const;
  /// Writes α of points first..first+count−1 to alpha (count, z).
  void points(std::int64_t first, std::int64_t count, std::span<double> alpha) const;
  /// Such as "[0, 1] × [0, 1], 128 × 128 points".
  std::string describe() const;

  friend bool operator==(const Grid& a, const Grid& b) { return a.axes_ == b.axes_; }

 private:
  std::vector<Axis> axes_;
  std::int64_t size_ = 0;
};

}  // namespace lossatlas
