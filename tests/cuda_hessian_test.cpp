// Hessians, their products with vectors and their spectra on the CUDA device against the CPU backend, and failures
// planted into the emulated device.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>
#include <lossatlas/hessian.hpp>

#include "base/random.hpp"
#include "cuda_device.hpp"
#include "planted_failures.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;

/// Tests run on this fixture; its parent is shared with the other tests of the CUDA backend.
class CudaHessian : public CudaBackend {};

std::vector<double> hessian_of(const DeviceLandscape& landscape, std::span<const double> theta, HessianPart part) {
  std::vector<double> result(theta.size() * theta.size(), std::numeric_limits<double>::quiet_NaN());
  landscape.hessian(theta, part, {}, result);
  return result;
}

std::vector<double> products_of(const DeviceLandscape& landscape, std::span<const double> theta, HessianPart part,
                                std::span<const double> vectors) {
  std::vector<double> result(vectors.size(), std::numeric_limits<double>::quiet_NaN());
  landscape.hessian_products(theta, part, vectors, {}, result);
  return result;
}

std::int64_t asymmetric_pairs(const std::vector<double>& hessian, std::size_t size) {
  std::int64_t count = 0;
  for (std::size_t r = 0; r < size; ++r) {
    for (std::size_t c = 0; c < r; ++c) {
      const double a = hessian[r * size + c], b = hessian[c * size + r];
      count += !(a == b && std::signbit(a) == std::signbit(b));
    }
  }
  return count;
}

struct HessianCase {
  std::string label;
  Instance instance;
};

/// Every activation with one to four layers, both losses, kinds of targets, heads, missing biases.
std::vector<HessianCase> cases() {
  std::vector<HessianCase> list;
  const std::int64_t samples[] = {1, 7, 16, 17, 33};
  int variant = 0;
  for (const Activation activation : all_activations()) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      const std::int64_t heads = 1 + variant % 2;
      std::vector<std::int64_t> widths = {3};
      for (int l = 0; l < (variant + variant / 4) % 4; ++l) widths.push_back(2 + (l + variant) % 3);
      widths.push_back(2 * heads);
      list.push_back({std::string(name(activation)) + " variant " + std::to_string(variant),
                      make_instance({.widths = widths,
                                     .activation = activation,
                                     .bias = variant % 3 == 0   ? Bias::hidden
                                             : variant % 3 == 1 ? Bias::all
                                                                : Bias::none,
                                     .heads = heads,
                                     .loss = loss,
                                     .targets = variant / 2 % 2 == 0 ? Targets::labels : Targets::real,
                                     .samples = samples[variant % 5],
                                     .rank = 1,
                                     .points = 1,
                                     .seed = 300 + static_cast<std::uint64_t>(variant)})});
      ++variant;
    }
  }
  return list;
}

/// Tiles of 16, 32, 64 and 128 rows, some of them cut off, and more than one tile of columns; the Jacobian's as well,
/// which is taken where few inputs and outputs meet many units.
std::vector<HessianCase> wide_cases() {
  std::vector<HessianCase> list;
  for (const std::int64_t in : {14, 15, 16, 17, 31, 32, 63, 64, 70, 130, 200}) {
    list.push_back({std::to_string(in) + " inputs",
                    make_instance({.widths = {in, 3, 2}, .samples = 5, .rank = 1, .points = 1, .seed = 9})});
  }
  list.push_back({"wide second layer",
                  make_instance({.widths = {2, 20, 7, 2}, .samples = 4, .rank = 1, .points = 1, .seed = 10})});
  list.push_back({"Jacobian, cross entropy",
                  make_instance({.widths = {2, 30, 2}, .samples = 9, .rank = 1, .points = 1, .seed = 11})});
  list.push_back({"Jacobian, squared error, heads", make_instance({.widths = {1, 50, 2},
                                                                   .bias = Bias::hidden,
                                                                   .heads = 2,
                                                                   .loss = Loss::mean_squared_error,
                                                                   .targets = Targets::real,
                                                                   .samples = 17,
                                                                   .rank = 1,
                                                                   .points = 1,
                                                                   .seed = 12})});
  return list;
}

// Sums of few products of at most four layers' factors, in another order: 1e-12 of the largest entry is thousands of ε.
void expect_the_cpu(const HessianCase& one, double& worst) {
  SCOPED_TRACE(one.label + ", " + one.instance.network.describe());
  const auto landscape = on_cuda(one.instance), reference = on_cpu(one.instance);
  const std::vector<double>& theta = one.instance.section.origin;
  for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    const auto received = hessian_of(*landscape, theta, part), expected = hessian_of(*reference, theta, part);
    ASSERT_GT(largest(expected), 0);
    const double error = max_difference(received, expected) / largest(expected);
    EXPECT_LE(error, 1e-12) << (part == HessianPart::full ? "full" : "Gauss-Newton");
    EXPECT_EQ(asymmetric_pairs(received, theta.size()), 0);
    worst = std::max(worst, error);
  }
}

TEST_F(CudaHessian, MatchesTheCpu) {
  double worst = 0;
  for (const HessianCase& one : cases()) expect_the_cpu(one, worst);
  std::cout << "largest error " << worst << " of the largest entry\n";
}

TEST_F(CudaHessian, MatchesTheCpuAtTheBordersOfTiles) {
  double worst = 0;
  for (const HessianCase& one : wide_cases()) expect_the_cpu(one, worst);
  std::cout << "largest error " << worst << " of the largest entry\n";
}

TEST_F(CudaHessian, MatchesTheCpuAtTheBordersOfChunks) {
  double worst = 0;
  for (const std::vector<std::int64_t>& widths : {std::vector<std::int64_t>{1, 2, 1}, {1, 2, 2, 1}}) {
    for (const std::int64_t samples : {2047, 2048, 2049}) {
      expect_the_cpu({std::to_string(samples) + " samples", make_instance({.widths = widths,
                                                                           .loss = Loss::mean_squared_error,
                                                                           .targets = Targets::real,
                                                                           .samples = samples,
                                                                           .rank = 1,
                                                                           .points = 1,
                                                                           .seed = 4})},
                     worst);
    }
  }
  std::cout << "largest error " << worst << " of the largest entry\n";
}

TEST_F(CudaHessian, ProductsMatchTheCpu) {
  std::vector<HessianCase> all = cases();
  all.push_back({"two chunks", make_instance({.widths = {2, 3, 2, 2}, .samples = 2049, .rank = 1, .points = 1})});
  double worst = 0;
  for (const auto& [label, one] : all) {
    SCOPED_TRACE(label);
    const std::vector<double>& theta = one.section.origin;
    Random random(31);
    std::vector<double> vectors(3 * theta.size());
    for (double& value : vectors) value = random.normal();
    const auto landscape = on_cuda(one), reference = on_cpu(one);
    for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
      const auto received = products_of(*landscape, theta, part, vectors);
      const auto expected = products_of(*reference, theta, part, vectors);
      const double error = max_difference(received, expected) / largest(expected);
      EXPECT_LE(error, 1e-12);
      worst = std::max(worst, error);
      const auto second = products_of(*landscape, theta, part, std::span(vectors).subspan(theta.size(), theta.size()));
      EXPECT_TRUE(same_bits(second, {received.begin() + static_cast<std::ptrdiff_t>(theta.size()),
                                     received.begin() + 2 * static_cast<std::ptrdiff_t>(theta.size())}))
          << "a product depends on the other vectors";
    }
  }
  std::cout << "largest error " << worst << " of the largest entry\n";
}

TEST_F(CudaHessian, IsTheSameToTheBitFromRunToRun) {
  const Instance one = make_instance({.widths = {3, 5, 4, 2}, .samples = 40, .seed = 3});
  const std::vector<double>& theta = one.section.origin;
  const auto first = hessian_of(*on_cuda(one), theta, HessianPart::full);
  const auto product = products_of(*on_cuda(one), theta, HessianPart::full, theta);
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    if (emulator()) emulator()->set_seed(seed);
    EXPECT_TRUE(same_bits(hessian_of(*on_cuda(one), theta, HessianPart::full), first));
    EXPECT_TRUE(same_bits(products_of(*on_cuda(one), theta, HessianPart::full, theta), product));
  }
}

/// 2^17 parameters: 32 vectors at a time, for which 74 MB suffice where those of 40 and their products take 84 MB.
TEST_F(CudaHessian, ProductsOfManyVectorsAreBatched) {
  constexpr std::int64_t size = std::int64_t{1} << 17, count = 40;
  std::vector<double> inputs(size, 0.0), vectors(static_cast<std::size_t>(size * count), 0.0);
  inputs[3] = 2;
  for (std::int64_t v = 0; v < count; ++v) vectors[static_cast<std::size_t>(v * size + 3)] = static_cast<double>(v + 1);
  const Landscape landscape(mlp({size, 1}, Activation::identity, {.bias = Bias::none}),
                            Dataset::regression(inputs, size, {1}, 1), Loss::mean_squared_error, Device::cuda());
  if (emulator()) {
    emulator()->set_memory_limit(static_cast<std::size_t>(emulator()->counts().device_bytes) + 74'000'000);
  }
  std::vector<std::int64_t> done;
  const HessianOperator hessian(landscape, std::vector<double>(size, 0.0));
  const std::vector<double> products =
      hessian.multiply(vectors, {[&](const ProgressEvent& event) { done.push_back(event.done); }, {}});
  EXPECT_EQ(done, (std::vector<std::int64_t>{32, 40}));
  for (std::int64_t v = 0; v < count; ++v) {  // 2 x xᵀ v
    EXPECT_EQ(products[static_cast<std::size_t>(v * size + 3)], 8.0 * static_cast<double>(v + 1)) << v;
    EXPECT_EQ(products[static_cast<std::size_t>(v * size + 4)], 0) << v;
  }
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(hessian.multiply(vectors, {{}, stop.get_token()}), Interrupted);
}

TEST_F(CudaHessian, RefusesWrongSizesAndAStop) {
  const Instance one = make_instance({.widths = {3, 2}, .samples = 4});
  const auto landscape = on_cuda(one);
  std::vector<double> theta(8), shorter(7), matrix(64);
  EXPECT_THROW(landscape->hessian(shorter, HessianPart::full, {}, matrix), InvalidArgument);
  EXPECT_THROW(landscape->hessian(theta, HessianPart::full, {}, shorter), InvalidArgument);
  EXPECT_THROW(landscape->hessian_products(theta, HessianPart::full, shorter, {}, shorter), InvalidArgument);
  EXPECT_THROW(landscape->hessian_products(theta, HessianPart::full, theta, {}, matrix), InvalidArgument);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(landscape->hessian(theta, HessianPart::full, {.progress = {}, .stop = stop.get_token()}, matrix),
               Interrupted);
}

TEST_F(CudaHessian, ReportsProgress) {
  const Instance one = make_instance({.widths = {1, 2}, .samples = 2049});
  std::vector<std::int64_t> done;
  std::vector<double> theta(4), matrix(16);
  on_cuda(one)->hessian(theta, HessianPart::full,
                        {.progress = [&](const ProgressEvent& event) { done.push_back(event.done); }, .stop = {}},
                        matrix);
  EXPECT_EQ(done, (std::vector<std::int64_t>{2048, 2049}));
}

// ---- spectra --------------------------------------------------------------------------------------------------------

TEST_F(CudaHessian, SpectraMatchTheCpu) {
  for (const auto& [label, one] : cases()) {
    SCOPED_TRACE(label);
    const std::vector<double>& theta = one.section.origin;
    const Landscape device(one.network, one.data, one.loss, Device::cuda());
    const Landscape host(one.network, one.data, one.loss, Device::cpu({.threads = 1}));
    const Spectrum expected = hessian_spectrum(host, theta);
    const Spectrum received = hessian_spectrum(device, theta),
                   complete = hessian_spectrum(device, theta, {.vectors = true});
    const double norm = largest(expected.eigenvalues);
    EXPECT_TRUE(std::is_sorted(received.eigenvalues.begin(), received.eigenvalues.end()));
    EXPECT_LE(max_difference(received.eigenvalues, expected.eigenvalues), 1e-11 * norm);
    EXPECT_LE(max_difference(complete.eigenvalues, expected.eigenvalues), 1e-11 * norm);
    EXPECT_TRUE(received.eigenvectors.empty());
    ASSERT_EQ(complete.eigenvectors.size(), theta.size() * theta.size());
    const double bound = 20 * static_cast<double>(theta.size()) * std::numeric_limits<double>::epsilon() * norm;
    EXPECT_LE(complete.residual, bound);
    EXPECT_EQ(received.inertia.size(), static_cast<std::int64_t>(theta.size()));
    if (expected.zero.gap > 1000) {
      EXPECT_EQ(received.inertia, expected.inertia);
    }
    EXPECT_EQ(received.device.substr(0, 4), "cuda");
  }
}

/// The residual that the device reports is that of the vectors it hands out.
TEST_F(CudaHessian, ResidualAndVectorsBelongTogether) {
  const Instance one = make_instance({.widths = {3, 4, 3, 2}, .samples = 20, .seed = 12});
  const std::vector<double>& theta = one.section.origin;
  const auto landscape = on_cuda(one);
  const auto h = hessian_of(*landscape, theta, HessianPart::full);
  const auto spectrum = landscape->hessian_spectrum(theta, HessianPart::full, true, {});
  ASSERT_TRUE(spectrum);
  const std::size_t n = theta.size();
  double residual = 0, overlap = 0;
  for (std::size_t v = 0; v < n; ++v) {
    const double* vector = spectrum->eigenvectors.data() + v * n;
    double squares = 0;
    for (std::size_t r = 0; r < n; ++r) {
      double entry = -spectrum->eigenvalues[v] * vector[r];
      for (std::size_t c = 0; c < n; ++c) entry += h[r * n + c] * vector[c];
      squares += entry * entry;
    }
    residual = std::max(residual, std::sqrt(squares));
    for (std::size_t w = 0; w <= v; ++w) {
      double dot = v == w ? -1 : 0;
      for (std::size_t c = 0; c < n; ++c) dot += vector[c] * spectrum->eigenvectors[w * n + c];
      overlap = std::max(overlap, std::abs(dot));
    }
  }
  const double rounding = static_cast<double>(n) * std::numeric_limits<double>::epsilon();
  EXPECT_LE(residual, 20 * rounding * largest(spectrum->eigenvalues));
  EXPECT_LE(std::abs(residual - spectrum->residual), 2 * rounding * largest(spectrum->eigenvalues));
  EXPECT_GT(spectrum->residual, 0);
  EXPECT_LE(overlap, 10 * rounding);
}

TEST_F(CudaHessian, SpectraOfNonFiniteHessiansAreRefused) {
  const Instance one = make_instance({.widths = {3, 4, 2}, .samples = 5, .seed = 12});
  std::vector<double> theta = one.section.origin;
  theta[1] = std::numeric_limits<double>::quiet_NaN();
  try {
    on_cuda(one)->hessian_spectrum(theta, HessianPart::full, false, {});
    ADD_FAILURE() << "a NaN was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("nan at (0, 0)"), std::string::npos) << error.what();
  }
}

// ---- failures -------------------------------------------------------------------------------------------------------

class CudaHessianFailures : public CudaFailures {};

/// Hessian, products and spectrum in a row.
std::vector<double> everything(const DeviceLandscape& landscape, const std::vector<double>& theta) {
  std::vector<double> all = hessian_of(landscape, theta, HessianPart::full);
  const auto products = products_of(landscape, theta, HessianPart::full, theta);
  all.insert(all.end(), products.begin(), products.end());
  const auto spectrum = landscape.hessian_spectrum(theta, HessianPart::full, true, {});
  all.insert(all.end(), spectrum->eigenvalues.begin(), spectrum->eigenvalues.end());
  all.insert(all.end(), spectrum->eigenvectors.begin(), spectrum->eigenvectors.end());
  return all;
}

TEST_F(CudaHessianFailures, EveryAllocation) {
  const Instance one = make_instance({.widths = {2, 3, 2, 2}, .samples = 5, .seed = 3});
  const std::vector<double>& theta = one.section.origin;
  fail_every_allocation(one, [&](const DeviceLandscape& landscape) { return everything(landscape, theta); });
}

TEST_F(CudaHessianFailures, AMatrixThatDoesNotFitIsRefusedWithItsBytes) {
  const Instance one = make_instance({.widths = {40, 20, 10}, .samples = 3, .seed = 3});
  const std::int64_t size = one.network.parameter_count(), matrix_bytes = 8 * size * size;
  const auto landscape = on_cuda(one);
  emulator()->set_memory_limit(static_cast<std::size_t>(matrix_bytes));
  const std::int64_t launches = emulator()->counts().launches;
  try {
    landscape->hessian_spectrum(one.section.origin, HessianPart::full, false, {});
    ADD_FAILURE() << "a matrix of the size of the memory was accepted";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find("Hessian takes"), std::string::npos) << error.what();
    EXPECT_GE(error.bytes(), matrix_bytes);
    EXPECT_LE(error.bytes(), 2 * matrix_bytes);
  }
  EXPECT_EQ(emulator()->counts().launches, launches) << "asked too late";
}

}  // namespace
}  // namespace lossatlas
