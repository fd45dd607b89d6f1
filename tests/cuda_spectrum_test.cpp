// Spectra of many Hessians, their residuals and the Cholesky test on the CUDA device, and failures planted into the
// emulated device.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/curvature.hpp>
#include <lossatlas/hessian.hpp>

#include "cuda_device.hpp"
#include "expect_error.hpp"
#include "random.hpp"
#include "reference/block_theorem.hpp"
#include "reference/closed_forms.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;
using reference::RandomProblem;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

class CudaSpectrum : public CudaBackend {};

/// A network with data and some points (k, M).
struct Batch {
  Network network;
  Dataset data;
  Loss loss;
  std::vector<double> thetas;

  std::size_t size() const { return static_cast<std::size_t>(network.parameter_count()); }
  std::size_t count() const { return thetas.size() / size(); }
  std::span<const double> theta(std::size_t i) const { return std::span(thetas).subspan(i * size(), size()); }
  Landscape on(const Device& device) const { return Landscape(network, data, loss, device); }
};

Batch make_batch(const std::vector<std::int64_t>& widths, std::int64_t points, std::int64_t samples = 9) {
  Random random(17);
  const Loss loss = Loss::mean_squared_error;
  Batch batch{mlp(widths, Activation::tanh),
              reference::random_data(random, samples, widths.front(), widths.back(), loss),
              loss,
              {}};
  for (std::int64_t i = 0; i < points * batch.network.parameter_count(); ++i) batch.thetas.push_back(random.normal());
  return batch;
}

/// All numbers of spectra in a row.
std::vector<double> numbers(const std::vector<Spectrum>& spectra) {
  std::vector<double> all;
  for (const Spectrum& one : spectra) {
    all.insert(all.end(), one.eigenvalues.begin(), one.eigenvalues.end());
    all.insert(all.end(), one.eigenvectors.begin(), one.eigenvectors.end());
    all.push_back(one.residual);
  }
  return all;
}

// ---- many Hessians ------------------------------------------------------------------------------------------------

TEST_F(CudaSpectrum, BatchesMatchTheCpuAndOneAtATime) {
  for (const std::int64_t points : {1, 2, 13}) {
    const Batch batch = make_batch({2, 4, 3, 2}, points);
    const Landscape device = batch.on(Device::cuda()), host = batch.on(Device::cpu());
    for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
      const auto expected = hessian_spectra(host, batch.thetas, {}, {.part = part});
      const auto values = hessian_spectra(device, batch.thetas, {}, {.part = part});
      const auto vectors = hessian_spectra(device, batch.thetas, {.vectors = true}, {.part = part});
      ASSERT_EQ(values.size(), batch.count());
      for (std::size_t i = 0; i < batch.count(); ++i) {
        SCOPED_TRACE(i);
        const Spectrum one = hessian_spectrum(device, batch.theta(i), {}, {.part = part});
        const double norm = largest(expected[i].eigenvalues);
        EXPECT_LE(max_difference(values[i].eigenvalues, expected[i].eigenvalues), 1e-12 * norm);
        EXPECT_LE(max_difference(values[i].eigenvalues, one.eigenvalues), 1e-13 * norm);
        EXPECT_LE(max_difference(vectors[i].eigenvalues, one.eigenvalues), 1e-13 * norm);
        if (expected[i].zero.gap >= 1000) {
          EXPECT_EQ(values[i].inertia, expected[i].inertia);
        }
        EXPECT_TRUE(values[i].eigenvectors.empty());
        EXPECT_EQ(vectors[i].eigenvectors.size(), batch.size() * batch.size());
        EXPECT_EQ(values[i].device, one.device);
      }
    }
  }
}

TEST_F(CudaSpectrum, BitsDoNotDependOnTheOtherPoints) {
  const Batch batch = make_batch({3, 4, 2}, 7);
  const Landscape device = batch.on(Device::cuda());
  for (const bool vectors : {false, true}) {
    const auto all = hessian_spectra(device, batch.thetas, {.vectors = vectors});
    for (const std::size_t i : {0, 3, 6}) {
      EXPECT_TRUE(same_bits(numbers(hessian_spectra(device, batch.theta(i), {.vectors = vectors})), numbers({all[i]})));
    }
    const auto tail = hessian_spectra(device, std::span(batch.thetas).subspan(2 * batch.size()), {.vectors = vectors});
    EXPECT_TRUE(same_bits(numbers(tail), numbers({all.begin() + 2, all.end()})));
  }
}

/// M = 513 is beyond what is solved in batches, M = 512 is not.
TEST_F(CudaSpectrum, LargeHessiansAreSolvedOneAtATime) {
  for (const std::int64_t inputs : {511, 512}) {
    const Batch batch = make_batch({inputs, 1}, 2, 3);
    const Landscape device = batch.on(Device::cuda());
    std::vector<std::int64_t> done;
    const Control control{[&](const ProgressEvent& event) {
                            EXPECT_EQ(event.stage, "spectra");
                            EXPECT_EQ(event.total, 2);
                            done.push_back(event.done);
                          },
                          {}};
    const auto spectra = hessian_spectra(device, batch.thetas, {}, {.control = control});
    EXPECT_EQ(done, inputs == 511 ? std::vector<std::int64_t>{2} : (std::vector<std::int64_t>{1, 2}));
    ASSERT_EQ(spectra.size(), 2u);
    const Spectrum one = hessian_spectrum(device, batch.theta(1));
    const double norm = largest(one.eigenvalues);
    EXPECT_LE(max_difference(spectra[1].eigenvalues, one.eigenvalues), 1e-13 * norm);
    EXPECT_EQ(spectra[1].inertia, (Inertia{3, inputs + 1 - 3, 0}));
  }
}

TEST_F(CudaSpectrum, BadInputNamesThePoint) {
  Batch batch = make_batch({2, 3, 1}, 5);
  const Landscape device = batch.on(Device::cuda());
  EXPECT_TRUE(hessian_spectra(device, {}).empty());
  EXPECT_ERROR(hessian_spectra(device, std::span(batch.thetas).first(20)), InvalidArgument, "20 entries");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(hessian_spectra(device, batch.thetas, {}, {.control = {{}, stop.get_token()}}), Interrupted);
  batch.thetas[3 * batch.size()] = std::nan("");
  EXPECT_ERROR(hessian_spectra(device, batch.thetas), Error,
               "[hessian_spectra] received parameters of point 3 whose Hessian has the entry");
  EXPECT_ERROR(test_curvature(device, batch.theta(3)), Error, "[test_curvature] received parameters whose Hessian has");
  EXPECT_ERROR(hessian_spectrum(device, batch.theta(3)), Error,
               "[hessian_spectrum] received parameters whose Hessian has");
}

// ---- residuals and closed forms -----------------------------------------------------------------------------------

/// Linear regression with C outputs: H = 2 mean x̃x̃ᵀ ⊗ I has every eigenvalue C times, zeros where there are fewer
/// samples than inputs, and is zero where the inputs are.
TEST_F(CudaSpectrum, ResidualsOfSingularClusteredAndZeroHessians) {
  double worst = 0;
  for (std::int64_t n = 1; n <= 48; ++n) {
    const std::int64_t outputs = n % 4 == 0 ? 4 : n % 3 == 0 ? 3 : 1, inputs = n / outputs;
    for (const std::int64_t samples : {std::int64_t{0}, (inputs + 1) / 2, 2 * inputs}) {
      Random random(static_cast<std::uint64_t>(n));
      const std::int64_t rows = std::max<std::int64_t>(1, samples), rank = outputs * std::min(samples, inputs);
      std::vector<double> x(static_cast<std::size_t>(rows * inputs)), y(static_cast<std::size_t>(rows * outputs));
      for (double& value : x) value = samples > 0 ? random.normal() : 0;
      const Dataset data = Dataset::regression(x, inputs, y, outputs);
      const Landscape device(mlp({inputs, outputs}, Activation::identity, {.bias = Bias::none}), data,
                             Loss::mean_squared_error, Device::cuda());
      const std::vector<double> thetas(static_cast<std::size_t>(2 * n));
      std::vector<Spectrum> spectra = hessian_spectra(device, thetas, {.vectors = true});
      spectra.push_back(
          hessian_spectrum(device, std::span(thetas).first(static_cast<std::size_t>(n)), {.vectors = true}));
      for (const Spectrum& one : spectra) {
        const double unit = static_cast<double>(n) * kEpsilon * largest(one.eigenvalues);
        EXPECT_LE(one.residual, 20 * unit) << n;
        EXPECT_EQ(one.inertia, (Inertia{rank, n - rank, 0})) << n << ", " << samples << " samples";
        if (unit > 0) worst = std::max(worst, one.residual / unit);
      }
    }
  }
  std::cout << "largest residual " << worst << " n eps |H|\n";
}

TEST_F(CudaSpectrum, HessiansOfRegressionsHaveTheirClosedForms) {
  Random random(3);
  for (const std::int64_t classes : {2, 3}) {
    const Network network = mlp({4, classes}, Activation::identity);
    const std::vector<double> theta = random_parameters(network, {.seed = 5});
    const Dataset real = reference::random_data(random, 40, 4, classes, Loss::mean_squared_error);
    const Dataset labels = reference::random_data(random, 40, 4, classes, Loss::cross_entropy);
    const Landscape linear(network, real, Loss::mean_squared_error, Device::cuda());
    const Landscape softmax(network, labels, Loss::cross_entropy, Device::cuda());
    const auto of_linear = reference::linear_regression_hessian(real, static_cast<std::size_t>(classes));
    const auto of_softmax = reference::softmax_regression_hessian(network, theta, labels);
    EXPECT_LE(max_difference(hessian(linear, theta), of_linear), 1e-14 * largest(of_linear));
    EXPECT_LE(max_difference(hessian(softmax, theta), of_softmax), 1e-14 * largest(of_softmax)) << classes;
  }
}

/// Every activation with a second derivative, both losses, 1 to 4 layers.
TEST_F(CudaSpectrum, HessiansMatchDualNumbers) {
  std::uint64_t seed = 9000;
  double worst = 0;
  for (const Activation activation : all_activations()) {
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
      for (std::int64_t depth = 1; depth <= 4; ++depth) {
        std::vector<std::int64_t> widths = {2};
        for (std::int64_t l = 1; l < depth; ++l) widths.push_back(2 + l % 2);
        widths.push_back(3);
        const Network network = mlp(widths, activation);
        Random random(++seed);
        const Dataset data = reference::random_data(random, 17, 2, 3, loss);
        const std::vector<double> theta = random_parameters(network, {.seed = seed, .scale = {}});
        const auto expected = reference::dual_hessian(network, theta, data, loss);
        const double error = max_difference(hessian(Landscape(network, data, loss, Device::cuda()), theta), expected);
        EXPECT_LE(error, 1e-12 * largest(expected)) << network.describe() << ", seed " << seed;
        worst = std::max(worst, error / largest(expected));
      }
    }
  }
  std::cout << "seeds from 9001: largest error " << worst << " of the largest entry\n";
}

// ---- minimum or saddle --------------------------------------------------------------------------------------------

TEST_F(CudaSpectrum, CurvatureMatchesTheCpu) {
  std::uint64_t seed = 8000;
  int negative = 0;
  for (const auto& kind : reference::kinds()) {
    const RandomProblem problem = reference::random_problem(++seed, kind);
    const Landscape device(problem.network, problem.data, problem.loss, Device::cuda());
    const Landscape host(problem.network, problem.data, problem.loss, Device::cpu());
    for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
      const CurvatureTest expected = test_curvature(host, problem.theta, {.part = part});
      const CurvatureTest received = test_curvature(device, problem.theta, {.part = part});
      EXPECT_EQ(received.curvature, expected.curvature) << problem.describe();
      EXPECT_NEAR(received.below, expected.below, 1e-9 * expected.below);
      EXPECT_NEAR(received.rounding, expected.rounding, 1e-9 * expected.rounding);
      EXPECT_EQ(received.device.substr(0, 4), "cuda");
      negative += received.curvature == Curvature::negative;
    }
  }
  EXPECT_GT(negative, 5);
  EXPECT_LT(negative, 31);
}

/// R = (ab − 1)²: eigenvalues ±2 at 0.
TEST_F(CudaSpectrum, CurvatureOfAProductOfTwoWeights) {
  const Landscape device(mlp({1, 1, 1}, Activation::identity, {.bias = Bias::none}),
                         Dataset::regression({1}, 1, {1}, 1), Loss::mean_squared_error, Device::cuda());
  const std::vector<double> saddle = {0, 0}, minimum = {1, 1};
  EXPECT_EQ(test_curvature(device, saddle).curvature, Curvature::negative);
  EXPECT_EQ(test_curvature(device, saddle, {.below = 1.9}).curvature, Curvature::negative);
  EXPECT_EQ(test_curvature(device, saddle, {.below = 2.1}).curvature, Curvature::not_negative);
  EXPECT_EQ(test_curvature(device, saddle, {.below = 0}).curvature, Curvature::undecided);
  EXPECT_EQ(test_curvature(device, saddle, {.part = HessianPart::gauss_newton}).curvature, Curvature::not_negative);
  EXPECT_EQ(test_curvature(device, minimum).curvature, Curvature::not_negative);
}

// ---- failures -----------------------------------------------------------------------------------------------------

class CudaSpectrumFailures : public CudaSpectrum {
 protected:
  void SetUp() override {
    CudaSpectrum::SetUp();
    if (missing_device().empty() && !emulator()) GTEST_SKIP() << "needs the planted failures of the emulated device";
  }
};

TEST_F(CudaSpectrumFailures, AMemberThatDoesNotConvergeIsNamed) {
  const Batch batch = make_batch({2, 3, 1}, 5);
  const Landscape device = batch.on(Device::cuda());
  const auto expected = numbers(hessian_spectra(device, batch.thetas));
  emulator()->fail_eigensolve(4);
  EXPECT_ERROR(hessian_spectra(device, batch.thetas), Error,
               "[hessian_spectra] received parameters of point 3 whose Hessian of size 13 is one on which cuSOLVER's");
  emulator()->fail_eigensolve(1);
  EXPECT_ERROR(hessian_spectrum(device, batch.theta(0)), Error,
               "[hessian_spectrum] received parameters whose Hessian of size 13 is one on which cuSOLVER's iteration");
  const Batch large = make_batch({512, 1}, 2, 3);
  const Landscape large_device = large.on(Device::cuda());
  emulator()->fail_eigensolve(2);
  EXPECT_ERROR(hessian_spectra(large_device, large.thetas), Error, "received parameters of point 1 whose Hessian of");
  EXPECT_TRUE(same_bits(numbers(hessian_spectra(device, batch.thetas)), expected));
}

/// Less and less memory: smaller batches with the same bits, then an error with the bytes, which do suffice.
TEST_F(CudaSpectrumFailures, LittleMemoryMakesSmallBatchesWithTheSameBits) {
  const Batch batch = make_batch({4, 5, 1}, 10);
  for (const bool vectors : {false, true}) {
    const Landscape device = batch.on(Device::cuda());
    const auto expected = numbers(hessian_spectra(device, batch.thetas, {.vectors = vectors}));
    const std::int64_t held = emulator()->counts().device_bytes;
    bool refused = false;
    int batches_before = 0;
    for (std::size_t bytes = std::size_t{1} << 18; !refused; bytes = bytes * 7 / 8) {
      ASSERT_GT(bytes, 1000u);
      emulator()->set_memory_limit(static_cast<std::size_t>(held) + bytes);
      int batches = 0;
      const Control control{[&](const ProgressEvent&) { ++batches; }, {}};
      try {
        const auto spectra = hessian_spectra(device, batch.thetas, {.vectors = vectors}, {.control = control});
        EXPECT_TRUE(same_bits(numbers(spectra), expected)) << bytes;
        EXPECT_GE(batches, batches_before);
        batches_before = batches;
      } catch (const OutOfMemory& error) {
        refused = true;
        EXPECT_GT(error.bytes(), static_cast<std::int64_t>(8 * batch.size() * batch.size()));
        EXPECT_NE(std::string(error.what()).find(std::to_string(error.bytes()) + " bytes"), std::string::npos)
            << error.what();
      }
    }
    EXPECT_EQ(batches_before, 10) << "one at a time before it is refused";
    emulator()->reset();
  }
}

TEST_F(CudaSpectrumFailures, CurvatureThatDoesNotFitIsRefusedWithItsBytes) {
  const Batch batch = make_batch({40, 20, 10}, 1, 3);
  const Landscape device = batch.on(Device::cuda());
  emulator()->set_memory_limit(8 * batch.size() * batch.size());
  const std::int64_t launches = emulator()->counts().launches;
  EXPECT_ERROR(test_curvature(device, batch.thetas), OutOfMemory, "parameters, whose Hessian takes");
  EXPECT_ERROR(hessian_spectra(device, batch.thetas), OutOfMemory, "parameters, whose Hessian takes");
  EXPECT_EQ(emulator()->counts().launches, launches) << "asked too late";
}

}  // namespace
}  // namespace lossatlas
