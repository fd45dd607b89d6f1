// Spectra of many Hessians at once against those of one at a time.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include <lossatlas/hessian.hpp>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas {
namespace {

Landscape landscape_of(const Network& network, std::int64_t samples, int threads) {
  Random random(9);
  return Landscape(
      network, reference::random_data(random, samples, network.inputs(), network.outputs(), Loss::mean_squared_error),
      Loss::mean_squared_error, Device::cpu({.threads = threads}));
}

std::vector<double> points(const Network& network, std::int64_t count) {
  Random random(10);
  std::vector<double> thetas(static_cast<std::size_t>(count * network.parameter_count()));
  for (double& value : thetas) value = random.normal();
  return thetas;
}

std::span<const double> point(const std::vector<double>& thetas, std::size_t size, std::size_t index) {
  return std::span(thetas).subspan(index * size, size);
}

TEST(HessianSpectra, AreThoseOfOneAtATimeForAnyNumberOfThreads) {
  const Network network = mlp({2, 4, 3, 1}, Activation::tanh);
  const auto size = static_cast<std::size_t>(network.parameter_count());
  const std::vector<double> thetas = points(network, 9);
  for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    for (const SpectrumOptions& options :
         {SpectrumOptions{}, SpectrumOptions{.vectors = true, .zero_threshold = 1e-3}}) {
      for (const int threads : {1, 2, 5}) {
        const Landscape landscape = landscape_of(network, 40, threads);
        const auto spectra = hessian_spectra(landscape, thetas, options, {.part = part});
        ASSERT_EQ(spectra.size(), 9u);
        for (std::size_t i = 0; i < 9; ++i) {
          const Spectrum one = hessian_spectrum(landscape, point(thetas, size, i), options, {.part = part});
          EXPECT_EQ(spectra[i].eigenvalues, one.eigenvalues) << i;
          EXPECT_EQ(spectra[i].eigenvectors, one.eigenvectors) << i;
          EXPECT_EQ(spectra[i].inertia, one.inertia) << i;
          EXPECT_EQ(spectra[i].residual, one.residual) << i;
          EXPECT_EQ(spectra[i].zero.threshold, one.zero.threshold) << i;
          EXPECT_EQ(spectra[i].device, one.device);
        }
      }
    }
  }
}

/// A batch holds 256 MiB of Hessians; 2^25 entries are 3355 of 100 parameters.
TEST(HessianSpectra, AreTheSameBeyondABatch) {
  const Network network = mlp({99, 1}, Activation::identity);
  const Landscape landscape = landscape_of(network, 2, 2);
  const std::int64_t count = 3357;
  const std::vector<double> thetas = points(network, count);
  std::vector<std::int64_t> done;
  const Control control{[&](const ProgressEvent& event) {
                          EXPECT_EQ(event.stage, "spectra");
                          EXPECT_EQ(event.total, count);
                          done.push_back(event.done);
                        },
                        {}};
  const auto spectra = hessian_spectra(landscape, thetas, {}, {.control = control});
  EXPECT_EQ(done, (std::vector<std::int64_t>{3355, 3357}));
  ASSERT_EQ(spectra.size(), 3357u);
  const Spectrum one = hessian_spectrum(landscape, point(thetas, 100, 0));
  for (const std::size_t i : {0, 3354, 3355, 3356}) {  // the Hessian is the same everywhere
    EXPECT_EQ(spectra[i].eigenvalues, one.eigenvalues) << i;
    EXPECT_EQ(spectra[i].inertia, (Inertia{2, 98, 0})) << i;
  }
}

TEST(HessianSpectra, RefuseBadInputAndNameThePoint) {
  const Network network = mlp({2, 4, 1}, Activation::tanh);
  const Landscape landscape = landscape_of(network, 5, 2);
  std::vector<double> thetas = points(network, 4);
  EXPECT_TRUE(hessian_spectra(landscape, {}).empty());
  EXPECT_ERROR(hessian_spectra(landscape, std::span(thetas).first(18)), InvalidArgument,
               "received 18 entries, expected a multiple of 17");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(hessian_spectra(landscape, thetas, {}, {.control = {{}, stop.get_token()}}), Interrupted);
  thetas[2 * 17 + 3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(hessian_spectra(landscape, thetas), Error,
               "[hessian_spectra] received parameters of point 2 whose Hessian has the entry nan at (");
  EXPECT_THROW(hessian_spectra(landscape, thetas), NonFiniteHessian);
}

/// θ is not finite, which the Hessian would show.
TEST(HessianSpectra, RefuseBadOptionsBeforeAnyWork) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Landscape small = landscape_of(mlp({2, 4, 1}, Activation::tanh), 5, 2);
  const std::vector<double> theta(17, nan);
  EXPECT_ERROR(hessian_spectrum(small, theta, {.zero_threshold = -1}), InvalidArgument,
               "[hessian_spectrum] received zero threshold -1");
  EXPECT_ERROR(hessian_spectra(small, theta, {.zero_threshold = nan}), InvalidArgument,
               "[hessian_spectra] received zero threshold nan");
  const Landscape large = landscape_of(mlp({32766, 1}, Activation::tanh), 1, 1);
  const std::vector<double> many(32767, nan);
  EXPECT_ERROR(hessian_spectrum(large, many, {.vectors = true}), InvalidArgument,
               "[hessian_spectrum] received size 32767 with vectors, expected at most 32766 on the CPU");
  EXPECT_ERROR(hessian_spectra(large, many, {.vectors = true}), InvalidArgument, "[hessian_spectra] received size");
}

TEST(HessianSpectra, CostIsCountedBeforeAnyWork) {
  const Landscape landscape = landscape_of(mlp({1, 16666, 1}, Activation::tanh), 3, 1);
  const SpectrumCost values = spectrum_cost(landscape), vectors = spectrum_cost(landscape, {.vectors = true});
  const double m = 49999;
  EXPECT_DOUBLE_EQ(values.assembly_flop, 3 * m * m);
  EXPECT_DOUBLE_EQ(values.eigen_flop, 4.0 / 3 * m * m * m);
  EXPECT_DOUBLE_EQ(vectors.eigen_flop, 8 * m * m * m);
  EXPECT_GE(values.bytes, 8 * m * m) << "20 GB";
  EXPECT_LE(values.bytes, 10 * m * m);
  EXPECT_EQ(vectors.bytes, 32 * m * m) << "LAPACK's workspace is two matrices";
}

TEST(HessianSpectra, SayHowManyBytesTheyNeed) {
  const Landscape large = landscape_of(mlp({999, 1000, 1}, Activation::tanh), 1, 1);
  const std::vector<double> two(2 * 1001001);
  EXPECT_ERROR(hessian_spectra(large, two), OutOfMemory,
               "[hessian_spectra] received point 0, for which [hessian] received 1001001 parameters, whose Hessian "
               "takes 8016024016008 bytes");
  const Landscape wide = landscape_of(mlp({31999, 1}, Activation::tanh), 1, 1);
  const std::vector<double> many(200 * 32000);
  EXPECT_ERROR(hessian_spectra(wide, many, {.vectors = true}), OutOfMemory,
               "200 points with 32000 parameters, whose eigenvectors take 1638400000000 bytes");
}

}  // namespace
}  // namespace lossatlas
