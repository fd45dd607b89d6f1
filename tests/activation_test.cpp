#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lossatlas/activation.hpp>
#include <lossatlas/error.hpp>
#include <lossatlas/loss.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../kernels/scalar.cuh"

namespace lossatlas {
namespace {

using Real = long double;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A function's value and first two derivatives with respect to x: a second-order dual number.
struct Jet {
  Real v, d = 0, dd = 0;
};

Jet compose(const Jet& u, Real f, Real df, Real ddf) { return {f, df * u.d, ddf * u.d * u.d + df * u.dd}; }
Jet operator+(const Jet& a, const Jet& b) { return {a.v + b.v, a.d + b.d, a.dd + b.dd}; }
Jet operator*(const Jet& a, const Jet& b) {
  return {a.v * b.v, a.d * b.v + a.v * b.d, a.dd * b.v + 2 * a.d * b.d + a.v * b.dd};
}
Jet exp(const Jet& u) { return compose(u, std::exp(u.v), std::exp(u.v), std::exp(u.v)); }
Jet reciprocal(const Jet& u) { return compose(u, 1 / u.v, -1 / (u.v * u.v), 2 / (u.v * u.v * u.v)); }
Jet log1p(const Jet& u) {
  const Real r = 1 / (1 + u.v);
  return compose(u, std::log1p(u.v), r, -r * r);
}
Jet sin(const Jet& u) { return compose(u, std::sin(u.v), std::cos(u.v), -std::sin(u.v)); }
Jet erfc(const Jet& u) {
  const Real d = -2 / std::sqrt(std::acos(Real(-1))) * std::exp(-u.v * u.v);
  return compose(u, std::erfc(u.v), d, -2 * u.v * d);
}

/// The definitions of activation.hpp, differentiated by the rules of calculus.
Jet reference(Activation activation, Real point) {
  const Jet x{point, 1};
  const Jet minus_x{-point, -1};
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return point > 0 ? x : Jet{0};
    case Activation::leaky_relu:
      return point < 0 ? Jet{Real(kLeakySlope)} * x : x;
    case Activation::tanh: {
      Jet result = Jet{2} * reciprocal(Jet{1} + exp(Jet{2} * minus_x)) + Jet{-1};
      result.v = std::tanh(point);
      return result;
    }
    case Activation::sigmoid:
      return reciprocal(Jet{1} + exp(minus_x));
    case Activation::softplus:
      return log1p(exp(x));
    case Activation::gelu:
      return x * erfc(Jet{std::sqrt(Real(0.5))} * minus_x) * Jet{0.5};
    case Activation::sine:
      return sin(x);
  }
  return {};
}

/// Points of all magnitudes and signs, 40 where the tails of gelu and exp are still normal numbers.
std::vector<double> points(unsigned seed, double reach) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> unit(0, 1);
  std::vector<double> result;
  for (int e = -40; e < 0; ++e) {
    for (const double sign : {-1.0, 1.0}) result.push_back(sign * std::ldexp(1 + unit(random), e));
  }
  for (int i = 0; i < 4000; ++i) result.push_back(reach * (2 * unit(random) - 1));
  return result;
}

/// Entries of φ, φ' and φ'' that miss the reference: |error| > tolerance (|reference| + floor), NaN included.
template <class T>
void expect_matches(Activation activation, double reach, Real epsilon) {
  const unsigned seed = 5;
  for (const double point : points(seed, reach)) {
    const T x = static_cast<T>(point);
    const Jet expected = reference(activation, x);
    const std::array<T, 3> got = {scalar::activate(activation, x), scalar::activate_derivative(activation, x),
                                  scalar::activate_second_derivative(activation, x)};
    const std::array<Real, 3> want = {expected.v, expected.d, expected.dd};
    for (int order = 0; order < 3; ++order) {
      // Rounding the argument of a tail exp(-x²/2) or exp(-|x|) costs x² or |x| units, and where φ' or φ'' of gelu
      // changes sign the terms cancel; the jet itself is exact to 1e-19 of its terms, which are at most 1.
      const bool is_gelu = activation == Activation::gelu;
      const Real units = is_gelu ? 8 + 2 * Real(x) * x : 8;
      const Real density = std::exp(-Real(x) * x / 2);
      const Real floor = is_gelu && order > 0 && std::fabs(x) < 3 ? density : 0;
      const Real tolerance = units * epsilon * (std::fabs(want[order]) + floor) + 1e-18L * (is_gelu ? density : 1);
      ASSERT_TRUE(std::fabs(got[order] - want[order]) <= tolerance)
          << name(activation) << " order " << order << " at " << x << ": " << got[order] << " not "
          << static_cast<double>(want[order]) << ", seed " << seed;
    }
  }
}

TEST(Activation, DerivativesMatchDualNumbersInDouble) {
  for (const Activation activation : all_activations()) expect_matches<double>(activation, 36, 1.2e-16L);
}

TEST(Activation, DerivativesMatchDualNumbersInFloat) {
  for (const Activation activation : all_activations()) expect_matches<float>(activation, 12, 6e-8L);
}

// The tails relative to themselves: no term of the jets cancels there.
TEST(Activation, TailsAreRelativelyAccurate) {
  const double e = std::exp(-40.0);
  EXPECT_DOUBLE_EQ(activate(Activation::sigmoid, -40), e);
  EXPECT_DOUBLE_EQ(activate_derivative(Activation::sigmoid, 40), e);
  EXPECT_DOUBLE_EQ(activate_second_derivative(Activation::sigmoid, 40), -e);
  EXPECT_DOUBLE_EQ(activate(Activation::softplus, -40), e);
  EXPECT_DOUBLE_EQ(activate_derivative(Activation::tanh, 20), 4 * e);
  EXPECT_DOUBLE_EQ(activate_second_derivative(Activation::tanh, -20), 8 * e);
  EXPECT_DOUBLE_EQ(activate(Activation::tanh, 1e-300), 1e-300);
  EXPECT_DOUBLE_EQ(activate_second_derivative(Activation::tanh, 1e-20), -2e-20);
  // φ(x) = -Q(10) 10 with the tail Q(10) = 7.619853024160527e-24.
  EXPECT_NEAR(activate(Activation::gelu, -10) / -7.619853024160527e-23, 1, 1e-13);
}

TEST(Activation, NanStaysNan) {
  for (const Activation activation : all_activations()) {
    EXPECT_TRUE(std::isnan(activate(activation, kNaN))) << name(activation);
    EXPECT_TRUE(std::isnan(activate_derivative(activation, kNaN))) << name(activation);
    EXPECT_TRUE(std::isnan(activate_second_derivative(activation, kNaN))) << name(activation);
  }
}

TEST(Activation, LimitsAtInfinityAndFarOut) {
  struct Case {
    Activation activation;
    std::array<double, 3> below, above;
  };
  for (const double far : {kInfinity, 1e300}) {
    for (const auto& [activation, below, above] :
         {Case{Activation::identity, {-far, 1, 0}, {far, 1, 0}}, Case{Activation::relu, {0, 0, 0}, {far, 1, 0}},
          Case{Activation::leaky_relu, {-far * kLeakySlope, kLeakySlope, 0}, {far, 1, 0}},
          Case{Activation::tanh, {-1, 0, 0}, {1, 0, 0}}, Case{Activation::sigmoid, {0, 0, 0}, {1, 0, 0}},
          Case{Activation::softplus, {0, 0, 0}, {far, 1, 0}}, Case{Activation::gelu, {0, 0, 0}, {far, 1, 0}}}) {
      for (const double sign : {-1.0, 1.0}) {
        const std::array<double, 3> got = {activate(activation, sign * far),
                                           activate_derivative(activation, sign * far),
                                           activate_second_derivative(activation, sign * far)};
        EXPECT_EQ(got, sign < 0 ? below : above) << name(activation) << " at " << sign * far;
      }
    }
  }
  EXPECT_TRUE(std::isnan(activate(Activation::sine, kInfinity)));
}

TEST(Activation, ConventionsAtZero) {
  EXPECT_EQ(activate_derivative(Activation::relu, 0), 0);
  EXPECT_EQ(activate_derivative(Activation::leaky_relu, 0), 1);
  EXPECT_EQ(activate(Activation::sigmoid, 0), 0.5);
  EXPECT_EQ(activate_derivative(Activation::sigmoid, 0), 0.25);
  for (const Activation activation : {Activation::tanh, Activation::sine, Activation::identity}) {
    EXPECT_TRUE(std::signbit(activate(activation, -0.0))) << name(activation);
  }
}

TEST(Activation, NamesRoundTrip) {
  EXPECT_EQ(all_activations().size(), 8u);
  for (const Activation activation : all_activations()) EXPECT_EQ(parse_activation(name(activation)), activation);
  EXPECT_EQ(name(Activation::leaky_relu), "leaky_relu");
}

TEST(Activation, UnknownNamesAndNumbersAreRefused) {
  try {
    parse_activation("Tanh");
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("[parse_activation] received activation 'Tanh'"),
                                             testing::HasSubstr("leaky_relu"), testing::HasSubstr("sine")));
  }
  EXPECT_THROW(activate(static_cast<Activation>(8), 1), InvalidArgument);
  EXPECT_THROW(name(static_cast<Activation>(200)), InvalidArgument);
}

TEST(LossName, RoundTripsAndRefuses) {
  for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) EXPECT_EQ(parse_loss(name(loss)), loss);
  EXPECT_EQ(parse_loss("mean_squared_error"), Loss::mean_squared_error);
  EXPECT_EQ(parse_loss("cross_entropy"), Loss::cross_entropy);
  EXPECT_THROW(parse_loss("hinge"), InvalidArgument);
  EXPECT_THROW(name(static_cast<Loss>(2)), InvalidArgument);
}

TEST(ScalarLoss, LogsumexpIsStableAndStrided) {
  const double p[] = {1000, kNaN, 1000 + std::log(3.0), kNaN, -2000};
  const auto norm = scalar::logsumexp(p, 3, 2);
  EXPECT_EQ(norm.shift, p[2]);
  EXPECT_NEAR(norm.log_sum, std::log(4.0 / 3), 1e-13);  // the outputs round
  EXPECT_EQ(norm.log_share(p[2]), -norm.log_sum);
  EXPECT_TRUE(std::isnan(scalar::logsumexp(p, 5, 1).log_sum));
  const double infinite[] = {1, kInfinity, kInfinity}, nothing[] = {-kInfinity, -kInfinity};
  EXPECT_EQ(scalar::logsumexp(infinite, 3, 1).log_sum, kInfinity);
  EXPECT_EQ(scalar::logsumexp(infinite, 3, 1).log_share(1), -kInfinity);
  EXPECT_EQ(scalar::logsumexp(nothing, 2, 1).log_sum, -kInfinity);
}

// The derivatives by hand against dual numbers through the definitions of the losses.
TEST(ScalarLoss, ValuesAndDerivativesMatchTheDefinitions) {
  const double p[] = {0.3, -1.7, 2.2}, y[] = {0.2, 0.5, 0.3}, onehot[] = {0, 1, 0};
  const auto total = scalar::logsumexp(p, 3, 1);
  for (int c = 0; c < 3; ++c) {
    Jet sum{0}, product{0}, square{0};
    for (int k = 0; k < 3; ++k) {
      const Jet output{p[k], k == c ? Real(1) : Real(0)};
      sum = sum + exp(output);
      product = product + Jet{y[k]} * output;
      square = square + (output + Jet{-y[k]}) * (output + Jet{-y[k]});
    }
    EXPECT_NEAR(scalar::cross_entropy(p, 3, 1, y), std::log(sum.v) - product.v, 1e-15);
    EXPECT_NEAR(scalar::cross_entropy_derivative(p[c], total, y[c]), sum.d / sum.v - product.d, 1e-15);
    EXPECT_NEAR(scalar::squared_error(p, 3, 1, y), square.v, 1e-14);
    EXPECT_NEAR(scalar::squared_error_derivative(p[c], y[c]), square.d, 1e-15);
  }
  EXPECT_EQ(scalar::cross_entropy(p, 3, 1, std::int64_t{1}), scalar::cross_entropy(p, 3, 1, onehot));
  EXPECT_EQ(scalar::squared_error(p, 3, 1, std::int64_t{1}), scalar::squared_error(p, 3, 1, onehot));
  const double impossible[] = {0.3, -kInfinity};
  EXPECT_EQ(scalar::cross_entropy(impossible, 2, 1, onehot + 1), 0);
}

}  // namespace
}  // namespace lossatlas
