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
#include <lossatlas/critical_point.hpp>
#include <lossatlas/curvature.hpp>
#include <lossatlas/hessian.hpp>

#include "base/random.hpp"
#include "base/vectors.hpp"
#include "cuda_device.hpp"
#include "expect_error.hpp"
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

/// max |V Vᵀ − 1| of the rows of V (n, n); NaN if an entry is.
double overlap(const std::vector<double>& rows, std::size_t n) {
  std::vector<double> product(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      product[i * n + j] = i == j ? -1 : 0;
      for (std::size_t c = 0; c < n; ++c) product[i * n + j] += rows[i * n + c] * rows[j * n + c];
    }
  }
  return norm_max(product);
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
        ASSERT_EQ(vectors[i].eigenvectors.size(), batch.size() * batch.size());
        EXPECT_LE(overlap(vectors[i].eigenvectors, batch.size()), 10 * static_cast<double>(batch.size()) * kEpsilon);
        EXPECT_LE(vectors[i].residual, 20 * static_cast<double>(batch.size()) * kEpsilon * norm);
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

// ---- critical points ----------------------------------------------------------------------------------------------

TEST_F(CudaSpectrum, CriticalPointsAreThoseOfTheCpu) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape device(network, tanh3(), Loss::mean_squared_error, Device::cuda());
  const Landscape host(network, tanh3(), Loss::mean_squared_error, Device::cpu({.threads = 1}));
  const std::vector<double> start{0.155, -1.302, -0.4176, -9.336, 2.342, -0.7886};
  const CriticalPoint received = find_critical_point(device, start, {.descent_iterations = 0});
  const CriticalPoint expected = find_critical_point(host, start, {.descent_iterations = 0});
  ASSERT_TRUE(received.critical) << received.remark;
  EXPECT_LE(max_difference(received.theta, expected.theta), 1e-10);
  EXPECT_EQ(received.inertia, (Inertia{6, 0, 0}));
  EXPECT_EQ(received.device.substr(0, 4), "cuda");
  EXPECT_EQ(expected.device.substr(0, 4), "cpu,");
}

/// R = (a w x)² at w = 0, a = 1: the gradient is 0, ∂²R/∂w² = 2x² overflows.
TEST_F(CudaSpectrum, CriticalPointsWithoutAFiniteHessianHaveNoSpectrum) {
  const Dataset data = Dataset::regression({1e160}, 1, {0}, 1);
  const Network network = mlp({1, 1, 1}, Activation::identity, {.bias = Bias::none});
  for (const Device& device : {Device::cuda(), Device::cpu()}) {
    const Landscape landscape(network, data, Loss::mean_squared_error, device);
    const std::vector<double> theta = {0, 1};
    EXPECT_THROW(hessian_spectrum(landscape, theta), NonFiniteHessian);
    const CriticalPoint point = certify_critical_point(landscape, theta);
    EXPECT_EQ(point.remark, "the gradient or the Hessian is not finite");
    EXPECT_FALSE(point.finite || point.critical);
    EXPECT_EQ(point.device, "");
  }
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

TEST_F(CudaSpectrumFailures, CriticalPointsAreSolvedForOnTheDevice) {
  const Landscape device(mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3(), Loss::mean_squared_error,
                         Device::cuda());
  const std::vector<double> theta{0.155, -1.302, -0.4176, -9.336, 2.342, -0.7886};
  emulator()->fail_eigensolve(1);
  EXPECT_ERROR(certify_critical_point(device, theta), Error, "cuSOLVER's iteration did not converge");
  emulator()->fail_eigensolve(2);  // Newton's second step
  EXPECT_ERROR(find_critical_point(device, theta, {.descent_iterations = 0}), Error, "cuSOLVER's iteration");
}

/// The bytes of an OutOfMemory suffice, and one less does not.
TEST_F(CudaSpectrumFailures, AsManyBytesAsTheErrorSaysSuffice) {
  for (const auto& widths : {std::vector<std::int64_t>{30, 10, 5}, {2, 100, 1}, {3, 8, 7, 6, 2}, {600, 1}}) {
    const Batch batch = make_batch(widths, 1, 7);
    const Landscape device = batch.on(Device::cuda());
    hessian_spectrum(device, batch.thetas);  // makes the handles
    const auto cost = [&](bool vectors) {
      return static_cast<std::int64_t>(spectrum_cost(device, {.vectors = vectors}).bytes);
    };
    const auto expect_exact = [&](const char* what, std::int64_t counted, auto&& call) {
      SCOPED_TRACE(std::string(what) + " of " + batch.network.describe());
      const auto held = static_cast<std::size_t>(emulator()->counts().device_bytes);
      emulator()->set_memory_limit(held + 8);
      const std::int64_t launches = emulator()->counts().launches;
      std::int64_t bytes = 0;
      try {
        call();
      } catch (const OutOfMemory& error) {
        bytes = error.bytes();
      }
      ASSERT_GT(bytes, 0);
      EXPECT_EQ(emulator()->counts().launches, launches) << "asked too late";
      if (counted > 0) {
        EXPECT_EQ(bytes, counted);
      }
      emulator()->set_memory_limit(held + static_cast<std::size_t>(bytes) - 1);
      EXPECT_THROW(call(), OutOfMemory);
      emulator()->set_memory_limit(held + static_cast<std::size_t>(bytes));
      EXPECT_NO_THROW(call());
      emulator()->reset();
    };
    for (const bool vectors : {false, true}) {
      expect_exact("spectrum", cost(vectors), [&] { hessian_spectrum(device, batch.thetas, {.vectors = vectors}); });
      expect_exact("spectra", 0, [&] { hessian_spectra(device, batch.thetas, {.vectors = vectors}); });
    }
    expect_exact("curvature", 0, [&] { test_curvature(device, batch.thetas); });
    expect_exact("Hessian", 0, [&] { hessian(device, batch.thetas); });
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
