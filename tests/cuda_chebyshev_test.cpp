// Sections by Chebyshev interpolation whose nodes a CUDA device evaluates.
#include <cmath>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lossatlas/landscape.hpp>

#include "cuda_device.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

class CudaChebyshev : public CudaBackend {};

TEST_F(CudaChebyshev, TheEstimateHoldsAgainstTheOracle) {
  const Instance instance = make_instance({.widths = {4, 6, 6, 6}, .heads = 2, .rank = 1, .seed = 3});
  const Landscape landscape(instance.network, instance.data, instance.loss, Device::cuda());
  const Grid grid = Grid::box(-0.5, 0.5, {200});
  std::vector<double> points;
  for (std::int64_t g = 0; g < grid.size(); ++g) points.push_back(grid.axes()[0].at(g));
  const std::vector<double> exact =
      reference::section_losses(instance.network, instance.section, points, instance.data, instance.loss);
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    SCOPED_TRACE(name(precision));
    const Surface surface = landscape.evaluate(
        instance.section, grid, {.precision = precision, .method = Method::chebyshev, .tolerance = 1e-9});
    ASSERT_TRUE(surface.chebyshev);
    const ChebyshevReport& report = *surface.chebyshev;
    ASSERT_EQ(report.method, Method::chebyshev) << report.reason;
    EXPECT_EQ(report.met, precision == Precision::f64) << report.estimate;
    EXPECT_EQ(surface.precision, precision);
    EXPECT_THAT(surface.device, testing::HasSubstr("cuda"));
    // The estimate is of what interpolation adds to the rounding of the precision.
    const Surface pointwise = landscape.evaluate(instance.section, grid, {.precision = precision});
    const std::vector<double>& reference = precision == Precision::f64 ? exact : pointwise.losses;
    for (std::size_t at = 0; at < exact.size(); ++at) {
      const double error = std::abs(surface.losses[at] - reference[at]) / report.scale[at % 2];
      ASSERT_TRUE(error <= 3 * report.estimate) << at << ": " << error;
    }
  }
}

}  // namespace
}  // namespace lossatlas
