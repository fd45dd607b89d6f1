// What spectra on the CPU say when LAPACK's iteration fails.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/hessian.hpp>

#include "expect_error.hpp"
#include "failing_lapack.hpp"

namespace lossatlas {
namespace {

/// A Hessian of size 3, on one thread so that points are solved in order.
Landscape landscape() {
  return Landscape(mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3(), Loss::mean_squared_error,
                   Device::cpu({.threads = 1}));
}

class EigensolverFailure : public ::testing::Test {
 protected:
  void TearDown() override { testing::solve_fails = testing::solve_forgets = 0; }
};

TEST_F(EigensolverFailure, NamesThePoint) {
  const std::vector<double> thetas = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
  testing::solve_fails = 3;
  EXPECT_ERROR(hessian_spectra(landscape(), thetas), Error,
               "[hessian_spectra] received parameters of point 2 with a Hessian of size 3 on which LAPACK's iteration");
  testing::solve_fails = 1;
  EXPECT_ERROR(hessian_spectrum(landscape(), std::span(thetas).first(3)), Error,
               "[hessian_spectrum] received parameters with a Hessian of size 3 on which LAPACK's iteration");
  testing::solve_fails = 1;
  EXPECT_ERROR(symmetric_spectrum({1}, 1), Error, "[symmetric_spectrum] received a matrix of size 1 on which LAPACK's");
}

TEST_F(EigensolverFailure, ShowsInTheResidual) {
  testing::solve_forgets = 1;
  EXPECT_TRUE(std::isnan(symmetric_spectrum({1, 0, 0, 0, 2, 0, 0, 0, 3}, 3, {.vectors = true}).residual));
  testing::solve_forgets = 1;
  const std::vector<double> theta = {0.1, 0.2, 0.3};
  EXPECT_TRUE(std::isnan(hessian_spectrum(landscape(), theta, {.vectors = true}).residual));
  EXPECT_FALSE(std::isnan(hessian_spectrum(landscape(), theta, {.vectors = true}).residual));
}

}  // namespace
}  // namespace lossatlas
