#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/surface.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

TEST(Surface, HeadsAndTotals) {
  Surface surface;
  surface.grid = Grid::unit({2});
  surface.heads = 3;
  surface.losses = {1, 2, 3, 10, 20, 30};
  EXPECT_EQ(surface.total(1), 60);
  EXPECT_EQ(surface.head(2), (std::vector<double>{3, 30}));
  EXPECT_EQ(surface.at(1, 0), 10);
  EXPECT_ERROR(surface.head(3), InvalidArgument, "head 3");
}

TEST(FiniteRange, SkipsWhatIsNotFinite) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const Range range = finite_range(std::vector<double>{nan, 3, -inf, 1, inf, 2, nan});
  EXPECT_EQ(range.lo, 1);
  EXPECT_EQ(range.hi, 3);
  EXPECT_TRUE(std::isnan(finite_range(std::vector<double>{nan, inf}).lo));
  EXPECT_TRUE(std::isnan(finite_range({}).hi));
}

}  // namespace
}  // namespace lossatlas
