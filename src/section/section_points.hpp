// Where a section is evaluated.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lossatlas/grid.hpp>

namespace lossatlas {

/// A list of points, or a run of a grid's points, which are never all stored. A view: the list or grid must outlive it.
class SectionPoints {
 public:
  /// A list (G, z).
  SectionPoints(std::span<const double> list, std::int64_t rank)
      : list_(list), rank_(rank), count_(static_cast<std::int64_t>(list.size()) / rank) {}
  /// Points first..first+count−1 of a grid.
  SectionPoints(const Grid& grid, std::int64_t first, std::int64_t count)
      : grid_(&grid), rank_(grid.rank()), first_(first), count_(count) {}

  std::int64_t rank() const { return rank_; }             ///< z
  std::int64_t count() const { return count_; }           ///< G
  std::span<const double> list() const { return list_; }  ///< (G, z); empty for a grid
  const Grid* grid() const { return grid_; }              ///< null for a list
  std::int64_t first() const { return first_; }           ///< in the grid

  /// Points first..first+count−1 of this view.
  SectionPoints part(std::int64_t first, std::int64_t count) const {
    return grid_ ? SectionPoints(*grid_, first_ + first, count) : SectionPoints(values(first, count), rank_);
  }
  /// Copies α of points first..first+count−1 of this view into alpha (count, z).
  void copy(std::int64_t first, std::int64_t count, std::span<double> alpha) const {
    if (grid_) return grid_->points(first_ + first, count, alpha);
    std::ranges::copy(values(first, count), alpha.begin());
  }

 private:
  std::span<const double> values(std::int64_t first, std::int64_t count) const {
    return list_.subspan(static_cast<std::size_t>(first * rank_), static_cast<std::size_t>(count * rank_));
  }

  std::span<const double> list_;
  const Grid* grid_ = nullptr;
  std::int64_t rank_ = 1;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace lossatlas
