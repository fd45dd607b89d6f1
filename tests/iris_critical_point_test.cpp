// Critical points of a narrow network on iris, of which most descents lead to infinity.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/critical_point.hpp>
#include <lossatlas/dataset_io.hpp>
#include <lossatlas/embedding.hpp>
#include <lossatlas/forecast.hpp>

#include "critical_points.hpp"

namespace lossatlas {
namespace {

using testing::exact_gradient_l1;
using testing::expect_sound;

class Iris : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("LOSSATLAS_DATA");
    const std::filesystem::path file = std::filesystem::path(folder ? folder : "") / "iris.csv";
    if (!folder || !std::filesystem::exists(file)) GTEST_SKIP() << "LOSSATLAS_DATA does not name a folder with iris";
    data_ = read_csv(file);
  }

  Landscape landscape(bool standardised) const {
    return Landscape(network(), standardised ? data_->standardised() : *data_, Loss::mean_squared_error,
                     Device::cpu({.threads = 2}));
  }

  /// Of a function of the standardised inputs, the same function of the raw ones.
  std::vector<double> for_raw_inputs(std::vector<double> theta) const {
    const LayerView<double> layer = network().view(std::span(theta), 0);
    const std::vector<Scale> scales = input_scales();
    for (std::int64_t j = 0; j < 4; ++j) {
      const auto [mean, deviation] = scales[static_cast<std::size_t>(j)];
      for (std::int64_t s = 0; s < 2; ++s) {
        layer.weight(s, j) /= deviation;
        layer.bias[static_cast<std::size_t>(s)] -= layer.weight(s, j) * mean;
      }
    }
    return theta;
  }

  /// The other way round.
  std::vector<double> for_standardised_inputs(std::vector<double> theta) const {
    const LayerView<double> layer = network().view(std::span(theta), 0);
    const std::vector<Scale> scales = input_scales();
    for (std::int64_t j = 0; j < 4; ++j) {
      const auto [mean, deviation] = scales[static_cast<std::size_t>(j)];
      for (std::int64_t s = 0; s < 2; ++s) {
        layer.bias[static_cast<std::size_t>(s)] += layer.weight(s, j) * mean;
        layer.weight(s, j) *= deviation;
      }
    }
    return theta;
  }

  static Network network() { return mlp({4, 2, 3}, Activation::sigmoid, {.bias = Bias::hidden}); }

  struct Scale {
    double mean, deviation;
  };
  std::vector<Scale> input_scales() const {
    std::vector<Scale> scales;
    for (std::int64_t j = 0; j < 4; ++j) {
      double mean = 0, square = 0;
      for (std::int64_t n = 0; n < data_->size(); ++n) mean += data_->input(n)[static_cast<std::size_t>(j)];
      mean /= static_cast<double>(data_->size());
      for (std::int64_t n = 0; n < data_->size(); ++n) {
        square += std::pow(data_->input(n)[static_cast<std::size_t>(j)] - mean, 2);
      }
      scales.push_back({mean, std::sqrt(square / static_cast<double>(data_->size()))});
    }
    return scales;
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

/// The inertias after splitting a neuron into two and three equal copies, which have to be those of the forecast.
std::vector<Inertia> after_equal_splits(const Landscape& narrow, const CriticalPoint& point, std::int64_t neuron) {
  const SplitForecast forecast = split_forecast(narrow, point.theta, 1, neuron);
  std::vector<Inertia> found;
  for (const std::int64_t copies : {2, 3}) {
    const std::vector<double> weights(static_cast<std::size_t>(copies), 1.0 / static_cast<double>(copies));
    const Embedding wide = split_neuron(narrow.network(), point.theta, 1, neuron, weights);
    const Landscape above(wide.network, narrow.data(), narrow.loss(), narrow.device());
    const CriticalPoint embedded = certify_critical_point(above, wide.theta);
    EXPECT_TRUE(embedded.critical) << embedded.remark << ", gradient " << embedded.gradient_l1;
    EXPECT_GT(embedded.zero.gap, 1000);
    EXPECT_EQ(embedded.inertia, forecast.wide(weights)) << copies << " copies of neuron " << neuron;
    found.push_back(embedded.inertia);
  }
  return found;
}

TEST_F(Iris, EqualSplitsOfWidth2AddOneZeroAStepAsForecast) {
  CriticalPointOptions options;
  options.descent_iterations = 0;
  for (const bool standardised : {true, false}) {
    const Landscape two = landscape(standardised);
    for (const Known& known : kIris) {
      const CriticalPoint point =
          find_critical_point(two, standardised ? known.theta : for_raw_inputs(known.theta), options);
      ASSERT_EQ(point.inertia, known.inertia);
      for (std::int64_t neuron = 0; neuron < 2; ++neuron) {
        const std::vector<Inertia> wide = after_equal_splits(two, point, neuron);
        for (std::size_t step = 0; step < 2; ++step) {
          EXPECT_EQ(wide[step].zero, static_cast<std::int64_t>(step) + 1) << "loss " << known.loss << neuron;
          EXPECT_GT(wide[step].negative, known.inertia.negative);
        }
      }
    }
  }
}

TEST_F(Iris, HasAPointWithTheCountsOfFigure3b) {
  // a point of width 1, its neuron in halves: the zero eigenvalue of width 2 is that of the embedding
  const std::vector<double> half{0.90818, 0.6784, -4.5549, -2.9099, 0.90818, 0.6784,  -4.5549, -2.9099,
                                 4.7488,  4.7488, 0.27159, 0.27159, 0.24074, 0.24074, 0.03794, 0.03794};
  CriticalPointOptions options;
  options.descent_iterations = 0;
  for (const bool standardised : {true, false}) {
    const Landscape two = landscape(standardised);
    const CriticalPoint point = find_critical_point(two, standardised ? half : for_raw_inputs(half), options);
    EXPECT_TRUE(point.critical && point.finite) << point.remark << ", gradient " << point.gradient_l1;
    EXPECT_NEAR(point.loss, 0.6731503556753, 1e-12);
    EXPECT_EQ(point.inertia, (Inertia{12, 1, 3}));
    EXPECT_GT(point.zero.gap, 1000);
    for (std::int64_t neuron = 0; neuron < 2; ++neuron) {
      const std::vector<Inertia> paper = {{17, 2, 5}, {22, 3, 7}};
      EXPECT_EQ(after_equal_splits(two, point, neuron), paper) << "neuron " << neuron;
    }
  }
}

/// At least one finite critical point whose output is not constant, and saturated ones told apart.
void expect_finite_and_infinite(const Landscape& on_iris, const CriticalSearch& search, std::int64_t starts) {
  expect_sound(on_iris, search, starts, 1e-12);
  EXPECT_GE(search.at_infinity, starts / 4);
  std::int64_t finite = 0;
  for (const CriticalClass& one : search.classes) {
    // the infimum, 1/3, is reached at infinity only: one class is separable
    EXPECT_GT(one.representative.loss, 0.334);
    // predicting the means through neurons constant on the data is no critical point
    EXPECT_EQ(std::abs(one.representative.loss - 2.0 / 3) < 1e-9, one.constant);
    finite += !one.constant;
  }
  EXPECT_GE(finite, 1);
}

TEST_F(Iris, SearchOnStandardisedInputsTellsSaturatedPointsApart) {
  CriticalSearchOptions options;
  options.starts = 80;
  options.init.scale = {1};
  options.each.descent_iterations = 100;
  options.each.polish_iterations = 50;
  const Landscape on_iris = landscape(true);
  expect_finite_and_infinite(on_iris, search_critical_points(on_iris, options), options.starts);
}

// Raw inputs are far from 0, and saturate both neurons from almost every start.
TEST_F(Iris, SearchOnRawInputsFindsPointsThatAreFiniteOnStandardisedOnesToo) {
  CriticalSearchOptions options;
  options.starts = 80;
  options.init.seed = 2;
  options.init.scale = {0.3};
  options.each.descent_iterations = 1000;
  const Landscape raw = landscape(false), standardised = landscape(true);
  const CriticalSearch search = search_critical_points(raw, options);
  expect_finite_and_infinite(raw, search, options.starts);
  CriticalPointOptions polish;
  polish.descent_iterations = 0;
  for (const CriticalClass& one : search.classes) {
    if (one.constant) continue;
    const CriticalPoint same =
        find_critical_point(standardised, for_standardised_inputs(one.representative.theta), polish);
    EXPECT_TRUE(same.critical) << same.remark << ", gradient " << same.gradient_l1;
    EXPECT_NEAR(same.loss, one.representative.loss, 1e-12);
  }
}

TEST_F(Iris, DescentLeadsToInfinity) {
  CriticalPointOptions options;
  options.descent_iterations = 3000;
  for (const bool standardised : {true, false}) {
    const std::vector<double> start = random_parameters(network(), {.seed = 0, .scale = {0.35, 0.35}});
    const CriticalPoint point = find_critical_point(landscape(standardised), start, options);
    EXPECT_LE(point.gradient_l1, 1e-12);
    EXPECT_NEAR(point.loss, 1.0 / 3, 1e-9);
    EXPECT_FALSE(point.finite);
    EXPECT_FALSE(point.critical);
    EXPECT_FALSE(point.remark.empty());
  }
}

}  // namespace
}  // namespace lossatlas
