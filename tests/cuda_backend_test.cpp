// Losses, gradients, Gauss–Newton products and last layers on the CUDA device against the oracle and the CPU backend,
// and failures planted into the emulated device.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "cuda_device.hpp"
#include "planted_failures.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;

// ---- losses, gradients, Gauss–Newton products -----------------------------------------------------------------------

struct DenseCase {
  std::string label;
  Instance instance;
};

std::vector<DenseCase> dense_cases() {
  std::vector<DenseCase> list;
  const std::int64_t samples[] = {1, 7, 255, 257, 2049};
  int variant = 0;
  for (const Activation activation : all_activations()) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      const std::int64_t heads = 1 + variant % 3;
      std::vector<std::int64_t> widths = {3};
      for (int l = 0; l < variant % 4; ++l) widths.push_back(4 + l);
      widths.push_back(3 * heads);
      list.push_back({std::string(name(activation)) + " variant " + std::to_string(variant),
                      make_instance({.widths = widths,
                                     .activation = activation,
                                     .bias = variant % 3 == 0 ? Bias::hidden : Bias::all,
                                     .heads = heads,
                                     .loss = loss,
                                     .targets = variant % 4 < 2 ? Targets::labels : Targets::real,
                                     .samples = samples[variant % 5],
                                     .rank = 1,
                                     .points = 1,
                                     .seed = 100 + static_cast<std::uint64_t>(variant)})});
      ++variant;
    }
  }
  return list;
}

TEST_F(CudaBackend, LossesAccuracyAndGradient) {
  double worst = 0;
  for (const auto& [label, one] : dense_cases()) {
    SCOPED_TRACE(label);
    const auto landscape = on_cuda(one);
    const std::vector<double>& theta = one.section.origin;
    const auto heads = static_cast<std::size_t>(one.network.heads());
    std::vector<double> losses(heads), accuracy(heads), slope(theta.size());
    landscape->evaluate(theta, {}, losses, accuracy);
    const auto expected = reference::losses(one.network, theta, one.data, one.loss);
    const double scale = largest(expected) + reference::mean_max_output(one.network, theta, one.data);
    EXPECT_LE(max_difference(losses, expected), 1e-13 * scale);
    EXPECT_EQ(max_difference(accuracy, reference::accuracy(one.network, theta, one.data)), 0);
    const std::int64_t last = one.data.size(), ranges[][2] = {{0, last}, {last / 3, last}, {last / 2, last / 2 + 1}};
    for (const auto& [begin, end] : ranges) {
      landscape->gradient(theta, begin, end, {}, slope);
      const auto expected_slope = reference::gradient(one.network, theta, one.data, one.loss, begin, end);
      const double error = max_difference(slope, expected_slope) / largest(expected_slope);
      EXPECT_LE(error, 1e-12) << begin << ".." << end;
      worst = std::max(worst, error);
    }
  }
  std::cout << "gradients: largest error " << worst << " of the largest entry\n";
}

/// θ is uploaded by the first call that has it, and again when it differs in one bit or another came between.
TEST_F(CudaBackend, LossGradientAndSpectrumShareOneUpload) {
  if (!emulator()) GTEST_SKIP() << "needs the counts of the emulated device";
  const Instance one = make_instance({.widths = {2, 3, 2}, .samples = 5, .seed = 3});
  const auto landscape = on_cuda(one);
  std::vector<double> theta = one.section.origin;
  const std::size_t bytes = theta.size() * sizeof(double);
  std::vector<double> loss(1), accuracy(1), gradient(theta.size());
  const auto uploads = [&](auto&& call) {
    const std::int64_t before = emulator()->counts().uploaded_bytes;
    call();
    return static_cast<double>(emulator()->counts().uploaded_bytes - before) / static_cast<double>(bytes);
  };
  const auto evaluate = [&] { landscape->evaluate(theta, {}, loss, accuracy); };
  EXPECT_EQ(uploads(evaluate), 1);
  const std::vector<double> first = loss;
  EXPECT_EQ(uploads([&] { landscape->gradient(theta, 0, 5, {}, gradient); }), 0);
  EXPECT_EQ(uploads([&] { landscape->hessian_spectrum(theta, HessianPart::full, false, {}); }), 0);
  EXPECT_EQ(uploads([&] { landscape->gauss_newton_product(theta, theta, {}, gradient); }), 1);  // v
  theta.back() = std::nextafter(theta.back(), 2.0);
  EXPECT_EQ(uploads(evaluate), 1);
  theta.back() += 0.5;
  EXPECT_EQ(uploads(evaluate), 1);
  EXPECT_NE(loss, first);
  theta = one.section.origin;
  EXPECT_EQ(uploads(evaluate), 1);
  EXPECT_TRUE(same_bits(loss, first));
}

TEST_F(CudaBackend, GaussNewtonProductsMatchTheCpu) {
  for (const auto& [label, one] : dense_cases()) {
    SCOPED_TRACE(label);
    Random random(31);
    std::vector<double> v(one.section.origin.size()), received(v.size()), expected(v.size());
    for (double& value : v) value = random.normal();
    on_cuda(one)->gauss_newton_product(one.section.origin, v, {}, received);
    on_cpu(one)->gauss_newton_product(one.section.origin, v, {}, expected);
    EXPECT_LE(max_difference(received, expected), 1e-12 * largest(expected));
  }
}

TEST_F(CudaBackend, NonFiniteLossesStayInTheirHead) {
  const Network network({Dense{1, 4, false, Activation::identity}}, 2);
  const Dataset data = Dataset::classification({1, 2}, 1, {0, 1}, 2);
  std::vector<double> losses(2), accuracy(2);
  const std::vector<double> theta = {0, std::numeric_limits<double>::quiet_NaN(), 1, 0};
  on_cuda(network, data, Loss::cross_entropy)->evaluate(theta, {}, losses, accuracy);
  EXPECT_TRUE(std::isnan(losses[0]));
  EXPECT_NEAR(losses[1], (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(2.0))) / 2, 1e-15);
  EXPECT_EQ(accuracy, (std::vector<double>{0, 0.5}));
}

TEST_F(CudaBackend, RefusesWrongSizes) {
  const Instance one = make_instance({.widths = {3, 2}, .samples = 4});
  const auto landscape = on_cuda(one);
  std::vector<double> theta(8), shorter(7), two(2);
  EXPECT_THROW(landscape->gradient(shorter, 0, 4, {}, theta), InvalidArgument);
  EXPECT_THROW(landscape->gradient(theta, 2, 2, {}, theta), InvalidArgument);
  EXPECT_THROW(landscape->gradient(theta, 0, 5, {}, theta), InvalidArgument);
  EXPECT_THROW(landscape->gauss_newton_product(theta, shorter, {}, theta), InvalidArgument);
  EXPECT_THROW(landscape->evaluate(shorter, {}, two, two), InvalidArgument);
  EXPECT_THROW(landscape->solve_last_layer(theta, 0, {}), InvalidArgument);  // cross entropy
  EXPECT_THROW(Device::cuda({.index = 99}), DeviceError);
}

// ---- the last layer -------------------------------------------------------------------------------------------------

// A smooth function of the unit square and a network with one tanh layer of random ridges over it.
Instance smooth_fit(std::int64_t side, std::int64_t units, double scale, std::int64_t heads = 1,
                    Bias bias = Bias::all) {
  Random random(11);
  std::vector<double> inputs, targets;
  for (std::int64_t i = 0; i < side * side; ++i) {
    const double h = static_cast<double>(i / side) / static_cast<double>(side - 1);
    const double k = static_cast<double>(i % side) / static_cast<double>(side - 1);
    inputs.insert(inputs.end(), {h, k});
    targets.push_back(0.5 + 0.5 * std::sin(6.28 * h) * std::sin(6.28 * k));
  }
  Network network = mlp({2, units, heads}, Activation::tanh, {.bias = bias, .heads = heads});
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (double& value : theta) value = scale * random.normal();
  std::vector<double> direction(theta.size(), 1.0);
  Dataset data = Dataset::regression(std::move(inputs), 2, std::move(targets), 1);
  return {std::move(network), std::move(data), {std::move(theta), std::move(direction)}, Loss::mean_squared_error, {0}};
}

double fitted_loss(const Instance& fit, const LastLayer& last) {
  std::vector<double> theta = fit.section.origin;
  const auto layer = fit.network.view(std::span(theta), 1);
  std::copy(last.weights.begin(), last.weights.end(), layer.weight.data);
  std::copy(last.bias.begin(), last.bias.end(), layer.bias.begin());
  std::vector<double> losses(static_cast<std::size_t>(fit.network.heads())), accuracy(losses.size());
  on_cpu(fit)->evaluate(theta, {}, losses, accuracy);
  return losses[0];
}

TEST_F(CudaBackend, LastLayersMatchTheCpu) {
  for (const Bias bias : {Bias::all, Bias::hidden}) {
    const Instance fit = smooth_fit(13, 12, 3.0, 2, bias);
    for (const double ridge : {0.0, 1e-6, 1e-2}) {
      const LastLayer received = on_cuda(fit)->solve_last_layer(fit.section.origin, ridge, {});
      const LastLayer expected = on_cpu(fit)->solve_last_layer(fit.section.origin, ridge, {});
      EXPECT_EQ(received.ridge, ridge);
      EXPECT_EQ(received.factored_by_qr, expected.factored_by_qr);
      // Without a ridge the condition of the units' values, about 1e6, multiplies the rounding of tanh.
      const double tolerance = (ridge > 0 ? 1e-10 : 1e-8) * largest(expected.weights);
      EXPECT_LE(max_difference(received.weights, expected.weights), tolerance) << ridge;
      EXPECT_LE(max_difference(received.bias, expected.bias), tolerance) << ridge;
    }
  }
}

TEST_F(CudaBackend, DependentFeaturesAreSolvedByQr) {
  const Instance fit = smooth_fit(20, 150, 0.5);
  const LastLayer received = on_cuda(fit)->solve_last_layer(fit.section.origin, -1, {});
  const LastLayer expected = on_cpu(fit)->solve_last_layer(fit.section.origin, -1, {});
  EXPECT_EQ(received.factored_by_qr, expected.factored_by_qr);
  EXPECT_EQ(received.ridge, expected.ridge);
  const double rms = std::sqrt(fitted_loss(fit, received)), reference = std::sqrt(fitted_loss(fit, expected));
  EXPECT_LE(rms, 2 * reference);
  std::cout << "dependent units: rms " << rms << ", on the CPU " << reference << '\n';
  const LastLayer tiny = on_cuda(fit)->solve_last_layer(fit.section.origin, 1e-17, {});
  EXPECT_TRUE(tiny.factored_by_qr);
  EXPECT_EQ(tiny.ridge, 1e-17);
}

TEST_F(CudaBackend, LastLayersWithMoreSamplesThanAGroup) {
  const Instance fit = smooth_fit(46, 10, 4.0);  // 2116 samples
  const LastLayer received = on_cuda(fit)->solve_last_layer(fit.section.origin, 1e-9, {});
  const LastLayer expected = on_cpu(fit)->solve_last_layer(fit.section.origin, 1e-9, {});
  EXPECT_LE(max_difference(received.weights, expected.weights), 1e-10 * largest(expected.weights));
  const LastLayer again = on_cuda(fit)->solve_last_layer(fit.section.origin, 1e-9, {});
  EXPECT_TRUE(same_bits(received.weights, again.weights));
}

TEST_F(CudaBackend, FeaturesThatAreNotFiniteAreRefused) {
  Instance fit = smooth_fit(4, 3, 1.0);
  fit.section.origin[0] = std::numeric_limits<double>::infinity();
  fit.section.origin[1] = -std::numeric_limits<double>::infinity();
  EXPECT_THROW(on_cuda(fit)->solve_last_layer(fit.section.origin, -1, {}), InvalidArgument);
  EXPECT_THROW(on_cuda(fit)->solve_last_layer(fit.section.origin, std::nan(""), {}), InvalidArgument);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(on_cuda(fit)->solve_last_layer(fit.section.origin, -1, {{}, stop.get_token()}), Interrupted);
}

// ---- planted failures -----------------------------------------------------------------------------------------------

TEST_F(CudaFailures, AllocationsOfSections) {
  for (Problem problem : kinds()) {
    problem.samples = 9;
    problem.points = 3;
    const Instance instance = make_instance(problem);
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      fail_every_allocation(instance, [&](const DeviceLandscape& landscape) {
        return section(landscape, instance, Precision::f64, choice);
      });
    }
  }
}

TEST_F(CudaFailures, AllocationsOfSectionOutputs) {
  const Instance instance = make_instance({.widths = {3, 5, 2}, .support = Support::theorem1, .seed = 3});
  fail_every_allocation(instance, [&](const DeviceLandscape& landscape) {
    std::vector<double> outputs(static_cast<std::size_t>(instance.count() * 2));
    landscape.section_outputs(plan_of(instance), instance.points, {}, outputs);
    return outputs;
  });
}

TEST_F(CudaFailures, AllocationsOfGradients) {
  const Instance instance = make_instance({.widths = {3, 5, 4, 2}, .samples = 9, .seed = 3});
  const std::vector<double>& theta = instance.section.origin;
  fail_every_allocation(instance, [&](const DeviceLandscape& landscape) {
    std::vector<double> result(theta.size() + 2), product(theta.size());
    landscape.gradient(theta, 0, 9, {}, std::span(result).first(theta.size()));
    landscape.gauss_newton_product(theta, theta, {}, product);
    landscape.evaluate(theta, {}, std::span(result).subspan(theta.size(), 1), std::span(result).last(1));
    result.insert(result.end(), product.begin(), product.end());
    return result;
  });
}

TEST_F(CudaFailures, AllocationsOfLastLayers) {
  const Instance fit = smooth_fit(8, 6, 3.0);
  for (const double ridge : {1e-6, 1e-17}) {
    fail_every_allocation(fit, [&](const DeviceLandscape& landscape) {
      return landscape.solve_last_layer(fit.section.origin, ridge, {}).weights;
    });
  }
}

TEST_F(CudaFailures, AllocationsOfSpectraAndFactors) {
  const Instance instance = make_instance({.widths = {2, 3, 2}, .samples = 5, .seed = 3});
  const std::vector<double>& theta = instance.section.origin;
  std::vector<double> thetas = theta;
  for (const double value : theta) thetas.push_back(2 * value);
  for (const bool vectors : {false, true}) {
    fail_every_allocation(instance, [&](const DeviceLandscape& landscape) {
      std::vector<double> result;
      const auto spectra = landscape.hessian_spectra(thetas, HessianPart::full, vectors, {});
      for (const Spectrum& one : spectra.value()) {
        result.insert(result.end(), one.eigenvalues.begin(), one.eigenvalues.end());
        result.insert(result.end(), one.eigenvectors.begin(), one.eigenvectors.end());
      }
      return result;
    });
  }
  for (const double shift : {0.0, 10.0}) {
    fail_every_allocation(instance, [&](const DeviceLandscape& landscape) {
      const auto rule = [&](const MatrixSize& size) { return shift * size.frobenius; };
      return std::vector<double>{1.0 * landscape.hessian_factor(theta, HessianPart::full, rule, {})->exists};
    });
  }
}

TEST_F(CudaFailures, ARefusedLaunchIsNamedAndForgotten) {
  const Instance instance = make_instance({.widths = {3, 5, 4, 2}, .samples = 9, .seed = 3});
  const auto landscape = on_cuda(instance);
  const auto expected = section(*landscape, instance, Precision::f64);
  emulator()->fail_launch(1);
  try {
    section(*landscape, instance, Precision::f64);
    ADD_FAILURE() << "the launch was not refused";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("launch_"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(same_bits(section(*landscape, instance, Precision::f64), expected));
}

TEST_F(CudaFailures, AFaultIsADeviceErrorThatNamesALaunch) {
  const Instance instance = make_instance({.widths = {3, 5, 4, 2}, .samples = 9, .seed = 3});
  const auto landscape = on_cuda(instance);
  emulator()->fault_launch(2);
  try {
    section(*landscape, instance, Precision::f64);
    ADD_FAILURE() << "the fault was not noticed";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("launch_"), std::string::npos) << error.what();
    std::cout << error.what() << '\n';
  }
  EXPECT_THROW(section(*landscape, instance, Precision::f64), DeviceError) << "a fault stays";
}

// The fault of the last launch shows at the wait for it.
TEST_F(CudaFailures, AFaultInALibraryIsADeviceErrorThatNamesTheRoutine) {
  const Instance instance = make_instance({.widths = {2, 3, 2}, .samples = 5, .seed = 3});
  const auto landscape = on_cuda(instance);
  const auto factor = [&] {
    const auto rule = [](const MatrixSize& size) { return size.frobenius; };
    landscape->hessian_factor(instance.section.origin, HessianPart::full, rule, {});
  };
  emulator()->reset();
  factor();
  emulator()->fault_launch(emulator()->counts().launches);
  try {
    factor();
    ADD_FAILURE() << "the fault was not noticed";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("launched before it was cusolverDnXpotrf"), std::string::npos)
        << error.what();
  }
}

TEST_F(CudaFailures, WorksOnTheCallersStreamAndRestoresItsDevice) {
  const Instance instance = make_instance({.widths = {3, 5, 4, 2}, .samples = 9, .seed = 3});
  const auto expected = section(*on_cuda(instance), instance, Precision::f64);
  void* stream = emulator()->create_stream();
  const std::int64_t streams = emulator()->counts().streams;
  {
    const auto landscape =
        make_backend(Device::cuda({.stream = stream}))->landscape(instance.network, instance.data, instance.loss);
    emulator()->set_device(1);
    EXPECT_TRUE(same_bits(section(*landscape, instance, Precision::f64), expected));
    EXPECT_EQ(emulator()->counts().streams, streams) << "a stream of its own beside the caller's";
    EXPECT_EQ(emulator()->device(), 1);
    std::vector<double> gradient(instance.section.origin.size());
    landscape->gradient(instance.section.origin, 0, instance.data.size(), {}, gradient);
    EXPECT_EQ(emulator()->device(), 1);
  }
  EXPECT_EQ(emulator()->device(), 1);
  emulator()->set_device(0);
  emulator()->destroy_stream(stream);
}

TEST_F(CudaFailures, TwoDevicesSideBySideLeaveNothingBehind) {
  const std::int64_t before = emulator()->counts().live();
  {
    const Instance instance = make_instance({.widths = {3, 5, 2}, .seed = 3});
    const auto landscape =
        make_backend(Device::cuda({.index = 1}))->landscape(instance.network, instance.data, instance.loss);
    const auto first = on_cuda(instance);
    EXPECT_TRUE(same_bits(section(*landscape, instance, Precision::f64), section(*first, instance, Precision::f64)));
  }
  EXPECT_EQ(emulator()->counts().live(), before);
}

}  // namespace
}  // namespace lossatlas
