#include "cpu/elementwise.hpp"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "../kernels/scalar.cuh"
#include "cpu/vector_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace lossatlas::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// result (count) ← f(d, inputs...). The last values go one by one, with the bits that a full vector would give.
template <class F, class... Inputs>
HWY_INLINE void transform(std::int64_t count, const F& f, double* result, const Inputs*... inputs) {
  const hn::ScalableTag<double> d;
  const hn::CappedTag<double, 1> one;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(f(d, hn::LoadU(d, inputs + i)...), d, result + i);
  for (; i < count; ++i) hn::StoreU(f(one, hn::LoadU(one, inputs + i)...), one, result + i);
}

/// c, except NaN where x is NaN.
template <class V>
HWY_INLINE V UnlessNan(V c, V x) {
  return hn::IfThenElse(hn::Eq(x, x), c, x);
}

/// s (1 − s), s = sigmoid(x), without cancellation: t / (1 + t)², t = exp(−|x|).
template <class D, class V>
HWY_INLINE V SigmoidSlope(D d, V x) {
  const V t = Exp(d, hn::Neg(hn::Abs(x)));
  const V sum = hn::Add(hn::Set(d, 1), t);
  return hn::Div(t, hn::Mul(sum, sum));
}

/// 1 − tanh² = 4 s (1 − s) at 2x.
template <class D, class V>
HWY_INLINE V TanhSlope(D d, V x) {
  return hn::Mul(hn::Set(d, 4), SigmoidSlope(d, hn::Add(x, x)));
}

/// values ← f(x) ⊙ values.
template <class F>
HWY_INLINE void multiply_by(std::int64_t count, const F& f, const double* x, double* values) {
  transform(
      count, [&](auto d, auto at, auto value) HWY_ATTR { return hn::Mul(f(d, at), value); }, values, x, values);
}

void apply(Activation activation, std::int64_t count, const double* x, double* result) {
  DispatchActivation(activation, [&](auto f) HWY_ATTR { transform(count, f, result, x); });
}

void multiply_slope(Activation activation, std::int64_t count, const double* x, double* values) {
  const auto by = [&](auto f) HWY_ATTR { multiply_by(count, f, x, values); };
  switch (activation) {
    case Activation::identity:
      return by([](auto d, auto at) HWY_ATTR { return UnlessNan(hn::Set(d, 1), at); });
    case Activation::relu:
      return by([](auto d, auto at)
                    HWY_ATTR { return UnlessNan(hn::IfThenElseZero(hn::Gt(at, hn::Zero(d)), hn::Set(d, 1)), at); });
    case Activation::leaky_relu:
      return by([](auto d, auto at) HWY_ATTR {
        const auto slope = hn::IfThenElse(hn::Lt(at, hn::Zero(d)), hn::Set(d, kLeakySlope), hn::Set(d, 1));
        return UnlessNan(slope, at);
      });
    case Activation::tanh:
      return by([](auto d, auto at) HWY_ATTR { return TanhSlope(d, at); });
    case Activation::sigmoid:
      return by([](auto d, auto at) HWY_ATTR { return SigmoidSlope(d, at); });
    case Activation::softplus:
      return by(SigmoidFunction());
    case Activation::gelu:
    case Activation::sine:
      for (std::int64_t i = 0; i < count; ++i) values[i] *= scalar::activate_derivative(activation, x[i]);
  }
}

void multiply_bend(Activation activation, std::int64_t count, const double* x, const double* post, const double* slope,
                   double* values) {
  switch (activation) {
    case Activation::identity:
    case Activation::relu:
    case Activation::leaky_relu:
      return multiply_by(
          count, [](auto d, auto at) HWY_ATTR { return UnlessNan(hn::Zero(d), at); }, x, values);
    case Activation::tanh:
      return transform(
          count,
          [](auto d, auto a, auto s, auto value)
              HWY_ATTR { return hn::Mul(hn::Mul(hn::Mul(hn::Set(d, -2), a), s), value); },
          values, post, slope, values);
    case Activation::sigmoid:  // 1 − 2φ = −tanh(x/2)
      return transform(
          count,
          [](auto d, auto at, auto s, auto value)
              HWY_ATTR { return hn::Mul(hn::Mul(hn::Neg(s), Tanh(d, hn::Mul(hn::Set(d, 0.5), at))), value); },
          values, x, slope, values);
    case Activation::softplus:
      return multiply_by(
          count, [](auto d, auto at) HWY_ATTR { return SigmoidSlope(d, at); }, x, values);
    case Activation::gelu:
    case Activation::sine:
      for (std::int64_t i = 0; i < count; ++i) values[i] *= scalar::activate_second_derivative(activation, x[i]);
  }
}

void multiply(std::int64_t count, const double* factor, double* values) {
  transform(
      count, [](auto, auto a, auto b) HWY_ATTR { return hn::Mul(a, b); }, values, factor, values);
}

void scale(std::int64_t count, double s, const double* x, double* result) {
  transform(
      count, [s](auto d, auto a) HWY_ATTR { return hn::Mul(hn::Set(d, s), a); }, result, x);
}

void add_scaled(std::int64_t count, double s, const double* x, double* values) {
  transform(
      count, [s](auto d, auto a, auto b) HWY_ATTR { return hn::MulAdd(hn::Set(d, s), a, b); }, values, x, values);
}

}  // namespace
}  // namespace lossatlas::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lossatlas::cpu {

HWY_EXPORT(apply);
HWY_EXPORT(multiply_slope);
HWY_EXPORT(multiply_bend);
HWY_EXPORT(multiply);
HWY_EXPORT(scale);
HWY_EXPORT(add_scaled);

void apply(Activation activation, std::int64_t count, const double* x, double* result) {
  HWY_DYNAMIC_DISPATCH(apply)(activation, count, x, result);
}

void multiply_slope(Activation activation, std::int64_t count, const double* x, double* values) {
  HWY_DYNAMIC_DISPATCH(multiply_slope)(activation, count, x, values);
}

void multiply_bend(Activation activation, std::int64_t count, const double* x, const double* post, const double* slope,
                   double* values) {
  HWY_DYNAMIC_DISPATCH(multiply_bend)(activation, count, x, post, slope, values);
}

void multiply(std::int64_t count, const double* factor, double* values) {
  HWY_DYNAMIC_DISPATCH(multiply)(count, factor, values);
}

void scale(std::int64_t count, double s, const double* x, double* result) {
  HWY_DYNAMIC_DISPATCH(scale)(count, s, x, result);
}

void add_scaled(std::int64_t count, double s, const double* x, double* values) {
  HWY_DYNAMIC_DISPATCH(add_scaled)(count, s, x, values);
}

}  // namespace lossatlas::cpu
#endif  // HWY_ONCE
