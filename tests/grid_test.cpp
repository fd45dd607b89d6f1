#include <gtest/gtest.h>

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
}

}  // namespace
}  // namespace lossatlas
