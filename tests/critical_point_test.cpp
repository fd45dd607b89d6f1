// Critical points of small networks: known values, certificates, points at infinity.
#include <lossatlas/critical_point.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/embedding.hpp>

#include "critical/critical_class.hpp"
#include "critical/saturation.hpp"
#include "critical_points.hpp"
#include "expect_error.hpp"

namespace lossatlas {
namespace {

using testing::class_with_loss;
using testing::expect_sound;
using testing::kBar;
using testing::kSame;
using testing::same_point;
using testing::short_search;

Network tanh_net(std::int64_t width) { return mlp({1, width, 1}, Activation::tanh, {.bias = Bias::hidden}); }

Landscape tanh3_landscape(std::int64_t width, int threads = 1) {
  return Landscape(tanh_net(width), tanh3(), Loss::mean_squared_error, Device::cpu({.threads = threads}));
}

/// The point under x → −x with y → −y: the biases change sign.
std::vector<double> mirrored(const Network& network, std::vector<double> theta) {
  for (double& b : network.view(std::span(theta), 0).bias) b = -b;
  return theta;
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
  options.init.scale = {0.6};
  const CriticalSearch search = search_critical_points(landscape, options);
  expect_sound(landscape, search, 64, kBar);
  ASSERT_FALSE(search.classes.empty());
  const CriticalPoint& fit = search.classes[0].representative;
  EXPECT_LE(fit.loss, 1e-25);
  EXPECT_EQ(fit.inertia, (Inertia{9, 0, 0}));
  EXPECT_TRUE(same_point(landscape.network(), fit.theta, {1, 1, 1, 7, 0, -7, 1, 1, 1}));
  std::int64_t narrower = 0;
  for (const CriticalClass& one : search.classes) {
    narrower +=
        reduce_neurons(landscape.network(), one.representative.theta, kSame, Loss::mean_squared_error).front().out < 3;
  }
  EXPECT_GE(narrower, 1);
}

TEST(Tanh3, Width3FindsTheCriticalFunctionsOfFigure4FromThePapersStarts) {
  const Landscape landscape = tanh3_landscape(3, 2);
  const CriticalSearch search = search_critical_points(landscape, short_search(64));
  expect_sound(landscape, search, 64, kBar);
  // losses of Figure 4 with their degeneracies in width 3; twice 0.07, mirror images
  const CriticalClass* one_neuron = class_with_loss(search, 0.1090227420901827, 1e-13);
  ASSERT_NE(one_neuron, nullptr);
  EXPECT_EQ(one_neuron->representative.inertia.zero, 2);
  const CriticalClass* two_neurons = class_with_loss(search, 0.06979151210179, 1e-12);
  ASSERT_NE(two_neurons, nullptr);
  EXPECT_EQ(two_neurons->representative.inertia, (Inertia{7, 1, 1}));
  const std::vector<double> mirror = mirrored(landscape.network(), two_neurons->representative.theta);
  EXPECT_TRUE(std::any_of(search.classes.begin(), search.classes.end(), [&](const CriticalClass& one) {
    return &one != two_neurons && same_point(landscape.network(), one.representative.theta, mirror);
  }));
  const CriticalClass* fit = class_with_loss(search, 0, 1e-25);
  ASSERT_NE(fit, nullptr);
  EXPECT_EQ(fit->representative.inertia, (Inertia{9, 0, 0}));
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
  for (const std::int64_t neuron : {0, 1, 2}) {
    const Embedding four = split_neuron(wide.network(), split.theta, {.layer = 1, .neuron = neuron, .alpha = 0.5});
    const CriticalPoint twice = certify_critical_point(tanh3_landscape(4), four.theta, kBar);
    EXPECT_TRUE(twice.critical) << twice.remark;
    EXPECT_EQ(twice.inertia.zero, 2) << "neuron " << neuron;
    EXPECT_GE(twice.inertia.negative, 1) << "neuron " << neuron;
  }
}

TEST(FindCriticalPoint, IsTheSameForEveryNumberOfThreads) {
  CriticalSearchOptions options = short_search(8);
  options.each.descent_iterations = 300;
  std::vector<CriticalSearch> searches;
  for (const int threads : {1, 2, 3}) searches.push_back(search_critical_points(tanh3_landscape(2, threads), options));
  ASSERT_FALSE(searches[0].classes.empty());
  for (const CriticalSearch& search : searches) {
    ASSERT_EQ(search.classes.size(), searches[0].classes.size());
    EXPECT_EQ(search.not_converged, searches[0].not_converged);
    EXPECT_EQ(search.at_infinity, searches[0].at_infinity);
    EXPECT_EQ(search.vanishing_output, searches[0].vanishing_output);
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

/// Four starts of width 2: θ to the bit and the counts tell whether they were the same.
CriticalSearch search_from(std::vector<double> scale, double power = 3) {
  CriticalSearchOptions options = short_search(4);
  options.each.descent_iterations = 300;
  options.init.scale = std::move(scale);
  options.init.power = power;
  return search_critical_points(tanh3_landscape(2), options);
}

bool same_bits(const CriticalSearch& a, const CriticalSearch& b) {
  return std::equal(a.classes.begin(), a.classes.end(), b.classes.begin(), b.classes.end(),
                    [](const CriticalClass& x, const CriticalClass& y) {
                      return x.representative.theta == y.representative.theta && x.count == y.count;
                    });
}

TEST(SearchCriticalPoints, DrawsStartsWithTheDeviationsAskedFor) {
  // width 2: variance 1/2^4 is a deviation of 1/4
  const CriticalSearch quarter = search_from({0.25, 0.25});
  EXPECT_FALSE(quarter.classes.empty());
  EXPECT_TRUE(same_bits(quarter, search_from({0.25})));
  EXPECT_TRUE(same_bits(quarter, search_from({}, 4)));
  EXPECT_FALSE(same_bits(quarter, search_from({0.25, 0.5}))) << "the second layer's";
  EXPECT_FALSE(same_bits(quarter, search_from({})));
  EXPECT_TRUE(same_bits(search_from({}), search_from({std::pow(2, -1.5)}))) << "1/m^3 by default";
  EXPECT_EQ(search_from({0, 0}).vanishing_output, 4) << "θ = 0 is critical";
}

/// Without a descent every other start goes on by Newton from where it is.
TEST(SearchCriticalPoints, FollowsOddStartsWithoutADescent) {
  CriticalSearchOptions options = short_search(4);
  options.each.descent_iterations = 0;
  options.init.scale = {0};  // θ = 0, which is critical
  EXPECT_EQ(search_critical_points(tanh3_landscape(1), options).vanishing_output, 4);
}

TEST(SearchCriticalPoints, TakesAnyLengthOfDescent) {
  CriticalSearchOptions options = short_search(2);
  options.each.descent_iterations = std::numeric_limits<std::int64_t>::max();
  options.init.scale = {0};  // no gradient: descents end where they start
  EXPECT_EQ(search_critical_points(tanh3_landscape(1), options).vanishing_output, 2);
}

TEST(SearchCriticalPoints, SaysHowManyBytesItNeeds) {
  CriticalSearchOptions options = short_search(std::numeric_limits<std::int64_t>::max());
  EXPECT_ERROR(search_critical_points(tanh3_landscape(1), options), OutOfMemory,
               "[search_critical_points] received 9223372036854775807 starts, whose points and matrices take");
  const Landscape wide = tanh3_landscape(10000, 100);
  options.starts = 1000;  // 100 at a time with four matrices of 7.2 GB each
  try {
    search_critical_points(wide, options);
    ADD_FAILURE() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_GE(error.bytes(), 2'880'000'000'000);
    EXPECT_LE(error.bytes(), 2'881'000'000'000);
  }
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
  const Landscape wide = tanh3_landscape(10923);
  const std::vector<double> many(32769, 0.1);
  EXPECT_ERROR(find_critical_point(wide, many), InvalidArgument,
               "[find_critical_point] received size 32769 with vectors, expected at most 32766 on the CPU");
  EXPECT_ERROR(certify_critical_point(wide, many), InvalidArgument, "[certify_critical_point] received size 32769");
  EXPECT_ERROR(search_critical_points(wide), InvalidArgument, "[search_critical_points] received size 32769");
  CriticalSearchOptions options;
  options.starts = 0;
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "0 starts");
  options = {};
  options.same = 1;
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "same = 1");
  options = {};
  options.init.scale = {0.5, -1};
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "scale -1");
  options.init.scale = {1, 1, 1};
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "received 3 scales");
  options = {};
  options.init.power = std::nan("");
  EXPECT_ERROR(search_critical_points(landscape, options), InvalidArgument, "power nan");
}

// ---- points at infinity ---------------------------------------------------------------------------------------------

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

/// One hidden layer and an output bias on x = −2, −1, 1, 2 with y = x².
CriticalPoint on_parabola(Network network, const std::vector<double>& theta) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {4, 1, 1, 4}, 1);
  return certify_critical_point(
      Landscape(std::move(network), data, Loss::mean_squared_error, Device::cpu({.threads = 1})), theta);
}

TEST(CertifyCriticalPoint, TakesNeuronsWithoutInputWeights) {
  for (const Activation activation : {Activation::tanh, Activation::sigmoid, Activation::softplus, Activation::gelu,
                                      Activation::relu, Activation::leaky_relu, Activation::sine}) {
    // the output is the mean, 2.5; the gradient in w vanishes as y is even
    const double height = activate(activation, 0.5);
    const CriticalPoint point = on_parabola(mlp({1, 1, 1}, activation), {0, 0.5, 2, 2.5 - 2 * height});
    EXPECT_TRUE(point.critical && point.finite) << name(activation) << ": " << point.remark;
    // layer 2 has in-weights, but its inputs are constant
    const double above = activate(activation, 0.7 * height - 0.1);
    const CriticalPoint deep = on_parabola(mlp({1, 1, 1, 1}, activation), {0, 0.5, 0.7, -0.1, 2, 2.5 - 2 * above});
    EXPECT_TRUE(deep.critical && deep.finite) << name(activation) << ": " << deep.remark;
  }
  const CriticalPoint crest = on_parabola(mlp({1, 1, 1}, Activation::sine), {0, std::acos(-1) / 2, 2, 0.5});
  EXPECT_TRUE(crest.critical && crest.finite) << crest.remark;
}

TEST(CertifyCriticalPoint, TakesDeadReluNeurons) {
  const CriticalPoint dead = on_parabola(mlp({1, 1, 1}, Activation::relu), {1, -5, 2, 2.5});
  EXPECT_TRUE(dead.critical && dead.finite) << dead.remark;
  const CriticalPoint beside = on_parabola(mlp({1, 2, 1}, Activation::relu), {1, 0, -5, 0.5, 2, 1, 2});
  EXPECT_TRUE(beside.critical && beside.finite) << beside.remark;
  const CriticalPoint saturated = on_parabola(mlp({1, 1, 1}, Activation::softplus), {1, -40, 2, 2.5});
  EXPECT_FALSE(saturated.finite) << "softplus goes on falling where relu is dead";
}

// ---- one class each -------------------------------------------------------------------------------------------------

Landscape entropy_landscape(Network network, std::vector<double> x, std::vector<std::int32_t> y) {
  return Landscape(std::move(network), Dataset::classification(std::move(x), 1, std::move(y), 2), Loss::cross_entropy,
                   Device::cpu({.threads = 1}));
}

TEST(SearchCriticalPoints, ListsAMinimumOfTheCrossEntropyOnce) {
  for (const Bias bias : {Bias::all, Bias::none}) {
    for (const std::int64_t heads : {1, 2}) {
      const Network network = mlp({1, 2 * heads}, Activation::identity, {.bias = bias, .heads = heads});
      const Landscape landscape = entropy_landscape(network, {-1, 1, 2, -2}, {0, 1, 0, 1});
      const CriticalSearch search = search_critical_points(landscape, short_search(4));
      expect_sound(landscape, search, 4, kBar);
      ASSERT_EQ(search.classes.size(), 1u);
      EXPECT_EQ(search.classes[0].count, 4);
      EXPECT_FALSE(search.classes[0].constant);
    }
  }
}

// A common shift of the logits would add rounding above the tolerance.
TEST(SearchCriticalPoints, FindsAMinimumOfTheCrossEntropyOnLargeInputs) {
  const Network network = mlp({1, 2}, Activation::identity, {.bias = Bias::none});
  const Landscape landscape = entropy_landscape(
      network, {303.4397358351804, 1674.1910514500835, -530.2055914390346, -1599.406508792114}, {1, 0, 0, 0});
  const CriticalSearch search = search_critical_points(landscape, short_search(4));
  EXPECT_EQ(search.found, 4);
  ASSERT_EQ(search.classes.size(), 1u);
  const CriticalPoint& point = search.classes[0].representative;
  EXPECT_NEAR(point.loss, 0.68049961412241, 1e-13);
  EXPECT_NEAR(point.theta[1] - point.theta[0], 2.686848829335943e-4, 1e-12);
}

TEST(SearchCriticalPoints, ListsAConstantPredictionOnce) {
  // the labels are even in x: the best softmax of a straight line is constant
  const std::pair<std::vector<double>, std::vector<std::int32_t>> equal{{-2, -1, 1, 2}, {1, 0, 0, 1}},
      unequal{{-2, -1, 1, 2, -3, 3}, {1, 0, 0, 1, 1, 1}};
  const auto searched = [](const auto& data, Bias bias) {
    const Landscape landscape =
        entropy_landscape(mlp({1, 2}, Activation::identity, {.bias = bias}), data.first, data.second);
    CriticalSearch search = search_critical_points(landscape, short_search(4));
    expect_sound(landscape, search, 4, kBar);
    return search;
  };
  for (const CriticalSearch& search :
       {searched(equal, Bias::all), searched(unequal, Bias::all), searched(equal, Bias::none)}) {
    ASSERT_EQ(search.classes.size(), 1u);
    EXPECT_TRUE(search.classes[0].constant);
    EXPECT_EQ(search.classes[0].count, 4);
  }
  const CriticalSearch zero = searched(unequal, Bias::none);  // equal probabilities are not the frequencies
  EXPECT_TRUE(zero.classes.empty());
  EXPECT_EQ(zero.vanishing_output, 4);
}

TEST(SearchCriticalPoints, ListsAMinimumOfReluNeuronsOnce) {
  for (const Activation activation : {Activation::relu, Activation::leaky_relu}) {
    const Landscape landscape(mlp({1, 1, 1}, activation), tanh3(), Loss::mean_squared_error,
                              Device::cpu({.threads = 1}));
    const CriticalSearch search = search_critical_points(landscape, short_search(12));
    expect_sound(landscape, search, 12, kBar);
    ASSERT_FALSE(search.classes.empty());
    const double least = search.classes[0].representative.loss;
    std::int64_t minima = 0, starts = 0;
    for (const CriticalClass& one : search.classes) {
      if (one.representative.loss > least + 1e-9) continue;
      ++minima, starts += one.count;
    }
    EXPECT_LE(minima, 2) << name(activation) << ": the minimum and its mirror image";
    EXPECT_GE(starts, 4) << name(activation);
  }
}

}  // namespace
}  // namespace lossatlas
