// The oracle against numbers that can be checked by hand, and against closed forms.
#include "reference/oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lossatlas::reference {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Oracle, DualNumbersDifferentiateOnceAndTwice) {
  const double x = 0.7;
  const Dual<Dual<double>> twice{{x, 1.0}, {1.0, 0.0}};
  const auto f = exp(twice) * sin(twice);  // f' = eˣ(sin + cos), f'' = 2 eˣ cos
  EXPECT_NEAR(f.v.v, std::exp(x) * std::sin(x), 1e-15);
  EXPECT_NEAR(f.v.d, std::exp(x) * (std::sin(x) + std::cos(x)), 1e-15);
  EXPECT_NEAR(f.d.d, 2 * std::exp(x) * std::cos(x), 1e-15);
  const auto quotient = Dual<double>(1.0) / Dual<double>{x, 1.0};
  EXPECT_NEAR(quotient.d, -1 / (x * x), 1e-15);
  EXPECT_NEAR(log1p(Dual<double>{x, 1.0}).d, 1 / (1 + x), 1e-15);
  EXPECT_NEAR(log(Dual<double>{x, 1.0}).d, 1 / x, 1e-15);
}

TEST(Oracle, ActivationsAtKnownPoints) {
  EXPECT_EQ(activate(Activation::relu, -2.0), 0.0);
  EXPECT_EQ(activate(Activation::relu, 2.0), 2.0);
  EXPECT_EQ(slope(Activation::relu, 0.0), 0.0);
  EXPECT_EQ(activate(Activation::leaky_relu, -2.0), -0.02);
  EXPECT_NEAR(activate(Activation::tanh, std::log(2.0)), 0.6, 1e-15);      // (2 − ½)/(2 + ½)
  EXPECT_NEAR(activate(Activation::sigmoid, std::log(3.0)), 0.75, 1e-15);  // 3/(3 + 1)
  EXPECT_NEAR(slope(Activation::sigmoid, -std::log(3.0)), 0.1875, 1e-15);  // ¾·¼
  EXPECT_NEAR(activate(Activation::softplus, std::log(3.0)), std::log(4.0), 1e-15);
  EXPECT_NEAR(slope(Activation::softplus, -std::log(3.0)), 0.25, 1e-15);
  EXPECT_NEAR(activate(Activation::gelu, 1.0), 0.8413447460685429, 1e-15);  // the normal distribution at 1
  EXPECT_NEAR(slope(Activation::gelu, 1.0), 1.0833154705876864, 1e-15);     // plus its density at 1
  EXPECT_NEAR(slope(Activation::sine, std::acos(-1.0) / 3), 0.5, 1e-15);
  for (Activation activation : {Activation::identity, Activation::relu, Activation::leaky_relu, Activation::tanh,
                                Activation::sigmoid, Activation::softplus, Activation::gelu, Activation::sine}) {
    EXPECT_TRUE(std::isnan(activate(activation, kNaN))) << static_cast<int>(activation);
  }
}

TEST(Oracle, LinearRegressionByHand) {
  const Network network({Dense{1, 1, true, Activation::identity}});
  const Dataset data = Dataset::regression({1, 3}, 1, {2, 8}, 1);
  const std::vector<double> theta = {2, 1};  // outputs 3 and 7, errors 1 and −1
  EXPECT_EQ(losses(network, theta, data, Loss::mean_squared_error), std::vector<double>{1});
  EXPECT_EQ(gradient(network, theta, data, Loss::mean_squared_error), (std::vector<double>{-2, 0}));
  EXPECT_EQ(gradient(network, theta, data, Loss::mean_squared_error, 1, 2), (std::vector<double>{-6, -2}));
  EXPECT_EQ(mean_max_output(network, theta, data), 5);
  EXPECT_TRUE(std::isnan(accuracy(network, theta, data)[0]));
}

TEST(Oracle, LogisticRegressionIsLogOnePlusExp) {
  const Network network({Dense{1, 2, true, Activation::identity}});
  const Dataset data = Dataset::classification({0.5, -2}, 1, {1, 0}, 2);
  const std::vector<double> theta = {0, 3, 0, 1};  // logits (0, 3x + 1): margins 2.5 and −(−5)
  const double expected = (std::log1p(std::exp(-2.5)) + std::log1p(std::exp(-5.0))) / 2;
  EXPECT_NEAR(losses(network, theta, data, Loss::cross_entropy)[0], expected, 1e-15);
  const double first = 1 / (1 + std::exp(2.5)), second = 1 / (1 + std::exp(5.0));  // wrong class' probability
  const double slope_w = (-first * 0.5 + second * -2) / 2, slope_b = (-first + second) / 2;
  EXPECT_LE(max_difference(gradient(network, theta, data, Loss::cross_entropy),
                           std::vector<double>{-slope_w, slope_w, -slope_b, slope_b}),
            1e-15);
  EXPECT_EQ(accuracy(network, theta, data)[0], 1);
}

TEST(Oracle, HeadsShareLabelsAndTargetsMayBeDistributions) {
  const Network network({Dense{1, 4, false, Activation::identity}}, 2);
  const Dataset labels = Dataset::classification({1}, 1, {1}, 2);
  const std::vector<double> theta = {0, 0, 5, 7};
  const auto ce = losses(network, theta, labels, Loss::cross_entropy);
  EXPECT_NEAR(ce[0], std::log(2.0), 1e-15);
  EXPECT_NEAR(ce[1], std::log1p(std::exp(-2.0)), 1e-15);
  EXPECT_EQ(losses(network, theta, labels, Loss::mean_squared_error), (std::vector<double>{1, 61}));
  EXPECT_EQ(accuracy(network, theta, labels), (std::vector<double>{0, 1}));  // a tie goes to the first output
  const Dataset soft = Dataset::regression({1}, 1, {0.25, 0.75}, 2);
  EXPECT_NEAR(losses(network, theta, soft, Loss::cross_entropy)[1], 7 + std::log1p(std::exp(-2.0)) - 6.5, 1e-15);
  EXPECT_EQ(accuracy(network, {0, kNaN, 5, kNaN}, labels), (std::vector<double>{0, 0}));
}

/// The 1-D data and the width-1 critical point of the theory notes (section 6).
TEST(Oracle, KnownCriticalPointAndItsSpectrum) {
  std::vector<double> x, y;
  for (int i = 0; i < 50; ++i) {
    x.push_back(-15 + 30.0 * i / 49);
    y.push_back(std::tanh(x.back() + 7) + std::tanh(x.back()) + std::tanh(x.back() - 7));
  }
  const Dataset data = Dataset::regression(x, 1, y, 1);
  const Network network = mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden});
  const std::vector<double> theta = {0.08953659128478933, 0, 3.7469510271074928};
  EXPECT_NEAR(risk(network, theta, data, Loss::mean_squared_error), 0.1090227420901827, 1e-15);
  for (double entry : gradient(network, theta, data, Loss::mean_squared_error)) EXPECT_NEAR(entry, 0, 1e-12);
  double hessian[3][3];
  for (int j = 0; j < 3; ++j) {
    auto dual = lift<Dual<double>>(theta);
    dual[static_cast<std::size_t>(j)].d = 1;
    const auto column = gradient(network, dual, data, Loss::mean_squared_error);
    for (int i = 0; i < 3; ++i) hessian[i][j] = column[static_cast<std::size_t>(i)].d;
  }
  const auto& h = hessian;
  const double trace = h[0][0] + h[1][1] + h[2][2];
  const double determinant = h[0][0] * (h[1][1] * h[2][2] - h[1][2] * h[2][1]) -
                             h[0][1] * (h[1][0] * h[2][2] - h[1][2] * h[2][0]) +
                             h[0][2] * (h[1][0] * h[2][1] - h[1][1] * h[2][0]);
  EXPECT_NEAR(trace, 0.0629494 + 13.35155 + 458.37232, 1e-5);
  EXPECT_NEAR(determinant / (0.0629494 * 13.35155 * 458.37232), 1, 2e-6);
}

/// Back-propagation against the derivative part of the loss, two independent ways through the oracle.
TEST(Oracle, BackPropagationIsTheDualDerivative) {
  const Network network({Dense{2, 3, true, Activation::gelu}, Dense{3, 4, false, Activation::identity}}, 2);
  const Dataset data = Dataset::classification({0.3, -1, 2, 0.5, -0.7, 0.1}, 2, {0, 1, 1}, 2);
  std::vector<double> theta;
  for (std::int64_t m = 0; m < network.parameter_count(); ++m) theta.push_back(std::sin(1.0 + 2.0 * m));
  for (Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
    const auto reverse = gradient(network, theta, data, loss);
    for (std::size_t m = 0; m < theta.size(); ++m) {
      auto dual = lift<Dual<double>>(theta);
      dual[m].d = 1;
      EXPECT_NEAR(reverse[m], risk(network, dual, data, loss).d, 1e-14) << m;
    }
  }
}

TEST(Oracle, SectionFormsThetaFromScratch) {
  const Network network({Dense{1, 1, true, Activation::identity}});
  const Dataset data = Dataset::regression({2}, 1, {0}, 1);
  const Section section{{1, 1}, {1, 0, 0, 1}};  // output (1 + α₁)·2 + 1 + α₂
  const auto values =
      section_losses(network, section, std::vector<double>{0, 0, 0.5, -1}, data, Loss::mean_squared_error);
  EXPECT_EQ(values, (std::vector<double>{9, 9}));
}

TEST(Oracle, ComparisonsSeeNaN) {
  EXPECT_TRUE(near(kNaN, kNaN, 0));
  EXPECT_FALSE(near(kNaN, 1, 1e300));
  EXPECT_TRUE(near(INFINITY, INFINITY, 0));
  EXPECT_FALSE(near(INFINITY, -INFINITY, 1));
  EXPECT_EQ(max_difference(std::vector<double>{1, 2}, std::vector<double>{1.5, 4}), 2);
  EXPECT_TRUE(std::isinf(max_difference(std::vector<double>{1, kNaN}, std::vector<double>{1, 2})));
  EXPECT_TRUE(std::isinf(max_difference(std::vector<double>{kNaN, 9}, std::vector<double>{2, 1})));
}

}  // namespace
}  // namespace lossatlas::reference
