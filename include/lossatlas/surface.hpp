#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/device.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/grid.hpp>

namespace lossatlas {

/// Losses of a section at the G points of a grid, or of a list, per head, with what computed them.
struct LOSSATLAS_API Surface {
  Grid grid;                             ///< the grid; for a list of points one axis 0..G−1
  std::vector<double> points;            ///< (G, z) for a list of points, else empty
  std::int64_t heads = 1;                ///< H
  std::vector<double> losses;            ///< (G, H) row-major; non-finite values stay where they arose
  std::int64_t nonfinite = 0;            ///< how many of the losses are NaN or infinite
  std::string device;                    ///< Device::describe() of what ran
  Precision precision = Precision::f64;  ///< the arithmetic that ran, not the one asked for
  std::string plan;                      ///< explain() of the plan that ran
  double seconds = 0;

  std::int64_t size() const { return grid.size(); }  ///< G
  double at(std::int64_t g, std::int64_t head) const { return losses[static_cast<std::size_t>(g * heads + head)]; }
  /// R = Σ over heads at point g.
  double total(std::int64_t g) const;
  /// The losses of one head (G).
  std::vector<double> head(std::int64_t index) const;
};

/// Smallest and largest finite value; both NaN when there is none.
struct Range {
  double lo = 0;
  double hi = 0;
};
LOSSATLAS_API Range finite_range(std::span<const double> values);

}  // namespace lossatlas
