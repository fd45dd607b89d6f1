// Critical points whose output is constant: finite by way of neurons that cancel, or at infinity.
#include <lossatlas/critical_point.hpp>

#include <vector>

#include <gtest/gtest.h>

#include "critical_points.hpp"

namespace lossatlas {
namespace {

using testing::class_with_loss;
using testing::expect_sound;
using testing::kBar;
using testing::short_search;

/// Three classes, each its own mirror image under x → −x; sigmoid without output bias.
Landscape constant_fits(std::int64_t width) {
  const Dataset data = Dataset::classification({-2, 2, -0.5, 0.5, -1, 1, -2.5, 2.5, -3, 3, -1.5, 1.5}, 1,
                                               {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, 3);
  return Landscape(mlp({1, width, 3}, Activation::sigmoid, {.bias = Bias::hidden}), data, Loss::mean_squared_error,
                   Device::cpu({.threads = 1}));
}

TEST(ConstantOutput, IsFiniteByWayOfNeuronsThatCancel) {
  // φ(z) + φ(−z) = 1, and each class has the same mean of φ: the output is the mean target, 1/3, and critical
  const Landscape landscape = constant_fits(2);
  const double w = 0.4, third = 1.0 / 3;
  const std::vector<double> theta{w, -w, 0, 0, third, third, third, third, third, third};
  EXPECT_EQ(output_kind(landscape, theta), OutputKind::constant);
  const CriticalPoint point = certify_critical_point(landscape, theta);
  EXPECT_TRUE(point.critical && point.finite) << point.remark;
  EXPECT_NEAR(point.loss, 2.0 / 3, 1e-15);
}

TEST(ConstantOutput, IsAtInfinityByWayOfConstantNeurons) {
  const Landscape landscape = constant_fits(1);
  const double third = 2.0 / 3;  // times φ(0)
  for (const double w : {1e-8, 1e-6}) {
    const std::vector<double> theta{w, 0, third, third, third};
    EXPECT_EQ(output_kind(landscape, theta), OutputKind::constant) << w;
    const CriticalPoint point = certify_critical_point(landscape, theta, 1e-4);
    EXPECT_FALSE(point.finite || point.critical) << w;
    EXPECT_EQ(point.remark, "neuron 0 of layer 1 is constant on the data") << w;
  }
  const std::vector<double> varying{0.1, 0, third, third, third};
  EXPECT_EQ(output_kind(landscape, varying), OutputKind::varying);
  EXPECT_EQ(neuron_at_infinity(landscape, varying), "");
  EXPECT_EQ(output_kind(landscape, std::vector<double>{1, 0, 0, 0, 0}), OutputKind::zero);
}

TEST(ConstantOutput, IsFoundByWayOfNeuronsThatCancel) {
  const Landscape landscape = constant_fits(2);
  CriticalSearchOptions options = short_search(100);
  options.each.descent_iterations = 200;
  options.init.scale = {1};
  const CriticalSearch search = search_critical_points(landscape, options);
  expect_sound(landscape, search, 100, kBar);
  const CriticalClass* constant = class_with_loss(search, 2.0 / 3);
  ASSERT_NE(constant, nullptr);
  EXPECT_TRUE(constant->constant);
}

TEST(ConstantOutput, IsOneClassInASearch) {
  // y = x² is even, tanh without bias odd: only the output's bias helps; the neurons' input weights end anywhere
  const Network network({Dense{1, 2, false, Activation::tanh}, Dense{2, 1, true, Activation::identity}});
  const Landscape landscape(network, Dataset::regression({-2, -1, 1, 2}, 1, {4, 1, 1, 4}, 1), Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  CriticalSearchOptions options = short_search(12);
  options.each.descent_iterations = 200;
  options.init.scale = {1};
  const CriticalSearch search = search_critical_points(landscape, options);
  expect_sound(landscape, search, 12, kBar);
  ASSERT_EQ(search.classes.size(), 1u);
  EXPECT_TRUE(search.classes[0].constant);
  EXPECT_GE(search.classes[0].count, 6);
  EXPECT_NEAR(search.classes[0].representative.loss, 2.25, 1e-14) << "the variance of y";
  EXPECT_NEAR(search.classes[0].representative.theta.back(), 2.5, 1e-13) << "its mean";
}

}  // namespace
}  // namespace lossatlas
