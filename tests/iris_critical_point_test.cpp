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
      const SplitForecast forecast = split_forecast(two, point.theta, 1, neuron);
      for (const std::int64_t copies : {2, 3}) {
        const std::vector<double> weights(static_cast<std::size_t>(copies), 1.0 / static_cast<double>(copies));
        const Inertia paper = copies == 2 ? Inertia{17, 2, 5} : Inertia{22, 3, 7};
        EXPECT_EQ(forecast.wide(weights), paper);
        const Embedding wide = split_neuron(two.network(), point.theta, 1, neuron, weights);
        const Landscape above(wide.network, two.data(), two.loss(), two.device());
        EXPECT_EQ(certify_critical_point(above, wide.theta).inertia, paper) << "neuron " << neuron;
      }
    }
  }
}

TEST_F(Iris, SearchTellsSaturatedPointsApart) {
  CriticalSearchOptions options;
  options.scale = {1};
  options.each.descent_iterations = 100;
  options.each.polish_iterations = 50;
  std::size_t classes = 0;
  for (const bool standardised : {true, false}) {
    const Landscape on_iris = landscape(standardised);
    options.starts = standardised ? 80 : 20;
    const CriticalSearch search = search_critical_points(on_iris, options);
    expect_sound(on_iris, search, options.starts, 1e-12);
    EXPECT_GE(search.at_infinity, options.starts / 4);
    for (const CriticalClass& one : search.classes) {
      // the infimum, 1/3, is reached at infinity only: one class is separable
      EXPECT_GT(one.representative.loss, 0.334);
      // predicting the means through neurons constant on the data is no critical point
      EXPECT_EQ(std::abs(one.representative.loss - 2.0 / 3) < 1e-9, one.constant);
    }
    classes += search.classes.size();
  }
  EXPECT_GE(classes, 1u);
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
