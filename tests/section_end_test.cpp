#include "section/section_end.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace lossatlas {
namespace {

using Ends = std::vector<std::pair<std::int64_t, std::vector<double>>>;

Ends ends_of(const SectionPoints& points) {
  Ends ends;
  for_each_end(points, [&](std::int64_t g, std::span<const double> alpha) {
    ends.emplace_back(g, std::vector<double>(alpha.begin(), alpha.end()));
  });
  return ends;
}

/// By a look at every point.
Ends expected_of(const SectionPoints& points) {
  Ends ends;
  std::vector<double> alpha(static_cast<std::size_t>(points.rank()));
  for (std::int64_t g = 0; g < points.count(); ++g) {
    points.copy(g, 1, alpha);
    if (is_end(alpha)) ends.emplace_back(g, alpha);
  }
  return ends;
}

TEST(SectionEnd, IsAUnitVector) {
  EXPECT_TRUE(is_end(std::vector<double>{1}));
  EXPECT_TRUE(is_end(std::vector<double>{0, 1, 0}));
  EXPECT_FALSE(is_end(std::vector<double>{0, 0, 0}));
  EXPECT_FALSE(is_end(std::vector<double>{1, 1, 0}));
  EXPECT_FALSE(is_end(std::vector<double>{1, 0.5}));
}

TEST(SectionEnd, EveryEndOfARunIsFound) {
  const Axis five{-1, 1, 5}, unit{0, 1, 3}, zeros{0, 0, 4}, half{0.5, 0.5, 2}, single{1, 1, 1}, back{1, -1, 5};
  const Axis longer{0, 1, 2501};  // than the pieces in which points are looked at
  std::size_t found = 0;
  for (const auto& axes : std::vector<std::vector<Axis>>{{unit},
                                                         {longer},
                                                         {five, unit},
                                                         {unit, longer},
                                                         {longer, unit},
                                                         {unit, zeros},
                                                         {zeros, single},
                                                         {unit, half},
                                                         {five, back, unit},
                                                         {unit, zeros, single}}) {
    const Grid grid(axes);
    SCOPED_TRACE(grid.describe());
    for (std::int64_t first = 0; first < grid.size(); first += 1 + grid.size() / 7) {
      for (std::int64_t count = 0; first + count <= grid.size(); count += 1 + grid.size() / 9) {
        const SectionPoints points(grid, first, count);
        std::vector<double> list(static_cast<std::size_t>(count * grid.rank()));
        points.copy(0, count, list);
        const Ends expected = expected_of(points);
        EXPECT_EQ(ends_of(points), expected);
        EXPECT_EQ(ends_of({list, grid.rank()}), expected);
        found += expected.size();
      }
    }
  }
  EXPECT_GT(found, 100u);
}

}  // namespace
}  // namespace lossatlas
