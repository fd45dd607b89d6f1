// Critical points of small networks: known values, certificates, classes, points at infinity.
#include <lossatlas/critical_point.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/dataset_io.hpp>

#include "critical_class.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "saturation.hpp"

namespace lossatlas {
namespace {

constexpr double kBar = 1e-13;
constexpr double kSame = 1e-6;

Network tanh_net(std::int64_t width) { return mlp({1, width, 1}, Activation::tanh, {.bias = Bias::hidden}); }

Landscape tanh3_landscape(std::int64_t width, int threads = 1) {
  return Landscape(tanh_net(width), tanh3(), Loss::mean_squared_error, Device::cpu({.threads = threads}));
}

CriticalSearchOptions short_search(std::int64_t starts) {
  CriticalSearchOptions options;
  options.starts = starts;
  options.each.tolerance = kBar;
  options.each.descent_iterations = 2000;
  return options;
}

/// ‖∇R‖₁ in long double, by the oracle.
double exact_gradient_l1(const Landscape& landscape, const std::vector<double>& theta) {
  const std::vector<long double> lifted(theta.begin(), theta.end());
  double sum = 0;
  for (const long double g : reference::gradient(landscape.network(), lifted, landscape.data(), landscape.loss())) {
    sum += static_cast<double>(std::abs(g));
  }
  return sum;
}

/// Every class is critical and finite, also by the oracle's gradient, and the counts add up.
void expect_sound(const Landscape& landscape, const CriticalSearch& search, std::int64_t starts, double tolerance) {
  std::int64_t sum = search.not_converged + search.at_infinity + search.vanishing_output;
  double last = -1;
  for (const CriticalClass& one : search.classes) {
    const CriticalPoint& point = one.representative;
    EXPECT_TRUE(point.critical && point.finite) << point.remark;
    EXPECT_TRUE(point.remark.empty());
    EXPECT_LE(point.gradient_l1, tolerance);
    EXPECT_LE(point.gradient_max, point.gradient_l1);
    // the long double gradient at the same θ lacks the rounding that the double one has
    EXPECT_LE(exact_gradient_l1(landscape, point.theta), tolerance);
    EXPECT_EQ(point.inertia.size(), landscape.network().parameter_count());
    EXPECT_FALSE(one.inertias.empty());
    EXPECT_GE(point.loss, last - 1e-15);
    last = point.loss;
    sum += one.count;
  }
  EXPECT_EQ(sum, starts);
}

const CriticalClass* class_with_loss(const CriticalSearch& search, double loss, double tolerance = 1e-9) {
  for (const CriticalClass& one : search.classes) {
    if (std::abs(one.representative.loss - loss) <= tolerance) return &one;
  }
  return nullptr;
}

/// The point under x → −x with y → −y: the biases change sign.
std::vector<double> mirrored(const Network& network, std::vector<double> theta) {
  for (double& b : network.view(std::span(theta), 0).bias) b = -b;
  return theta;
}

bool same_point(const Network& network, const std::vector<double>& a, const std::vector<double>& b,
                double same = kSame) {
  return same_neurons(reduce_neurons(network, a, same), reduce_neurons(network, b, same), same);
}

TEST(Tanh3, Width1HasOneCriticalPointKnownToTwelveDigits) {
  const Landscape landscape = tanh3_landscape(1);
  const CriticalSearch search = search_critical_points(landscape, short_search(16));
  expect_sound(landscape, search, 16, kBar);
  ASSERT_EQ(search.classes.size(), 1u);
  const CriticalPoint& point = search.classes[0].representative;
  EXPECT_NEAR(std::abs(point.theta[0]), 0.08953659128478933, 1e-13);
  EXPECT_NEAR(point.theta[1], 0, 1e-13);
  EXPECT_NEAR(std::abs(point.theta[2]), 3.7469510271074928, 1e-12);
  EXPECT_GT(point.theta[0] * point.theta[2], 0);
  EXPECT_NEAR(point.loss, 0.1090227420901827, 1e-13);
  EXPECT_EQ(point.inertia, (Inertia{3, 0, 0}));
  EXPECT_NEAR(point.zero.smallest_nonzero, 0.0629494, 1e-7);
  EXPECT_GE(search.classes[0].count, 8);
}

TEST(Tanh3, Width2HasTheMinimumAndItsMirrorImage) {
  const Landscape landscape = tanh3_landscape(2);
  const CriticalSearch search = search_critical_points(landscape, short_search(24));
  expect_sound(landscape, search, 24, kBar);
  ASSERT_GE(search.classes.size(), 2u);
  const CriticalPoint& a = search.classes[0].representative;
  const CriticalPoint& b = search.classes[1].representative;
  EXPECT_NEAR(a.loss, 0.0698, 1e-4);
  EXPECT_NEAR(a.loss, b.loss, 1e-13);
  EXPECT_EQ(a.inertia, (Inertia{6, 0, 0}));
  EXPECT_EQ(b.inertia, (Inertia{6, 0, 0}));
  EXPECT_FALSE(same_point(landscape.network(), a.theta, b.theta));
  EXPECT_TRUE(same_point(landscape.network(), mirrored(landscape.network(), a.theta), b.theta));
  const CriticalClass* saddle = class_with_loss(search, 0.0896390798771, 1e-12);
  ASSERT_NE(saddle, nullptr);
  EXPECT_EQ(saddle->representative.inertia, (Inertia{5, 0, 1}));
}

TEST(Tanh3, Width3FindsTheExactFitAndPointsOfNarrowerNetworks) {
  const Landscape landscape = tanh3_landscape(3);
  CriticalSearchOptions options = short_search(64);
  options.scale = 0.6;
  const CriticalSearch search = search_critical_points(landscape, options);
  expect_sound(landscape, search, 64, kBar);
  ASSERT_FALSE(search.classes.empty());
  const CriticalPoint& fit = search.classes[0].representative;
  EXPECT_LE(fit.loss, 1e-25);
  EXPECT_EQ(fit.inertia, (Inertia{9, 0, 0}));
  EXPECT_TRUE(same_point(landscape.network(), fit.theta, {1, 1, 1, 7, 0, -7, 1, 1, 1}));
  std::int64_t narrower = 0;
  for (const CriticalClass& one : search.classes) {
    narrower += reduce_neurons(landscape.network(), one.representative.theta, kSame).front().out < 3;
  }
  EXPECT_GE(narrower, 1);
}

TEST(Tanh3, SplittingTheMinimumGainsOneZeroAStep) {
  const Landscape narrow = tanh3_landscape(2), wide = tanh3_landscape(3);
  const std::vector<double> start{0.155, -1.302, -0.4176, -9.336, 2.342, -0.7886};
  CriticalPointOptions options;
  options.tolerance = kBar;
  options.descent_iterations = 0;
  const CriticalPoint minimum = find_critical_point(narrow, start, options);
  ASSERT_TRUE(minimum.critical) << minimum.remark;
  EXPECT_EQ(minimum.inertia, (Inertia{6, 0, 0}));
  const std::vector<double>& t = minimum.theta;
  const CriticalPoint split = certify_critical_point(
      wide, std::vector<double>{t[0], t[1], t[0], t[2], t[3], t[2], t[4] / 2, t[5], t[4] / 2}, kBar);
  EXPECT_TRUE(split.critical) << split.remark;
  EXPECT_EQ(split.inertia, (Inertia{7, 1, 1}));
  EXPECT_NEAR(split.loss, minimum.loss, 1e-15);
}

TEST(FindCriticalPoint, IsTheSameForEveryNumberOfThreads) {
  CriticalSearchOptions options = short_search(8);
  options.each.descent_iterations = 300;
  std::vector<CriticalSearch> searches;
  for (const int threads : {1, 2, 3}) searches.push_back(search_critical_points(tanh3_landscape(2, threads), options));
  for (const CriticalSearch& search : searches) {
    ASSERT_EQ(search.classes.size(), searches[0].classes.size());
    EXPECT_EQ(search.at_infinity, searches[0].at_infinity);
    for (std::size_t k = 0; k < search.classes.size(); ++k) {
      EXPECT_EQ(search.classes[k].representative.theta, searches[0].classes[k].representative.theta);
      EXPECT_EQ(search.classes[k].count, searches[0].classes[k].count);
      EXPECT_EQ(search.classes[k].inertias, searches[0].classes[k].inertias);
    }
  }
}

TEST(FindCriticalPoint, SaysWhenThereIsNone) {
  const Landscape landscape = tanh3_landscape(1);
  CriticalPointOptions options;
  options.descent_iterations = 3;
  options.polish_iterations = 0;
  const CriticalPoint point = find_critical_point(landscape, std::vector<double>{0.3, 0.1, 1}, options);
  EXPECT_FALSE(point.critical);
  EXPECT_TRUE(point.finite);
  EXPECT_EQ(point.remark, "the gradient is above the tolerance");
}

TEST(SearchCriticalPoints, LeavesTheConstantZeroOut) {
  // y = x² is even, tanh without bias odd: the output 0 is the only critical one
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {4, 1, 1, 4}, 1);
  const Landscape landscape(mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::none}), data, Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  CriticalSearchOptions options = short_search(4);
  options.each.descent_iterations = 200;
  const CriticalSearch search = search_critical_points(landscape, options);
  EXPECT_TRUE(search.classes.empty());
  EXPECT_GE(search.vanishing_output, 2);
  expect_sound(landscape, search, 4, kBar);
}

TEST(SearchCriticalPoints, StopsWhenAskedToAndReportsProgress) {
  std::stop_source source;
  CriticalSearchOptions options = short_search(1000);
  options.each.control.stop = source.get_token();
  std::int64_t starts = 0;
  options.each.control.progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.total, 1000);
    if ((starts = event.done) == 2) source.request_stop();
  };
  EXPECT_THROW(search_critical_points(tanh3_landscape(1), options), Interrupted);
  EXPECT_EQ(starts, 2);
}

TEST(CriticalPoints, RefuseBadArguments) {
  const Landscape landscape = tanh3_landscape(1);
  const std::vector<double> good{0.1, 0, 3}, shorter{0.1, 0}, nan{0.1, std::nan(""), 3};
  EXPECT_ERROR(find_critical_point(landscape, shorter), InvalidArgument, "received 2 parameters, expected 3");
  EXPECT_ERROR(find_critical_point(landscape, nan), InvalidArgument, "theta with entry 1");
  EXPECT_ERROR(find_critical_point(landscape, good, {.tolerance = 0}), InvalidArgument, "tolerance 0");
  EXPECT_ERROR(find_critical_point(landscape, good, {.descent_iterations = -1}), InvalidArgument, "-1");
  EXPECT_ERROR(find_critical_point(landscape, good, {.descent_rate = -2}), InvalidArgument, "descent_rate -2");
  EXPECT_ERROR(certify_critical_point(landscape, shorter), InvalidArgument, "certify_critical_point");
  EXPECT_ERROR(certify_critical_point(landscape, good, -1), InvalidArgument, "tolerance -1");
  CriticalSearchOptions options;
  options.starts = 0;
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "0 starts");
  options = {};
  options.same = 1;
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "same = 1");
  options = {};
  options.scale = -1;
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "scale -1");
}

// ---- points at infinity ---------------------------------------------------------------------------------------------

/// What is wrong with one tanh neuron w x + b on x = −2, −1, 1, 2, or empty.
std::string trouble(double w, double b, double a = 1) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Landscape landscape(tanh_net(1), data, Loss::mean_squared_error, Device::cpu({.threads = 1}));
  return neuron_at_infinity(landscape, std::vector<double>{w, b, a});
}

TEST(NeuronAtInfinity, IsNamedWithItsReason) {
  EXPECT_EQ(trouble(0.5, 0.1), "");
  EXPECT_EQ(trouble(12, 0), "neuron 0 of layer 1 is saturated on all of the data");
  EXPECT_EQ(trouble(12, -12), "neuron 0 of layer 1 is saturated on all but too few samples");
  EXPECT_EQ(trouble(0, 0.3), "neuron 0 of layer 1 is constant on the data");
  EXPECT_EQ(trouble(12, 0, 0), "") << "a neuron without output weights does not matter";
  EXPECT_EQ(trouble(3, 0), "") << "steep, but all samples respond";
}

TEST(NeuronAtInfinity, IsFoundInDeeperLayers) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Landscape landscape(mlp({1, 1, 2, 1}, Activation::sigmoid), data, Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  const std::vector<double> theta{1, 0, 0.5, 300, 0.2, -60, 1, 1, 0};
  EXPECT_EQ(neuron_at_infinity(landscape, theta), "neuron 1 of layer 2 is saturated on all of the data");
}

TEST(CertifyCriticalPoint, SeesThatNewtonGoesOnMoving) {
  // separable data: the gradient is of the order of the square of φ', which here is just above 1e-6
  const Dataset data = Dataset::regression({-1, 1}, 1, {0, 1}, 1);
  const Landscape landscape(mlp({1, 1, 1}, Activation::sigmoid, {.bias = Bias::hidden}), data, Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  const std::vector<double> theta{13.3, 0, 1};
  ASSERT_EQ(neuron_at_infinity(landscape, theta), "");
  const CriticalPoint point = certify_critical_point(landscape, theta, 1e-5);
  EXPECT_FALSE(point.critical);
  EXPECT_FALSE(point.finite);
  EXPECT_EQ(point.remark, "further Newton steps go on moving the parameters");
  EXPECT_EQ(point.theta, theta);
}

// ---- classes --------------------------------------------------------------------------------------------------------

const Network kTanh2 = mlp({2, 2, 1}, Activation::tanh);
const std::vector<double> kPoint{0.3, -1, 2, 0.5, /*b*/ 0.1, -0.7, /*a*/ 1.5, -2, /*b*/ 0.25};

TEST(CriticalClass, IgnoresOrderAndOddSigns) {
  EXPECT_TRUE(same_point(kTanh2, kPoint, kPoint));
  EXPECT_TRUE(same_point(kTanh2, kPoint, {2, 0.5, 0.3, -1, -0.7, 0.1, -2, 1.5, 0.25}));
  EXPECT_TRUE(same_point(kTanh2, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, 2, 1.5, 0.25}));
  EXPECT_FALSE(same_point(kTanh2, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, -2, 1.5, 0.25})) << "sign of one weight";
  EXPECT_FALSE(same_point(kTanh2, kPoint, {0.3, -1, 2, 0.5, 0.1, -0.7, -2, 1.5, 0.25})) << "weights exchanged";
  EXPECT_FALSE(same_point(kTanh2, kPoint, {0.3, -1, 2, 0.5, 0.1, -0.7, 1.5, -2, 0.26})) << "output bias";
  std::vector<double> moved = kPoint;
  moved[2] *= 1 + 1e-7;
  EXPECT_TRUE(same_point(kTanh2, kPoint, moved));
  moved[2] *= 1 + 1e-4;
  EXPECT_FALSE(same_point(kTanh2, kPoint, moved));
  const Network sigmoid = mlp({2, 2, 1}, Activation::sigmoid);
  EXPECT_FALSE(same_point(sigmoid, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, 2, 1.5, 0.25})) << "sigmoid is not odd";
}

TEST(CriticalClass, ReducesWideNetworksToNarrowOnes) {
  const Network wide = mlp({2, 5, 1}, Activation::tanh);
  // neuron 0 split in three, one of them with its sign turned; neuron 4 without output weights
  const std::vector<double> theta{0.3,  -1,   -0.3, 1, 2,       0.5,  0.3, -1,   9, 9,         /*b*/ 0.1,
                                  -0.1, -0.7, 0.1,  9, /*a*/ 1, -0.8, -2,  -0.3, 0, /*b*/ 0.25};
  const ReducedNetwork reduced = reduce_neurons(wide, theta, kSame);
  ASSERT_EQ(reduced.size(), 2u);
  EXPECT_EQ(reduced[0].out, 2);
  EXPECT_EQ(reduced[1].in, 2);
  EXPECT_TRUE(same_neurons(reduced, reduce_neurons(kTanh2, kPoint, kSame), kSame));
}

TEST(CriticalClass, DropsCopiesThatCancel) {
  const std::vector<double> theta{0.3, -1, 0.3, -1, 0.1, 0.1, 1.5, -1.5, 0.25};
  const ReducedNetwork reduced = reduce_neurons(kTanh2, theta, kSame);
  EXPECT_EQ(reduced[0].out, 0);
  EXPECT_TRUE(reduced[1].weight.empty());
  EXPECT_EQ(reduced[1].bias, std::vector<double>{0.25});
}

TEST(CriticalClass, ReducesSeveralLayers) {
  const Network narrow = mlp({1, 2, 1, 1}, Activation::tanh), wide = mlp({1, 3, 2, 1}, Activation::tanh);
  const std::vector<double> small{1, 2, /*b*/ 0.1, 0.2, /*W*/ 3, -4, /*b*/ 0.3, /*W*/ 5, /*b*/ 0.4};
  // a neuron of layer 1 and then the neuron of layer 2 split, the copy in layer 2 turned, layer 1 in another order
  const std::vector<double> large{2, 1, 1, 0.2, 0.1, 0.1, -4, 1, 2, 4, -1.5, -1.5, 0.3, -0.3, 2, -3, 0.4};
  EXPECT_TRUE(same_neurons(reduce_neurons(narrow, small, kSame), reduce_neurons(wide, large, kSame), kSame));
  std::vector<double> other = large;
  other[6] = -4.1, other[9] = 4.1;
  EXPECT_FALSE(same_neurons(reduce_neurons(narrow, small, kSame), reduce_neurons(wide, other, kSame), kSame));
}

// ---- iris -----------------------------------------------------------------------------------------------------------

class Iris : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("LOSSATLAS_DATA");
    const std::filesystem::path file = std::filesystem::path(folder ? folder : "") / "iris.csv";
    if (!folder || !std::filesystem::exists(file)) GTEST_SKIP() << "LOSSATLAS_DATA does not name a folder with iris";
    data_ = read_csv(file);
  }

  Landscape landscape(bool standardised) const {
    return Landscape(mlp({4, 2, 3}, Activation::sigmoid, {.bias = Bias::hidden}),
                     standardised ? data_->standardised() : *data_, Loss::mean_squared_error,
                     Device::cpu({.threads = 2}));
  }

  /// The same function of the raw inputs.
  std::vector<double> for_raw_inputs(std::vector<double> theta) const {
    const Network network = landscape(false).network();
    const auto layer = network.view(std::span(theta), 0);
    for (std::int64_t j = 0; j < 4; ++j) {
      double mean = 0, square = 0;
      for (std::int64_t n = 0; n < data_->size(); ++n) mean += data_->input(n)[static_cast<std::size_t>(j)];
      mean /= static_cast<double>(data_->size());
      for (std::int64_t n = 0; n < data_->size(); ++n) {
        square += std::pow(data_->input(n)[static_cast<std::size_t>(j)] - mean, 2);
      }
      const double deviation = std::sqrt(square / static_cast<double>(data_->size()));
      for (std::int64_t s = 0; s < 2; ++s) {
        layer.weight(s, j) /= deviation;
        layer.bias[static_cast<std::size_t>(s)] -= layer.weight(s, j) * mean;
      }
    }
    return theta;
  }

  std::optional<Dataset> data_;
};

/// Finite critical points of width 2, to the digits that Newton needs.
struct Known {
  std::vector<double> theta;
  double loss;
  Inertia inertia;
};
const Known kIris[] = {
    {{0.7516, 0.9765, -3.035, -4.011, 0.8971, 0.6579, -4.386, -2.72, -2.511, 4.651, 1.022, -0.01938, -1.063, 1.061,
      -0.202, 0.1985},
     0.3472481140267,
     {15, 0, 1}},
    {{0.00826, -0.4682, 0.65, -0.9068, 0.01769, 0.7354, -1.595, 2.049, -0.5131, -0.1027, 0.2813, 0.4599, 1.29, -0.3322,
      -0.05186, 0.7521},
     0.5918601066963,
     {13, 0, 3}},
    {{0.03567, 0.6415, -1.608, 2.074, 0.00193, -0.1657, 0.07968, -0.03585, -0.3261, 0.0103, 0.3856, 0.2739, -0.9074,
      1.446, 0.8095, 0.01481},
     0.5922969043223,
     {13, 0, 3}},
};

TEST_F(Iris, HasFiniteCriticalPointsOnStandardisedAndRawInputs) {
  CriticalPointOptions options;
  options.descent_iterations = 0;
  const Landscape standardised = landscape(true), raw = landscape(false);
  for (const Known& known : kIris) {
    const CriticalPoint point = find_critical_point(standardised, known.theta, options);
    EXPECT_TRUE(point.critical) << point.remark << ", gradient " << point.gradient_l1;
    EXPECT_NEAR(point.loss, known.loss, 1e-12);
    EXPECT_EQ(point.inertia, known.inertia);
    EXPECT_LE(exact_gradient_l1(standardised, point.theta), 1e-12);
    const CriticalPoint other = find_critical_point(raw, for_raw_inputs(point.theta), options);
    EXPECT_TRUE(other.critical) << other.remark << ", gradient " << other.gradient_l1;
    EXPECT_NEAR(other.loss, known.loss, 1e-12);
    EXPECT_EQ(other.inertia, known.inertia);
  }
}

TEST_F(Iris, SearchTellsSaturatedPointsApart) {
  const Landscape standardised = landscape(true);
  CriticalSearchOptions options;
  options.starts = 100;
  options.scale = 1;
  options.each.descent_iterations = 100;
  options.each.polish_iterations = 50;
  const CriticalSearch search = search_critical_points(standardised, options);
  expect_sound(standardised, search, 100, 1e-12);
  EXPECT_GE(search.classes.size(), 1u);
  EXPECT_GE(search.at_infinity, 10);
  // the infimum, 1/3, is reached at infinity only: one class is separable
  for (const CriticalClass& one : search.classes) EXPECT_GT(one.representative.loss, 0.334);
}

TEST_F(Iris, DescentLeadsToInfinity) {
  const Landscape standardised = landscape(true);
  CriticalPointOptions options;
  options.descent_iterations = 3000;
  const CriticalPoint point = find_critical_point(
      standardised, random_parameters(standardised.network(), {.seed = 0, .scale = {0.35, 0.35}}), options);
  EXPECT_LE(point.gradient_l1, 1e-12);
  EXPECT_NEAR(point.loss, 1.0 / 3, 1e-9);
  EXPECT_FALSE(point.finite);
  EXPECT_FALSE(point.critical);
  EXPECT_FALSE(point.remark.empty());
}

}  // namespace
}  // namespace lossatlas
