// The vector functions of every target that this machine runs, against long double.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vector_math_test.cpp"
#include <hwy/foreach_target.h>

#include "cpu/vector_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace lossatlas::cpu::HWY_NAMESPACE {

/// Applies "exp", "log", "log1p" or the named activation; count is a multiple of every vector's lanes.
template <class T>
void apply(const char* function, const T* in, T* out, std::size_t count) {
  const hn::ScalableTag<T> d;
  const auto loop = [&](auto f) HWY_ATTR {
    for (std::size_t i = 0; i < count; i += hn::Lanes(d)) hn::StoreU(f(d, hn::LoadU(d, in + i)), d, out + i);
  };
  const std::string_view name = function;
  if (name == "exp") return loop([](auto tag, auto x) HWY_ATTR { return Exp(tag, x); });
  if (name == "log") return loop([](auto tag, auto x) HWY_ATTR { return Log(tag, x); });
  if (name == "log1p") return loop([](auto tag, auto x) HWY_ATTR { return Log1p(tag, x); });
  DispatchActivation(parse_activation(name), loop);
}

void apply_f32(const char* function, const float* in, float* out, std::size_t count) {
  apply(function, in, out, count);
}
void apply_f64(const char* function, const double* in, double* out, std::size_t count) {
  apply(function, in, out, count);
}

/// The same through vectors of one lane.
void apply_one(const char* function, const double* in, double* out, std::size_t count) {
  const hn::CappedTag<double, 1> d;
  DispatchActivation(parse_activation(function), [&](auto f) HWY_ATTR {
    for (std::size_t i = 0; i < count; ++i) hn::StoreU(f(d, hn::LoadU(d, in + i)), d, out + i);
  });
}

}  // namespace lossatlas::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lossatlas::cpu {
namespace {

HWY_EXPORT(apply_f32);
HWY_EXPORT(apply_f64);
HWY_EXPORT(apply_one);

void apply(const char* function, const float* in, float* out, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(apply_f32)(function, in, out, count);
}
void apply(const char* function, const double* in, double* out, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(apply_f64)(function, in, out, count);
}

using Real = long double;
using Reference = Real (*)(Real);

/// x erfc(-x/√2) / 2. In the tail erfc(z) behaves as exp(-z²): the rounding of z is corrected to first order.
Real gelu(Real x) {
  if (std::fabs(x) > 1000) return std::fmax(x, Real(0));
  const Real z = -x * std::sqrt(0.5L);
  const Real correction = std::fma(z, z, -x * x / 2);
  return x * std::erfc(z) / 2 * (z > 1 ? std::exp(correction) : 1);
}

struct Function {
  const char* name;
  Reference reference;
  double ulps_f32;
  double ulps_f64;
};

const Function kFunctions[] = {
    {"exp", [](Real x) { return std::exp(x); }, 1.5, 1.5},
    {"log", [](Real x) { return std::log(x); }, 2, 2},
    {"log1p", [](Real x) { return std::log1p(x); }, 2, 2},
    {"tanh", [](Real x) { return std::tanh(x); }, 3, 3},
    {"sigmoid", [](Real x) { return x < -11000 ? 0 : 1 / (1 + std::exp(-x)); }, 3, 3},
    {"softplus", [](Real x) { return std::fmax(x, Real(0)) + std::log1p(std::exp(-std::fabs(x))); }, 3, 3},
    {"gelu", gelu, 7, 12},
    {"sine", [](Real x) { return std::sin(x); }, 2.5, 2},
    {"relu", [](Real x) { return x < 0 ? 0 : x; }, 0, 0},
    {"leaky_relu", [](Real x) { return x < 0 ? Real(kLeakySlope) * x : x; }, 1.5, 1},
    {"identity", [](Real x) { return x; }, 0, 0},
};

template <class T>
std::vector<T> special_values() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values;
  for (const T x : {T(0), T(1), T(1) - Limits::epsilon(), T(1) + Limits::epsilon(), Limits::denorm_min(), Limits::min(),
                    Limits::max(), Limits::infinity(), Limits::epsilon(), T(0.41421356237309504880), T(3000),
                    T(3000.25), T(1e5), T(100001), T(1e22), T(88.722839), T(709.782712893384)}) {
    values.insert(values.end(), {x, -x});
  }
  values.push_back(Limits::quiet_NaN());
  return values;
}

/// Special values, every magnitude, dense linear sweeps, and the neighbours of the multiples of π / 2 and of 1.
template <class T>
std::vector<T> sweep(unsigned seed) {
  using Limits = std::numeric_limits<T>;
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> unit(1, 2);
  std::vector<T> values = special_values<T>();
  for (int e = Limits::min_exponent - Limits::digits; e < Limits::max_exponent; ++e) {
    for (int i = 0; i < (sizeof(T) == 4 ? 200 : 30); ++i) {
      const T x = std::ldexp(static_cast<T>(unit(random)), e);
      values.insert(values.end(), {x, -x});
    }
  }
  for (const double reach : {1.0, 10.0, 40.0, 100.0, 760.0, 3000.0, 1e5}) {
    for (int i = 0; i < 20000; ++i) values.push_back(static_cast<T>(reach * (2 * unit(random) - 3)));
  }
  for (int n = 1; n < 64000; n += n < 2000 ? 1 : 31) {
    const T x = static_cast<T>(n * 1.57079632679489661923L);
    for (const T y : {x, std::nextafter(x, T(0)), std::nextafter(x, Limits::max())})
      values.insert(values.end(), {y, -y});
  }
  for (int i = -500; i <= 500; ++i) values.push_back(1 + static_cast<T>(i) * Limits::epsilon());
  while (values.size() % 64 != 0) values.push_back(T(0.5));
  return values;
}

/// |got - reference| in units of the last place of the reference. Magnitudes below `flush` count as zero.
template <class T>
double error_in_ulps(T got, Real reference) {
  constexpr Real flush = sizeof(T) == 4 ? 1e-37L : 1e-300L;
  const T rounded = static_cast<T>(reference);
  if (std::isnan(reference) || std::isnan(got)) {
    return std::isnan(reference) && std::isnan(got) ? 0 : std::numeric_limits<double>::infinity();
  }
  if (got == rounded || (std::fabs(reference) < flush && std::fabs(got) < flush)) return 0;
  const Real ulp = std::ldexp(Real(1), std::ilogb(reference) + 1 - std::numeric_limits<T>::digits);
  return static_cast<double>(std::fabs(got - reference) / ulp);
}

/// The sweep and the functions' values there, computed once for all targets.
template <class T>
struct Sample {
  static constexpr unsigned kSeed = 17;
  std::vector<T> in = sweep<T>(kSeed);
  std::vector<std::vector<Real>> expected;

  Sample() {
    for (const Function& function : kFunctions) {
      std::transform(in.begin(), in.end(), std::back_inserter(expected.emplace_back()), function.reference);
    }
  }
};

class VectorMath : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  template <class T>
  void check_accuracy(double Function::*limit) {
    static const Sample<T> sample;
    const std::vector<T>& in = sample.in;
    std::vector<T> out(in.size());
    for (std::size_t f = 0; f < std::size(kFunctions); ++f) {
      const Function& function = kFunctions[f];
      apply(function.name, in.data(), out.data(), in.size());
      double worst = 0;
      T where = 0;
      for (std::size_t i = 0; i < in.size(); ++i) {
        const double error = error_in_ulps(out[i], sample.expected[f][i]);
        if (error > worst) worst = error, where = in[i];
      }
      std::printf("%-6s %-10s f%zu worst %.2f ulp at %.17g (seed %u)\n", hwy::TargetName(GetParam()), function.name,
                  8 * sizeof(T), worst, static_cast<double>(where), sample.kSeed);
      EXPECT_LE(worst, function.*limit) << function.name << " at " << where;
    }
  }

  template <class T>
  void check_lanes() {
    std::vector<T> in = sweep<T>(18);
    std::vector<T> shuffled = in;
    std::mt19937_64 random(19);
    std::vector<std::size_t> order(in.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i = 0; i < order.size(); ++i) shuffled[i] = in[order[i]];
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    std::vector<T> out(in.size()), out_shuffled(in.size());
    for (const Function& function : kFunctions) {
      apply(function.name, in.data(), out.data(), in.size());
      apply(function.name, shuffled.data(), out_shuffled.data(), in.size());
      std::size_t different = 0;
      for (std::size_t i = 0; i < order.size(); ++i) {
        different += std::bit_cast<Bits>(out_shuffled[i]) != std::bit_cast<Bits>(out[order[i]]);
      }
      EXPECT_EQ(different, 0u) << function.name;
    }
  }

  template <class T>
  void check_symmetry_and_range() {
    const std::vector<T> in = sweep<T>(20);
    std::vector<T> negated(in.size()), out(in.size()), out_negated(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) negated[i] = -in[i];
    // sine may round to the neighbour of 1; tanh must not, or 1 - tanh² would be negative.
    for (const auto& [function, bound] :
         {std::pair{"tanh", T(1)}, std::pair{"sine", 1 + std::numeric_limits<T>::epsilon()}}) {
      apply(function, in.data(), out.data(), in.size());
      apply(function, negated.data(), out_negated.data(), in.size());
      for (std::size_t i = 0; i < in.size(); ++i) {
        if (std::isnan(out[i]) && std::isnan(out_negated[i])) continue;
        ASSERT_EQ(out[i], -out_negated[i]) << function << " of " << in[i];
        ASSERT_LE(std::fabs(out[i]), bound) << function << " of " << in[i];
      }
    }
  }
};

TEST_P(VectorMath, FloatWithinUlps) { check_accuracy<float>(&Function::ulps_f32); }
TEST_P(VectorMath, DoubleWithinUlps) { check_accuracy<double>(&Function::ulps_f64); }

TEST_P(VectorMath, BitsOfALaneDependOnThatLaneAlone) {
  check_lanes<float>();
  check_lanes<double>();
}

TEST_P(VectorMath, OddFunctionsAreOddAndBounded) {
  check_symmetry_and_range<float>();
  check_symmetry_and_range<double>();
}

TEST_P(VectorMath, OneLaneGivesTheBitsOfAFullVector) {
  const std::vector<double> in = sweep<double>(21);
  std::vector<double> full(in.size()), one(in.size());
  for (const Activation activation : all_activations()) {
    const char* function = name(activation).data();
    apply(function, in.data(), full.data(), in.size());
    HWY_DYNAMIC_DISPATCH(apply_one)(function, in.data(), one.data(), in.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      different += std::bit_cast<std::uint64_t>(full[i]) != std::bit_cast<std::uint64_t>(one[i]);
    }
    EXPECT_EQ(different, 0u) << function;
  }
}

TEST_P(VectorMath, ExactAtZeroAndInTheLimits) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  struct Case {
    const char* function;
    double x, value;
  };
  for (const Case& c : {Case{"exp", 0, 1},
                        {"exp", infinity, infinity},
                        {"exp", -infinity, 0},
                        {"exp", -800, 0},
                        {"log", 1, 0},
                        {"log", 0, -infinity},
                        {"log", -0.0, -infinity},
                        {"log1p", -1, -infinity},
                        {"tanh", 0, 0},
                        {"tanh", infinity, 1},
                        {"tanh", -infinity, -1},
                        {"sigmoid", 0, 0.5},
                        {"sigmoid", -infinity, 0},
                        {"sigmoid", infinity, 1},
                        {"softplus", -infinity, 0},
                        {"softplus", infinity, infinity},
                        {"gelu", 0, 0},
                        {"gelu", -infinity, 0},
                        {"gelu", -1e9, 0},
                        {"gelu", infinity, infinity},
                        {"relu", -infinity, 0},
                        {"sine", 0, 0}}) {
    const std::vector<double> in(64, c.x);
    const std::vector<float> in_f32(64, static_cast<float>(c.x));
    std::vector<double> out(64);
    std::vector<float> out_f32(64);
    apply(c.function, in.data(), out.data(), out.size());
    apply(c.function, in_f32.data(), out_f32.data(), out_f32.size());
    EXPECT_EQ(out[63], c.value) << c.function << " of " << c.x;
    EXPECT_EQ(out_f32[63], static_cast<float>(c.value)) << c.function << " of " << c.x << " in float";
  }
}

std::vector<std::int64_t> targets() {
  std::vector<std::int64_t> result;
  for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
    result.push_back(rest & -rest);
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Targets, VectorMath, testing::ValuesIn(targets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace lossatlas::cpu

#endif  // HWY_ONCE
