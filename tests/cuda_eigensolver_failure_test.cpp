// What residuals on the CUDA device say when the eigensolver hands out vectors that are NaN: planted into the LAPACK of
// the emulated device.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/hessian.hpp>

#include "cuda_device.hpp"
#include "failing_lapack.hpp"

namespace lossatlas {
namespace {

class CudaEigensolverFailure : public CudaBackend {
 protected:
  void SetUp() override {
    CudaBackend::SetUp();
    if (missing_device().empty() && !emulator()) GTEST_SKIP() << "needs the LAPACK of the emulated device";
  }
  void TearDown() override {
    testing::solve_forgets = 0;
    CudaBackend::TearDown();
  }
};

TEST_F(CudaEigensolverFailure, ShowsInTheResidual) {
  const Landscape device(mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3(), Loss::mean_squared_error,
                         Device::cuda());
  const std::vector<double> theta = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, twice(12, 0.3);
  testing::solve_forgets = 1;
  EXPECT_TRUE(std::isnan(hessian_spectrum(device, theta, {.vectors = true}).residual));
  testing::solve_forgets = 2;
  const std::vector<Spectrum> spectra = hessian_spectra(device, twice, {.vectors = true});
  EXPECT_FALSE(std::isnan(spectra[0].residual));
  EXPECT_TRUE(std::isnan(spectra[1].residual));
}

}  // namespace
}  // namespace lossatlas
