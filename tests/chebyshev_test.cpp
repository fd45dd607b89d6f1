// Chebyshev interpolants: known polynomials, the same bits for any cut and number of threads, derivatives against the
// oracle.
#include <lossatlas/chebyshev.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "chebyshev_cases.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "surface/chebyshev_tensor.hpp"

namespace lossatlas {
namespace {

using namespace testing;
using reference::max_difference;

TEST(ChebyshevInterpolant, APolynomialAndItsDerivativesAreKnown) {
  const std::vector<ChebyshevAxis> axes = {{-1, 3, 4}, {2, 2, 1}, {0, 1, 3}};
  const auto f = [](double x, double y) { return 1 + x * x * x * y - 2 * y * y; };
  std::vector<double> values;
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) {
      const double x = chebyshev_node(axes[0], i), y = chebyshev_node(axes[2], j);
      values.insert(values.end(), {f(x, y), -x});
    }
  }
  const ChebyshevInterpolant p = ChebyshevInterpolant::through(axes, 2, values);
  ASSERT_EQ(p.coefficients().size(), 24U);
  // −x = −1 − 2t: the coefficients of the second head
  for (std::size_t at = 12; at < 24; ++at) {
    EXPECT_NEAR(p.coefficients()[at], at == 12 ? -1 : at == 15 ? -2 : 0, 1e-14) << at;
  }
  for (const auto& [x, y] : {std::pair{-1.0, 0.0}, {3.0, 1.0}, {0.7, 0.3}, {-0.2, 0.9}}) {
    SCOPED_TRACE(x);
    const std::vector<double> point = {x, 2, y};
    EXPECT_LE(max_difference(p.evaluate(point), std::vector<double>{f(x, y), -x}), 1e-13);
    const double kUnknown = std::nan("");
    const std::vector<double> slopes = {3 * x * x * y, kUnknown, x * x * x - 4 * y, -1, kUnknown, 0};
    EXPECT_LE(max_difference(p.gradient(point), slopes), 1e-12);
    const double mixed = 3 * x * x;
    const std::vector<double> second = {6 * x * y, kUnknown, mixed, kUnknown, kUnknown, kUnknown, mixed, kUnknown, -4,
                                        0,         kUnknown, 0,     kUnknown, kUnknown, kUnknown, 0,     kUnknown, 0};
    EXPECT_LE(max_difference(p.hessian(point), second), 1e-11);
  }
}

TEST(ChebyshevInterpolant, GridsListsAndThreadsGiveTheSameBits) {
  Random random(5);
  const std::vector<ChebyshevAxis> axes = {{-1, 1, 5}, {0, 0.25, 9}, {-3, -3, 1}};
  std::vector<double> coefficients(2 * 45);
  for (double& c : coefficients) c = random.normal();
  const ChebyshevInterpolant p(axes, 2, coefficients);
  for (const Grid& grid :
       {Grid({{-1, 1, 7}, {0, 0.25, 2100}, {-3, -3, 2}}), Grid({{1, -1, 3}, {0.2, 9, 1}, {-3, 7, 1}}),
        Grid({{-1, 1, 3}, {0, 0.25, 9000}, {-3, -3, 1}}), Grid({{-1, 1, 5000}, {0, 0.25, 2}, {-3, -3, 1}})}) {
    const std::vector<double> once = p.evaluate(grid);
    EXPECT_EQ(p.evaluate(grid, 3), once);
    EXPECT_EQ(p.evaluate(points_of(grid)), once);
    EXPECT_EQ(p.evaluate(points_of(grid), 3), once);
  }
  EXPECT_EQ(p.flop(Grid({{-1, 1, 7}, {0, 0, 2}, {-3, -3, 1}})),
            3 * (7 * 5 + 2 * 9 + 1) + 2 * (2.0 * 7 * 45 + 2 * 14 * 9 + 2 * 14));
}

TEST(ChebyshevInterpolant, BadArguments) {
  const std::vector<double> four(4, 1.0);
  EXPECT_ERROR(ChebyshevInterpolant({}, 1, {}), InvalidArgument, "axes");
  EXPECT_ERROR(ChebyshevInterpolant({{0, 1, 3}}, 1, four), InvalidArgument, "4 numbers");
  EXPECT_ERROR(ChebyshevInterpolant({{0, 1, 2}}, 3, four), InvalidArgument, "4 numbers");
  EXPECT_ERROR(ChebyshevInterpolant({{0, 1, 1}}, 4, four), InvalidArgument, "1 nodes");
  EXPECT_ERROR(ChebyshevInterpolant({{1, 0, 4}}, 1, four), InvalidArgument, "in order");
  EXPECT_ERROR(ChebyshevInterpolant::through({{0, std::nan(""), 4}}, 1, four), InvalidArgument, "nan");
  const ChebyshevInterpolant p({{0, 1, 4}}, 1, four);
  EXPECT_ERROR(p.evaluate(std::vector<double>{1.5}), InvalidArgument, "within the box");
  EXPECT_ERROR(p.gradient(std::vector<double>{std::nan("")}), InvalidArgument, "within the box");
  EXPECT_ERROR(p.evaluate(Grid({{0, 2, 3}})), InvalidArgument, "within the box");
  EXPECT_ERROR(p.evaluate(Grid::unit({3, 3})), InvalidArgument, "2 axes");
  EXPECT_ERROR(ChebyshevInterpolant({{0, 1, 2}, {0, 1, 2}}, 1, four).hessian(std::vector<double>(3)), InvalidArgument,
               "3 coordinates");
}

TEST(Chebyshev, DerivativesAgreeWithTheOracle) {
  using Second = reference::Dual<reference::Dual<double>>;
  Random random(11);
  for (const Activation activation : kSmooth) {
    SCOPED_TRACE(name(activation));
    const Case c = random_case({.layers = 3, .rank = 2, .heads = 2, .activation = activation, .length = 0.5}, random);
    const ChebyshevFit fit = fit_chebyshev(c.landscape, c.section, Grid::box(-1, 1, {200, 200}), {.tolerance = 1e-12});
    ASSERT_TRUE(fit.interpolant) << fit.report.reason;
    const double nodes = static_cast<double>(*std::max_element(fit.report.nodes.begin(), fit.report.nodes.end()));
    // Markov: each derivative of a polynomial of degree n on [−1, 1] is at most n² times its size
    const double scale = *std::max_element(fit.report.scale.begin(), fit.report.scale.end());
    const double error = 3 * std::max(fit.report.estimate, 1e-14) * scale * nodes * nodes;
    std::vector<double> points = {0, 0, 0.3, -0.8, 1, -1, -0.99, 0.5};
    const std::vector<double> gradient = fit.interpolant->gradient(points), hessian = fit.interpolant->hessian(points);
    const std::size_t size = c.section.origin.size();
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t a = i / 2, b = i % 2;
        std::vector<Second> theta;
        const std::vector<double> at = reference::section_point(c.section, std::span(points).subspan(2 * g, 2));
        for (std::size_t m = 0; m < size; ++m) {
          theta.push_back({{at[m], c.section.directions[a * size + m]}, {c.section.directions[b * size + m], 0.0}});
        }
        const auto losses = reference::losses(c.network, theta, c.data, c.loss);
        for (std::size_t h = 0; h < 2; ++h) {
          EXPECT_NEAR(gradient[(g * 2 + h) * 2 + a], losses[h].v.d, error);
          EXPECT_NEAR(hessian[((g * 2 + h) * 2 + a) * 2 + b], losses[h].d.d, error * nodes * nodes);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lossatlas
