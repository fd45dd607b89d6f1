// The ends of a section (α a unit vector), whose parameters may be given exactly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "section/section_points.hpp"

namespace lossatlas {

/// Whether α is a unit vector: an end of the section.
inline bool is_end(std::span<const double> alpha) {
  return std::ranges::count(alpha, 0.0) == std::ssize(alpha) - 1 && std::ranges::count(alpha, 1.0) == 1;
}

/// Whether some last coordinate completes these z − 1 others to an end.
inline bool may_be_end(std::span<const double> others) {
  const auto ones = std::ranges::count(others, 1.0);
  return ones <= 1 && ones + std::ranges::count(others, 0.0) == std::ssize(others);
}

/// Calls use(g, α) for every end among the points, in order. Skips long rows of a grid that contain none.
template <class Use>
void for_each_end(const SectionPoints& points, Use&& use) {
  constexpr std::int64_t kPiece = 1024, kLeastRow = 16;
  const auto rank = static_cast<std::size_t>(points.rank());
  const bool by_rows = points.grid() && points.grid()->axes().back().points >= kLeastRow;
  const std::int64_t row = by_rows ? points.grid()->axes().back().points : kPiece;
  std::vector<double> piece(static_cast<std::size_t>(std::min({row, kPiece, points.count()})) * rank);
  for (std::int64_t first = 0, count = 0; first < points.count(); first += count) {
    const std::int64_t rest = std::min(row - (points.first() + first) % row, points.count() - first);
    count = std::min(rest, kPiece);
    const auto alphas = std::span(piece).first(static_cast<std::size_t>(count) * rank);
    if (by_rows) {
      points.copy(first, 1, alphas.first(rank));
      if (!may_be_end(alphas.first(rank - 1))) {
        count = rest;
        continue;
      }
    }
    points.copy(first, count, alphas);
    for (std::int64_t g = 0; g < count; ++g) {
      const std::span<const double> alpha = alphas.subspan(static_cast<std::size_t>(g) * rank, rank);
      if (is_end(alpha)) use(first + g, alpha);
    }
  }
}

}  // namespace lossatlas
