// Points at infinity of the cross entropy: data that a network separates, wholly or in part, and finite points beside
// them.
#include "critical/separation.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numbers>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/critical_point.hpp>
#include <lossatlas/dataset_io.hpp>
#include <lossatlas/error.hpp>

#include "critical_points.hpp"

namespace lossatlas {
namespace {

using testing::expect_sound;

constexpr double kTolerance = 1e-12;

Landscape entropy_of(Network network, Dataset data) {
  return Landscape(std::move(network), std::move(data), Loss::cross_entropy, Device::cpu({.threads = 1}));
}

Landscape softmax(std::vector<double> x, std::int64_t features, std::vector<std::int32_t> y, std::int64_t classes,
                  Bias bias = Bias::all, std::int64_t heads = 1) {
  return entropy_of(mlp({features, classes * heads}, Activation::identity, {.bias = bias, .heads = heads}),
                    Dataset::classification(std::move(x), features, std::move(y), classes));
}

CriticalSearch search(const Landscape& landscape, std::int64_t starts = 8, std::uint64_t seed = 1) {
  CriticalSearchOptions options;
  options.starts = starts;
  options.init.seed = seed;
  options.each.descent_iterations = 1000;
  CriticalSearch result = search_critical_points(landscape, options);
  expect_sound(landscape, result, starts, kTolerance);
  return result;
}

// ---- without hidden layers: R is convex, and separable data have no critical point ----------------------------------

struct Data {
  const char* name;
  std::vector<double> x;
  std::int64_t features;
  std::vector<std::int32_t> y;
  std::int64_t classes = 2;
  Bias bias = Bias::all;
  std::int64_t heads = 1;
};

std::ostream& operator<<(std::ostream& out, const Data& data) { return out << data.name; }

class Separable : public ::testing::TestWithParam<Data> {};

TEST_P(Separable, HasNoCriticalPointOnAnyScale) {
  const Data& data = GetParam();
  for (const double scale : {1e-3, 1.0, 1e3}) {
    std::vector<double> x = data.x;
    for (double& value : x) value *= scale;
    const Landscape landscape = softmax(x, data.features, data.y, data.classes, data.bias, data.heads);
    for (const std::uint64_t seed : {1, 2}) {
      const CriticalSearch result = search(landscape, 4, seed);
      EXPECT_TRUE(result.classes.empty()) << "loss " << result.classes[0].representative.loss << ", |gradient|_1 "
                                          << result.classes[0].representative.gradient_l1 << ", scale " << scale;
    }
  }
}

const Data kSeparable[] = {
    {"wholly", {-1, 1}, 1, {0, 1}},
    {"in_part", {-1, 1, 0, 0, 0}, 1, {0, 1, 0, 1, 1}},
    {"without_bias", {-1, 2, 0, 0}, 1, {0, 1, 0, 1}, 2, Bias::none},
    // (1, 2)·x is 0 on the samples of both classes
    {"obliquely", {2, -1, 2, -1, -4, 2, -4, 2, 1, 1, -1, -1}, 2, {0, 1, 0, 1, 1, 0}},
    {"in_a_plane_of_three",
     {0, 1, 3, 0, 1, 3, 1, 0, -2, 1, 0, -2, 2, 1, 0, -1, 1, 0, 0, -1, 2},
     3,
     {0, 1, 0, 1, 1, 0, 1},
     2,
     Bias::none},
    {"three_classes_one_apart", {-1, 0, 1, 2, 0, 1, 9}, 1, {0, 1, 0, 1, 1, 0, 2}, 3},
    {"an_output_without_label", {-1, 1, 2, -2}, 1, {0, 1, 0, 1}, 3},
    {"two_heads", {-1, 1, 0, 0, 0}, 1, {0, 1, 0, 1, 1}, 2, Bias::all, 2},
    {"twice_the_same_samples", {-1, 1, 0, 0, 0, -1, 1, 0, 0, 0}, 1, {0, 1, 0, 1, 1, 0, 1, 0, 1, 1}},
};
INSTANTIATE_TEST_SUITE_P(Data, Separable, ::testing::ValuesIn(kSeparable),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Separable, IsToldWhereGradientsUnderflow) {
  const Landscape wholly = softmax({-1, 1}, 1, {0, 1}, 2);
  const Landscape in_part = softmax({-1, 1, 0, 0}, 1, {0, 1, 0, 1}, 2);
  for (const double w : {20.0, 400.0, 1e5, 1e200}) {
    for (const Landscape* landscape : {&wholly, &in_part}) {
      const CriticalPoint point = certify_critical_point(*landscape, std::vector<double>{-w, w, 0, 0});
      EXPECT_FALSE(point.finite) << w << ", gradient " << point.gradient_l1;
      EXPECT_FALSE(point.critical);
      EXPECT_EQ(point.remark, "the cross entropy goes on falling on samples whose probabilities are 1 up to 1e-8");
    }
  }
  // a sample at a margin of 40 that others fix does not hide one at a margin of 2000
  const Landscape hidden = softmax({-1, 0, 1, 0, 1, 0, -1, 0, 40, 0, 0, 1}, 2, {0, 1, 0, 1, 0, 1}, 2, Bias::none);
  EXPECT_FALSE(falls_for_ever(hidden, std::vector<double>{0.5, 0, -0.5, 0}));
  EXPECT_TRUE(falls_for_ever(hidden, std::vector<double>{0.5, -1000, -0.5, 1000}));
}

TEST(NotSeparable, StaysCriticalWithSamplesAtLargeMargins) {
  // the last sample is on the right side of all others, which overlap
  for (const double far : {70.0, 200.0, 5000.0}) {
    for (const double scale : {1e-3, 1.0}) {
      std::vector<double> x{-2, -1, 1, 2, -1, 1, far};
      for (double& value : x) value *= scale;
      const Landscape landscape = softmax(x, 1, {0, 1, 0, 1, 0, 1, 1}, 2);
      const CriticalSearch result = search(landscape, 4);
      ASSERT_EQ(result.classes.size(), 1u) << far << " " << scale;
      EXPECT_EQ(result.classes[0].count, 4);
      const std::vector<double>& theta = result.classes[0].representative.theta;
      EXPECT_GT((theta[1] - theta[0]) * far * scale + theta[3] - theta[2], 40);
    }
  }
}

TEST(NotSeparable, StaysCriticalWhereSureSamplesBalance) {
  // only the two sure samples see x₂; at the minimum both have the margin 40
  const double w = 0.1, p = 1 / (1 + std::exp(-2 * w));
  const Dataset data = Dataset::regression({1, 0, 200, 1, 200, -1}, 2, {1 - p, p, 0, 1, 0, 1}, 2);
  const Landscape landscape = entropy_of(mlp({2, 2}, Activation::identity, {.bias = Bias::none}), data);
  EXPECT_FALSE(falls_for_ever(landscape, std::vector<double>{-w, 0, w, 0}));
  EXPECT_TRUE(falls_for_ever(landscape, std::vector<double>{-w, -1, w, 1}));
}

TEST(NotSeparable, StaysCriticalWithDistributionsAsTargets) {
  // at p = log y no gradient is left, but nothing is at infinity
  const Dataset soft = Dataset::regression({-1, 1}, 1, {0.9, 0.1, 0.25, 0.75}, 2);
  const CriticalSearch result = search(entropy_of(mlp({1, 2}, Activation::identity), soft), 4);
  ASSERT_EQ(result.classes.size(), 1u);
  const Dataset faint = Dataset::regression({-1, 1}, 1, {1 - 1e-10, 1e-10, 1e-10, 1 - 1e-10}, 2);
  EXPECT_FALSE(falls_for_ever(entropy_of(mlp({1, 2}, Activation::identity), faint),
                              std::vector<double>{-11.512925, 11.512925, 0, 0}));
  const Dataset sharp = Dataset::regression({-1, 1}, 1, {1, 0, 0.25, 0.75}, 2);
  EXPECT_TRUE(search(entropy_of(mlp({1, 2}, Activation::identity), sharp), 4).classes.empty());
}

// ---- with hidden layers: finite saddles remain ----------------------------------------------------------------------

TEST(HiddenLayer, HasNoPointAtInfinityThatIsCritical) {
  // separable by a hidden layer only, wholly and in part
  const std::vector<double> x{-2, -1, 1, 2};
  for (const Activation activation : {Activation::tanh, Activation::sigmoid, Activation::relu, Activation::softplus}) {
    for (const Bias bias : {Bias::all, Bias::hidden}) {
      const Network network = mlp({1, 2, 2}, activation, {.bias = bias});
      for (const bool conflict : {false, true}) {
        std::vector<double> inputs = x;
        std::vector<std::int32_t> labels{1, 0, 0, 1};
        if (conflict) inputs.insert(inputs.end(), {3, 3}), labels.insert(labels.end(), {0, 1});
        const auto samples = static_cast<double>(inputs.size());
        const Landscape landscape = entropy_of(network, Dataset::classification(inputs, 1, labels, 2));
        const double infimum = conflict ? 2 * std::numbers::ln2 / samples : 0;
        for (const CriticalClass& one : search(landscape, 8).classes) {
          EXPECT_GT(one.representative.loss, infimum + 1e-6) << name(activation);
        }
      }
    }
  }
}

TEST(HiddenLayer, HasFiniteSaddles) {
  const Dataset data = Dataset::classification({-2, -1, 1, 2, 3}, 1, {1, 0, 0, 1, 1}, 2);
  const Landscape landscape = entropy_of(mlp({1, 2, 2}, Activation::tanh), data);
  const std::vector<double> theta{0, 0, 0, 0, 0, 0, 0, 0, std::log(0.4), std::log(0.6)};
  const CriticalPoint point = certify_critical_point(landscape, theta);
  EXPECT_TRUE(point.critical) << point.remark;
}

class IrisOfTwoClasses : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("LOSSATLAS_DATA");
    const std::filesystem::path file = std::filesystem::path(folder ? folder : "") / "iris.csv";
    if (!folder || !std::filesystem::exists(file)) GTEST_SKIP() << "LOSSATLAS_DATA does not name a folder with iris";
    const Dataset iris = read_csv(file).slice(0, 90);
    landscape_.emplace(entropy_of(mlp({4, 2, 2}, Activation::tanh),
                                  Dataset::classification({iris.inputs().begin(), iris.inputs().end()}, 4,
                                                          {iris.labels().begin(), iris.labels().end()}, 2)));
  }
  std::optional<Landscape> landscape_;
};

TEST_F(IrisOfTwoClasses, HasTheConstantPredictorAndNothingNearLossZero) {
  std::vector<double> theta(16, 0.0);
  theta[14] = std::log(50.0 / 90), theta[15] = std::log(40.0 / 90);
  const CriticalPoint constant = certify_critical_point(*landscape_, theta);
  EXPECT_TRUE(constant.critical) << constant.remark;
  const CriticalSearch found = search(*landscape_, 8);
  for (const CriticalClass& one : found.classes) EXPECT_GT(one.representative.loss, 1e-3);
}

TEST(FallsForEver, LooksForAStop) {
  std::stop_source source;
  source.request_stop();
  const Landscape landscape = softmax({-1, 1}, 1, {0, 1}, 2);
  EXPECT_THROW(falls_for_ever(landscape, std::vector<double>{-9, 9, 0, 0}, {{}, source.get_token()}), Interrupted);
}

}  // namespace
}  // namespace lossatlas
