#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/grid.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

TEST(Axis, EndpointsAreExact) {
  for (const std::int64_t points : {2, 3, 7, 10, 49, 128, 1000003}) {
    const Axis axis{-0.1, 0.7, points};
    EXPECT_EQ(axis.at(0), -0.1);
    EXPECT_EQ(axis.at(points - 1), 0.7);
  }
  EXPECT_EQ((Axis{0.3, 5, 1}.at(0)), 0.3);
  EXPECT_DOUBLE_EQ((Axis{0, 1, 5}.at(1)), 0.25);
}

TEST(Axis, PointsOfTheLongestRangeAreFiniteAndAscend) {
  constexpr double kMost = std::numeric_limits<double>::max();
  for (std::int64_t points = 2; points < 60; ++points) {
    const Axis axis{-kMost, kMost, points};
    for (std::int64_t k = 1; k < points; ++k) {
      EXPECT_TRUE(std::isfinite(axis.at(k))) << points << ' ' << k;
      EXPECT_GT(axis.at(k), axis.at(k - 1)) << points << ' ' << k;
    }
  }
}

TEST(Grid, RowMajorOrder) {
  const Grid grid({{0, 1, 2}, {10, 12, 3}});
  EXPECT_EQ(grid.size(), 6);
  std::vector<double> alpha(2);
  grid.point(4, alpha);
  EXPECT_EQ(alpha, (std::vector<double>{1, 11}));
  grid.point(2, alpha);
  EXPECT_EQ(alpha, (std::vector<double>{0, 12}));
  EXPECT_EQ(grid.describe(), "[0, 1] × [10, 12], 2 × 3 points");
}

TEST(Grid, RunsOfPointsAreThePoints) {
  for (const Grid& grid :
       {Grid({{-1, 1.1, 7}}), Grid({{0, 0.3, 5}, {2, 2, 1}}), Grid({{0, 1, 3}, {1, 3, 4}, {-5, 7, 6}})}) {
    const auto z = static_cast<std::size_t>(grid.rank());
    for (std::int64_t first = 0; first <= grid.size(); ++first) {
      for (std::int64_t count = 0; count <= grid.size() - first; ++count) {
        std::vector<double> run(static_cast<std::size_t>(count) * z), one(z);
        grid.points(first, count, run);
        for (std::int64_t g = 0; g < count; ++g) {
          grid.point(first + g, one);
          ASSERT_TRUE(std::equal(one.begin(), one.end(), run.begin() + g * grid.rank())) << first << ' ' << count;
        }
      }
    }
  }
}

TEST(Grid, LargeCountsDoNotOverflow) {
  const std::int64_t n = std::int64_t{1} << 20;
  const Grid grid = Grid::unit({n, n, 8});
  EXPECT_EQ(grid.size(), std::int64_t{1} << 43);
  std::vector<double> alpha(3);
  grid.point(grid.size() - 1, alpha);
  EXPECT_EQ(alpha, (std::vector<double>{1, 1, 1}));
  EXPECT_ERROR(Grid::unit({n, n, n, n}), InvalidArgument, "2^62");
}

TEST(Grid, BadArguments) {
  EXPECT_ERROR(Grid(std::vector<Axis>{}), InvalidArgument, "no axes");
  EXPECT_ERROR(Grid::unit({3, 0}), InvalidArgument, "0 points on axis 2");
  EXPECT_ERROR(Grid::unit({-3}), InvalidArgument, "-3 points");
  EXPECT_ERROR(Grid({{0, std::numeric_limits<double>::infinity(), 2}}), InvalidArgument, "finite");
  EXPECT_ERROR(Grid({{std::numeric_limits<double>::quiet_NaN(), 1, 2}}), InvalidArgument, "finite");
  std::vector<double> alpha(2);
  EXPECT_ERROR(Grid::unit({3}).point(0, alpha), InvalidArgument, "2 coordinates");
  EXPECT_ERROR(Grid::unit({3, 3}).point(9, alpha), InvalidArgument, "point 9");
  EXPECT_ERROR(Grid::unit({3, 3}).points(0, 2, alpha), InvalidArgument, "2 points of 2");
  EXPECT_ERROR(Grid::unit({3, 3}).points(9, 1, alpha), InvalidArgument, "0 to 8");
}

}  // namespace
}  // namespace lossatlas
