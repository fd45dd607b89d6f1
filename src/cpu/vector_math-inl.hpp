// Elementary functions and activations on Highway vectors of float or double, for every target for which the including
// source is compiled. NaN stays NaN, infinities give the limits, and the bits of a lane depend only on that lane.
// Coefficients are relative minimax fits by the Remez exchange in 50 digits, rounded; the leading ones are exact.
#if defined(LOSSATLAS_SRC_CPU_VECTOR_MATH_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOSSATLAS_SRC_CPU_VECTOR_MATH_INL_HPP_
#undef LOSSATLAS_SRC_CPU_VECTOR_MATH_INL_HPP_
#else
#define LOSSATLAS_SRC_CPU_VECTOR_MATH_INL_HPP_
#endif

#include <cmath>
#include <cstdint>
#include <limits>

#include <hwy/highway.h>
#include <lossatlas/activation.hpp>

HWY_BEFORE_NAMESPACE();
namespace lossatlas::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
inline constexpr bool kIsFloat = sizeof(hn::TFromD<D>) == sizeof(float);

/// The constants of one floating-point format.
template <class T>
struct Format;

template <>
struct Format<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int kBias = 127;
  // Adding it rounds to an integer, which then sits in the low bits.
  static constexpr float kRounder = 12582912.0f;
  static constexpr float kLog2E = 1.44269504f;
  // ln 2 and π in parts: products of all parts but the last with the multipliers that occur are exact.
  static constexpr float kLn2 = 0.693147181f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kInversePi = 0.318309886f;
  static constexpr float kPi[] = {3.141357421875f, 2.352297306060791e-4f, 1.9836079445667565e-9f,
                                  5.792147943243964e-13f};
  static constexpr float kSinLimit = 3000.0f;
  // Beyond these, exp gives 0 and ∞ by itself.
  static constexpr float kExpLow = -87.4f, kExpHigh = 89.0f;
  static constexpr float kTanhHigh = 18.1f;  // tanh(kTanhHigh / 2) rounds to 1
  // exp(-kTail²/2), already below the normal numbers, comes out as 0.
  static constexpr float kTail = 13.214f;
  static constexpr std::uint32_t kUpperHalf = 0xFFFFF000u;
  static constexpr std::uint32_t kInteger = 0x4B000000u;
  static constexpr float kDenormalScale = 33554432.0f;
  static constexpr float kDenormalExponent = 25.0f;
};

template <>
struct Format<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int kBias = 1023;
  static constexpr double kRounder = 6755399441055744.0;
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2 = 0.69314718055994531, kLn2High = 6.93147180369123816490e-01,
                          kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kInversePi = 0.31830988618379067;
  static constexpr double kPi[] = {3.1415926535846666, 5.1266883031679116e-12, 2.1125998133974855e-23};
  static constexpr double kSinLimit = 1e5;
  static constexpr double kExpLow = -708.6, kExpHigh = 710.0;
  static constexpr double kTanhHigh = 38.5;
  static constexpr double kTail = 37.643;
  static constexpr std::uint64_t kUpperHalf = 0xFFFFFFFFF8000000u;
  static constexpr std::uint64_t kInteger = 0x4330000000000000u;
  static constexpr double kDenormalScale = 18014398509481984.0;
  static constexpr double kDenormalExponent = 54.0;
};

/// c₀ + x (c₁ + x (c₂ + ...)).
template <class D, class V, class T>
HWY_INLINE V Horner(D d, V, T c) {
  return hn::Set(d, c);
}
template <class D, class V, class T, class... Rest>
HWY_INLINE V Horner(D d, V x, T c, Rest... rest) {
  return hn::MulAdd(x, Horner(d, x, rest...), hn::Set(d, c));
}

/// x, but entries above the limit become the limit; NaN stays.
template <class D, class V>
HWY_INLINE V AtMost(D d, hn::TFromD<D> limit, V x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Min(hn::Set(d, limit), x);  // x86 returns the second operand if one is NaN
#else
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, limit)), hn::Set(d, limit), x);
#endif
}

/// x, but entries below the limit become the limit; NaN stays.
template <class D, class V>
HWY_INLINE V AtLeast(D d, hn::TFromD<D> limit, V x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Max(hn::Set(d, limit), x);
#else
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, limit)), hn::Set(d, limit), x);
#endif
}

/// n = round(x / ln 2) and 2^(n + shift), which is 0 for n + shift = -bias.
template <int kShift, class D, class V>
HWY_INLINE void SplitExponent(D d, V x, V& n, V& power) {
  using F = Format<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> du;
  const V rounder = hn::Set(d, F::kRounder + (F::kBias + kShift));
  const V rounded = hn::MulAdd(x, hn::Set(d, F::kLog2E), rounder);
  power = hn::BitCast(d, hn::ShiftLeft<F::kMantissaBits>(hn::BitCast(du, rounded)));
  n = hn::Sub(rounded, rounder);
}

/// x - n ln 2.
template <class D, class V>
HWY_INLINE V Remainder(D d, V x, V n) {
  using F = Format<hn::TFromD<D>>;
  return hn::NegMulAdd(n, hn::Set(d, F::kLn2Low), hn::NegMulAdd(n, hn::Set(d, F::kLn2High), x));
}

/// (scale exp(r) - scale (1 + r)) / r² for |r| <= ln 2 / 2.
template <class D, class V>
HWY_INLINE V ExpTail(D d, V r, hn::TFromD<D> s) {
  if constexpr (kIsFloat<D>) {
    return Horner(d, r, s * 0.4999999814f, s * 0.166665432f, s * 0.0416672021f, s * 0.00836658050f, s * 0.00138824931f);
  } else {
    return Horner(d, r, s * 0.50000000000000052264, s * 0.16666666666666588602, s * 0.041666666666576103666,
                  s * 0.0083333333333899402109, s * 0.0013888888931796252386, s * 0.00019841269718390714172,
                  s * 0.000024801504977606781021, s * 2.7557407815401539959e-6, s * 2.7626161871666044234e-7,
                  s * 2.5053793697026545643e-8);
  }
}

/// 2 exp(r) for |r| <= ln 2 / 2: with the factor 2 the powers of two up to the largest exp(x) are finite.
template <class D, class V>
HWY_INLINE V TwiceExp(D d, V r) {
  const V two = hn::Set(d, 2);
  return hn::MulAdd(r, hn::MulAdd(r, ExpTail(d, r, 2), two), two);
}

/// exp(x); results below 2^(2 - bias) may be 0.
template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  using F = Format<hn::TFromD<D>>;
  V n, power;
  x = AtLeast(d, F::kExpLow, AtMost(d, F::kExpHigh, x));
  SplitExponent<-1>(d, x, n, power);
  return hn::Mul(TwiceExp(d, Remainder(d, x, n)), power);
}

/// log(1 + f) + n ln 2 + low for 1 + f between √½ and √2 and a tiny `low`.
template <class D, class V>
HWY_INLINE V LogOnePlus(D d, V f, V n, V low) {
  using F = Format<hn::TFromD<D>>;
  const V half = hn::Set(d, 0.5f);
  low = hn::MulAdd(n, hn::Set(d, F::kLn2Low), low);
  if constexpr (kIsFloat<D>) {
    const V square = hn::Mul(f, f);
    const V tail = Horner(d, f, 0.333333317f, -0.250008268f, 0.200012372f, -0.166231436f, 0.142013659f, -0.131620100f,
                          0.127654323f, -0.0763436840f);
    const V rest = hn::NegMulAdd(half, square, hn::MulAdd(hn::Mul(square, f), tail, low));
    return hn::MulAdd(n, hn::Set(d, F::kLn2High), hn::Add(f, rest));
  } else {
    const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2)));
    const V z = hn::Mul(s, s);
    const V series = hn::Mul(
        z, Horner(d, z, 0.66666666666667353798, 0.39999999999407482907, 0.28571428744143558147, 0.22222198378224497573,
                  0.18183575179023572206, 0.15313755410552671182, 0.14799069623106083625));
    const V half_square = hn::Mul(half, hn::Mul(f, f));
    const V rest = hn::Sub(half_square, hn::MulAdd(s, hn::Add(half_square, series), low));
    return hn::MulAdd(n, hn::Set(d, F::kLn2High), hn::Sub(f, rest));
  }
}

/// x = (1 + f) 2ⁿ with 1 + f between √½ and √2, for positive normal x.
template <class D, class V>
HWY_INLINE void SplitLog(D d, V x, V& f, V& n) {
  using T = hn::TFromD<D>;
  using F = Format<T>;
  const hn::RebindToUnsigned<D> du;
  const auto root_half = hn::BitCast(du, hn::Set(d, static_cast<T>(0.70710678118654752440)));
  const auto shifted = hn::Add(hn::BitCast(du, x), hn::Sub(hn::BitCast(du, hn::Set(d, 1)), root_half));
  const auto integer = hn::Set(du, F::kInteger);
  const auto mantissa = hn::Set(du, (decltype(F::kInteger){1} << F::kMantissaBits) - 1);
  const V exponent = hn::BitCast(d, hn::Or(hn::ShiftRight<F::kMantissaBits>(shifted), integer));
  n = hn::Sub(exponent, hn::Add(hn::BitCast(d, integer), hn::Set(d, F::kBias)));
  f = hn::Sub(hn::BitCast(d, hn::Add(hn::And(shifted, mantissa), root_half)), hn::Set(d, 1));
}

/// `finite` where x is positive and finite; otherwise -∞ at 0, NaN below 0, and x itself for ∞ and NaN.
template <class D, class V>
HWY_INLINE V WithLogLimits(D d, V x, V finite) {
  using Limits = std::numeric_limits<hn::TFromD<D>>;
  const V zero = hn::Zero(d);
  const V infinity = hn::Set(d, Limits::infinity());
  const V outside = hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, Limits::quiet_NaN()), x);
  const V limit = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), outside);
  return hn::IfThenElse(hn::And(hn::Gt(x, zero), hn::Lt(x, infinity)), finite, limit);
}

/// log(x).
template <class D, class V>
HWY_INLINE V Log(D d, V x) {
  using T = hn::TFromD<D>;
  using F = Format<T>;
  const auto denormal = hn::Lt(x, hn::Set(d, std::numeric_limits<T>::min()));
  V f, n;
  SplitLog(d, hn::IfThenElse(denormal, hn::Mul(x, hn::Set(d, F::kDenormalScale)), x), f, n);
  n = hn::Sub(n, hn::IfThenElseZero(denormal, hn::Set(d, F::kDenormalExponent)));
  return WithLogLimits(d, x, LogOnePlus(d, f, n, hn::Zero(d)));
}

/// log(1 + x).
template <class D, class V>
HWY_INLINE V Log1p(D d, V x) {
  const V one = hn::Set(d, 1);
  const V sum = hn::Add(x, one);
  // What the rounded sum lost, computed from the smaller summand.
  const V lost = hn::IfThenElse(hn::Ge(x, one), hn::Sub(one, hn::Sub(sum, x)), hn::Sub(x, hn::Sub(sum, one)));
  V f, n;
  SplitLog(d, sum, f, n);
  const V result = WithLogLimits(d, sum, LogOnePlus(d, f, n, hn::Div(lost, sum)));
  return hn::IfThenElse(hn::Eq(sum, one), x, result);
}

/// tanh |x| = e / (e + 2), e = expm1(2 |x|) = 2ⁿ expm1(r) + (2ⁿ - 1): odd to the bit and never beyond ±1.
template <class D, class V>
HWY_INLINE V Tanh(D d, V x) {
  using F = Format<hn::TFromD<D>>;
  const V y = AtMost(d, F::kTanhHigh, hn::Abs(hn::Add(x, x)));
  V n, power;
  SplitExponent<0>(d, y, n, power);
  // ln 2 needs only one part: the error n ε of r counts for at most 2 / (e + 2) < 2^(1 - n) of itself.
  const V r = hn::NegMulAdd(n, hn::Set(d, F::kLn2), y);
  const V expm1 = hn::MulAdd(hn::Mul(r, r), ExpTail(d, r, 1), r);
  const V e = hn::MulAdd(power, expm1, hn::Sub(power, hn::Set(d, 1)));
  return hn::CopySign(hn::Div(e, hn::Add(e, hn::Set(d, 2))), x);
}

/// 1 / (1 + exp(-x)).
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

/// max(x, 0).
template <class D, class V>
HWY_INLINE V Relu(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
}

/// x, and kLeakySlope x below 0.
template <class D, class V>
HWY_INLINE V LeakyRelu(D d, V x) {
  const V slope = hn::Set(d, static_cast<hn::TFromD<D>>(kLeakySlope));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(slope, x), x);
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + t), t = exp(-|x|).
template <class D, class V>
HWY_INLINE V Softplus(D d, V x) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, 1);
  const V t = Exp(d, hn::Neg(hn::Abs(x)));
  // 1 + t = (1 + f) 2ⁿ without rounding; computing 1 + t would lose the low bits of t.
  const auto halve = hn::Gt(t, hn::Set(d, static_cast<T>(0.41421356237309504880)));
  const V f = hn::IfThenElse(halve, hn::Mul(hn::Set(d, 0.5f), hn::Sub(t, one)), t);
  const V log = LogOnePlus(d, f, hn::IfThenElseZero(halve, one), hn::Zero(d));
  return hn::Add(Relu(d, x), log);
}

/// erfc(t/√2) exp(t²/2) / 2 for 0 <= t <= kTail.
template <class D, class V>
HWY_INLINE V ScaledTail(D d, V t) {
  if constexpr (kIsFloat<D>) {
    return hn::Div(Horner(d, t, 0.5f, 0.434990928f, 0.180769971f, 0.0397969251f, 0.00399051585f),
                   Horner(d, t, 1.0f, 1.66786666f, 1.19230162f, 0.462957584f, 0.0997636289f, 0.0100025933f));
  } else {
    const V numerator =
        Horner(d, t, 0.5, 0.82702448146356997299, 0.67820115097564736949, 0.35625639282057617709,
               0.13151136373385354164, 0.035485478593947799001, 0.0070783133783123230911, 0.001031903620523873394,
               0.00010562173749851370846, 6.9023893993833223434e-6, 2.213792494455493916e-7);
    const V denominator =
        Horner(d, t, 1.0, 2.4519335237300054327, 2.8127622046504262274, 1.9967670803442694295, 0.97695121763423440846,
               0.34686883591468702025, 0.091500899635165440355, 0.018006345043773374816, 0.0026039005165510539826,
               0.00026530934911204264569, 0.000017301724431040592123, 5.5491548607665906691e-7);
    return hn::Div(numerator, denominator);
  }
}

/// x (1 + erf(x/√2)) / 2, relatively accurate in the negative tail too.
template <class D, class V>
HWY_INLINE V Gelu(D d, V x) {
  using F = Format<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> du;
  x = AtLeast(d, -F::kTail, x);
  const V t = AtMost(d, F::kTail, hn::Abs(x));
  // -t²/2 in two parts, the first one exact: a rounding error here would become the relative error of the power.
  const V head = hn::BitCast(d, hn::And(hn::BitCast(du, t), hn::Set(du, F::kUpperHalf)));
  const V minus_half = hn::Set(d, -0.5f);
  const V high = hn::Mul(minus_half, hn::Mul(head, head));
  const V low = hn::Mul(minus_half, hn::Mul(hn::Sub(t, head), hn::Add(t, head)));
  V n, power;
  SplitExponent<-1>(d, hn::Add(high, low), n, power);
  const V exp = hn::Mul(TwiceExp(d, hn::Add(Remainder(d, high, n), low)), power);
  const V tail = hn::Mul(exp, ScaledTail(d, t));
  return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1), tail)));
}

/// std::sin(x) in the lanes that `far` marks, `near` in the others.
template <class D, class V, class M>
HWY_NOINLINE V SinFar(D d, V x, V near, M far) {
  using T = hn::TFromD<D>;
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(hn::IfThenElseZero(far, x), d, lanes);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = std::sin(lanes[i]);
  return hn::IfThenElse(far, hn::Load(d, lanes), near);
}

/// sin(x): vectorised up to kSinLimit, lane by lane beyond.
template <class D, class V>
HWY_INLINE V Sin(D d, V x) {
  using F = Format<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> du;
  const V rounder = hn::Set(d, F::kRounder);
  const V rounded = hn::MulAdd(x, hn::Set(d, F::kInversePi), rounder);
  const V n = hn::Sub(rounded, rounder);
  V r = hn::NegMulAdd(n, hn::Set(d, F::kPi[0]), x);
  r = hn::NegMulAdd(n, hn::Set(d, F::kPi[1]), r);
  r = hn::NegMulAdd(n, hn::Set(d, F::kPi[2]), r);
  if constexpr (kIsFloat<D>) r = hn::NegMulAdd(n, hn::Set(d, F::kPi[3]), r);
  const V z = hn::Mul(r, r);
  V tail;
  if constexpr (kIsFloat<D>) {
    tail = Horner(d, z, -0.166666595f, 0.00833306461f, -1.98094746e-4f, 2.60548055e-6f);
  } else {
    tail = Horner(d, z, -0.16666666666666665552, 0.0083333333333331923175, -0.0001984126984120847684,
                  2.7557319211006521287e-6, -2.5052106860528486131e-8, 1.6058939074626011418e-10,
                  -7.6429747076257248853e-13, 2.7209947098764232694e-15);
  }
  const V sine = hn::MulAdd(hn::Mul(r, z), tail, r);
  // sin(r + nπ) = (-1)ⁿ sin r; the parity of n is the last bit of the rounded quotient.
  const auto sign = hn::ShiftLeft<F::kMantissaBits + (kIsFloat<D> ? 8 : 11)>(hn::BitCast(du, rounded));
  const V near = hn::Xor(sine, hn::BitCast(d, sign));
  const auto far = hn::Gt(hn::Abs(x), hn::Set(d, F::kSinLimit));
  return hn::AllFalse(d, far) ? near : SinFar(d, x, near, far);
}

// The activations as function objects, for DispatchActivation.
#define LOSSATLAS_VECTOR_FUNCTION(name, expression) \
  struct name {                                     \
    template <class D, class V>                     \
    HWY_INLINE V operator()(D d, V x) const {       \
      (void)d;                                      \
      return expression;                            \
    }                                               \
  }
LOSSATLAS_VECTOR_FUNCTION(IdentityFunction, x);
LOSSATLAS_VECTOR_FUNCTION(ReluFunction, Relu(d, x));
LOSSATLAS_VECTOR_FUNCTION(LeakyReluFunction, LeakyRelu(d, x));
LOSSATLAS_VECTOR_FUNCTION(TanhFunction, Tanh(d, x));
LOSSATLAS_VECTOR_FUNCTION(SigmoidFunction, Sigmoid(d, x));
LOSSATLAS_VECTOR_FUNCTION(SoftplusFunction, Softplus(d, x));
LOSSATLAS_VECTOR_FUNCTION(GeluFunction, Gelu(d, x));
LOSSATLAS_VECTOR_FUNCTION(SineFunction, Sin(d, x));
#undef LOSSATLAS_VECTOR_FUNCTION

/// Calls visitor(f) with the activation as a function object f(d, v), which keeps the choice outside the visitor's
/// loops. A lambda as visitor needs HWY_ATTR after its parameters.
template <class Visitor>
HWY_INLINE void DispatchActivation(Activation activation, const Visitor& visitor) {
  switch (activation) {
    case Activation::identity:
      return visitor(IdentityFunction());
    case Activation::relu:
      return visitor(ReluFunction());
    case Activation::leaky_relu:
      return visitor(LeakyReluFunction());
    case Activation::tanh:
      return visitor(TanhFunction());
    case Activation::sigmoid:
      return visitor(SigmoidFunction());
    case Activation::softplus:
      return visitor(SoftplusFunction());
    case Activation::gelu:
      return visitor(GeluFunction());
    case Activation::sine:
      return visitor(SineFunction());
  }
}

}  // namespace lossatlas::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOSSATLAS_SRC_CPU_VECTOR_MATH_INL_HPP_
