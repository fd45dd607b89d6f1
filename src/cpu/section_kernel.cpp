#include "cpu/section_kernel.hpp"

#include <algorithm>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/section_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/vector_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace lossatlas::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

// A panel keeps units × kVectors accumulators in registers, besides kVectors inputs and one broadcast weight.
#if HWY_TARGET == HWY_AVX3
constexpr int kStep = 4;
constexpr int kSteps = 3;
#elif HWY_TARGET == HWY_AVX2
constexpr int kStep = 2;
constexpr int kSteps = 3;
#else
constexpr int kStep = 2;
constexpr int kSteps = 2;
#endif
constexpr int kPanel = kStep * kSteps;
constexpr int kVectors = 2;

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vector = hn::Vec<Tag<T>>;

template <class T>
constexpr std::int64_t kRows = kVectors* hn::MaxLanes(Tag<T>());

// output (stored, R) = bias + Σ_k weights[k] input[k]; only the first `stored` of the kUnits units exist.
template <class T, int kUnits>
HWY_INLINE void multiply_panel(const T* HWY_RESTRICT weights, const T* HWY_RESTRICT bias, const T* HWY_RESTRICT input,
                               std::int64_t in, std::int64_t stored, T* HWY_RESTRICT output) {
  const Tag<T> d;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  Vector<T> sum[kUnits][kVectors];
#pragma GCC unroll 16
  for (int u = 0; u < kUnits; ++u) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[u][v] = hn::Set(d, bias[u]);
  }
  for (std::int64_t k = 0; k < in; ++k) {
    Vector<T> a[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) a[v] = hn::Load(d, input + v * lanes);
#pragma GCC unroll 16
    for (int u = 0; u < kUnits; ++u) {
      const Vector<T> w = hn::Set(d, weights[u]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[u][v] = hn::MulAdd(w, a[v], sum[u][v]);
    }
    weights += kUnits;
    input += kRows<T>;
  }
#pragma GCC unroll 16
  for (int u = 0; u < kUnits; ++u) {
    if (u < stored) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) hn::Store(sum[u][v], d, output + u * kRows<T> + v * lanes);
    }
  }
}

template <class T>
void apply_activation(Activation activation, T* values, std::int64_t count) {
  if (activation == Activation::identity) return;
  const Tag<T> d;
  DispatchActivation(activation, [&](auto f) HWY_ATTR {
    for (std::int64_t i = 0; i < count; i += hn::MaxLanes(d)) hn::Store(f(d, hn::Load(d, values + i)), d, values + i);
  });
}

template <class T>
void dense(const PackedLayer<T>& layer, const T* input, T* output) {
  const T* weights = layer.weights;
  for (std::int64_t first = 0; first < layer.out; first += kPanel) {
    const std::int64_t stored = std::min<std::int64_t>(kPanel, layer.out - first);
    const std::int64_t steps = (stored + kStep - 1) / kStep;
    const T* bias = layer.bias + first;
    T* rows = output + first * kRows<T>;
    if (steps == kSteps) {
      multiply_panel<T, kPanel>(weights, bias, input, layer.in, stored, rows);
    } else if (steps == 1) {
      multiply_panel<T, kStep>(weights, bias, input, layer.in, stored, rows);
    } else {
      multiply_panel<T, 2 * kStep>(weights, bias, input, layer.in, stored, rows);
    }
    apply_activation(layer.activation, rows, stored * kRows<T>);
    weights += steps * kStep * layer.in;
  }
}

template <class T>
void joint(const JointStrip<T>& strip, T* output) {
  const Tag<T> d;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  const std::int64_t stride = strip.units * kRows<T>;
  DispatchActivation(strip.activation, [&](auto f) HWY_ATTR {
    for (std::int64_t unit = 0; unit < strip.units; ++unit) {
      const Vector<T> bias = hn::Set(d, strip.bias[unit]);
      for (std::int64_t i = unit * kRows<T>; i < (unit + 1) * kRows<T>; i += lanes) {
        const T* base = strip.base + i;
        Vector<T> sum = hn::Add(hn::Load(d, base), bias);
        for (std::int64_t k = 0; k < strip.directions; ++k) {
          base += stride;
          sum = hn::MulAdd(hn::Set(d, strip.coefficients[k]), hn::Load(d, base), sum);
        }
        hn::Store(f(d, sum), d, output + i);
      }
    }
  });
}

template <class T>
void add(const T* const* inputs, std::int64_t count, std::int64_t units, Activation activation, T* output) {
  const Tag<T> d;
  DispatchActivation(activation, [&](auto f) HWY_ATTR {
    for (std::int64_t i = 0; i < units * kRows<T>; i += hn::MaxLanes(d)) {
      Vector<T> sum = hn::Load(d, inputs[0] + i);
      for (std::int64_t k = 1; k < count; ++k) sum = hn::Add(sum, hn::Load(d, inputs[k] + i));
      hn::Store(f(d, sum), d, output + i);
    }
  });
}

template <class T>
void form(const T* parts, std::int64_t directions, std::int64_t size, const T* coefficients, T* out) {
  const Tag<T> d;
  for (std::int64_t i = 0; i < size; i += hn::MaxLanes(d)) {
    Vector<T> sum = hn::Load(d, parts + i);
    for (std::int64_t k = 0; k < directions; ++k) {
      sum = hn::MulAdd(hn::Set(d, coefficients[k]), hn::Load(d, parts + (k + 1) * size + i), sum);
    }
    hn::Store(sum, d, out + i);
  }
}

template <class T>
void scale(const T* input, const T* factors, std::int64_t units, T* output) {
  const Tag<T> d;
  for (std::int64_t i = 0; i < kRows<T>; i += hn::MaxLanes(d)) {
    const Vector<T> factor = hn::Load(d, factors + i);
    for (std::int64_t at = i; at < units * kRows<T>; at += kRows<T>) {
      hn::Store(hn::Mul(factor, hn::Load(d, input + at)), d, output + at);
    }
  }
}

// log Σ_c exp(p_c − max p) and the maximum, for one head; a NaN or +∞ among p makes the sum NaN.
template <class T>
HWY_INLINE Vector<T> shifted_logsumexp(const T* outputs, std::int64_t classes, Vector<T>& top) {
  const Tag<T> d;
  top = hn::Load(d, outputs);
  for (std::int64_t c = 1; c < classes; ++c) top = hn::Max(top, hn::Load(d, outputs + c * kRows<T>));
  Vector<T> sum = hn::Zero(d);
  for (std::int64_t c = 0; c < classes; ++c) {
    sum = hn::Add(sum, Exp(d, hn::Sub(hn::Load(d, outputs + c * kRows<T>), top)));
  }
  return Log(d, sum);
}

// Target c of the rows at `row`: from labels or from real targets.
template <class T>
HWY_INLINE Vector<T> target_of(const LossStrip<T>& strip, std::int64_t row, std::int64_t c) {
  const Tag<T> d;
  if (strip.labels == nullptr) return hn::Load(d, strip.targets + c * kRows<T> + row);
  const auto hit = hn::Eq(hn::Load(d, strip.labels + row), hn::Set(d, static_cast<T>(c)));
  return hn::IfThenElseZero(hit, hn::Set(d, T(1)));
}

template <class T>
HWY_INLINE Vector<T> squared_error(const LossStrip<T>& strip, const T* outputs, std::int64_t row) {
  const Tag<T> d;
  Vector<T> sum = hn::Zero(d);
  for (std::int64_t c = 0; c < strip.classes; ++c) {
    const Vector<T> error = hn::Sub(hn::Load(d, outputs + c * kRows<T>), target_of(strip, row, c));
    sum = hn::MulAdd(error, error, sum);
  }
  return sum;
}

// sum + y p, with 0·(−∞) = 0: differences of large outputs may overflow.
template <class V>
HWY_INLINE V add_product(V y, V p, V sum) {
  const hn::DFromV<V> d;
  return hn::MulAdd(y, hn::IfThenElseZero(hn::Ne(y, hn::Zero(d)), p), sum);
}

// logsumexp(p) − y·p, with outputs relative to the largest, so that differences of large ones are not rounded away.
template <class T>
HWY_INLINE Vector<T> cross_entropy(const LossStrip<T>& strip, const T* outputs, std::int64_t row) {
  const Tag<T> d;
  Vector<T> top;
  const Vector<T> log_sum = shifted_logsumexp(outputs, strip.classes, top);
  if (strip.labels != nullptr) {
    const Vector<T> label = hn::Load(d, strip.labels + row);
    Vector<T> chosen = hn::Load(d, outputs);
    for (std::int64_t c = 1; c < strip.classes; ++c) {
      const auto hit = hn::Eq(label, hn::Set(d, static_cast<T>(c)));
      chosen = hn::IfThenElse(hit, hn::Load(d, outputs + c * kRows<T>), chosen);
    }
    return hn::Add(log_sum, hn::Sub(top, chosen));
  }
  Vector<T> inner = hn::Zero(d);
  for (std::int64_t c = 0; c < strip.classes; ++c) {
    inner = add_product(target_of(strip, row, c), hn::Sub(hn::Load(d, outputs + c * kRows<T>), top), inner);
  }
  return hn::Sub(log_sum, inner);
}

template <class T>
void add_losses(const LossStrip<T>& strip, double* sums) {
  const Tag<T> d;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  HWY_ALIGN T losses[kRows<T>];
  for (std::int64_t head = 0; head < strip.heads; ++head) {
    for (std::int64_t row = 0; row < kRows<T>; row += lanes) {
      const T* outputs = strip.outputs + head * strip.classes * kRows<T> + row;
      const Vector<T> loss =
          strip.loss == Loss::cross_entropy ? cross_entropy(strip, outputs, row) : squared_error(strip, outputs, row);
      hn::Store(loss, d, losses + row);
    }
    double even = 0;
    double odd = 0;
    for (std::int64_t row = 0; row < strip.valid; row += 2) even += static_cast<double>(losses[row]);
    for (std::int64_t row = 1; row < strip.valid; row += 2) odd += static_cast<double>(losses[row]);
    sums[head] += even + odd;
  }
}

template <class T>
HWY_INLINE Vector<T> statistic_loss(const StatisticStrip<T>& strip, const T* outputs) {
  const Tag<T> d;
  Vector<T> sum = hn::Zero(d);
  if (strip.loss == Loss::cross_entropy) {
    Vector<T> top;
    const Vector<T> log_sum = shifted_logsumexp(outputs, strip.classes, top);
    for (std::int64_t c = 0; c < strip.classes; ++c) {
      sum = add_product(hn::Set(d, strip.mean[c]), hn::Sub(hn::Load(d, outputs + c * kRows<T>), top), sum);
    }
    return hn::Sub(log_sum, sum);
  }
  for (std::int64_t c = 0; c < strip.classes; ++c) {
    const Vector<T> error = hn::Sub(hn::Load(d, outputs + c * kRows<T>), hn::Set(d, strip.mean[c]));
    sum = hn::MulAdd(error, error, sum);
  }
  return sum;
}

template <class T>
void statistic_losses(const StatisticStrip<T>& strip, double* losses) {
  const Tag<T> d;
  HWY_ALIGN T values[kRows<T>];
  const double variance = strip.loss == Loss::mean_squared_error ? strip.variance : 0.0;
  for (std::int64_t head = 0; head < strip.heads; ++head) {
    const T* outputs = strip.outputs + head * strip.classes * kRows<T>;
    for (std::int64_t row = 0; row < kRows<T>; row += hn::MaxLanes(d)) {
      hn::Store(statistic_loss(strip, outputs + row), d, values + row);
    }
    for (std::int64_t row = 0; row < kRows<T>; ++row) {
      losses[head * kRows<T> + row] = static_cast<double>(values[row]) + variance;
    }
  }
}

template <class T>
const SectionKernels<T>& table() {
  static const SectionKernels<T> kernels = {hwy::TargetName(HWY_TARGET),
                                            kRows<T>,
                                            kPanel,
                                            kStep,
                                            dense<T>,
                                            joint<T>,
                                            add<T>,
                                            form<T>,
                                            scale<T>,
                                            add_losses<T>,
                                            statistic_losses<T>};
  return kernels;
}

}  // namespace

const SectionKernels<float>& table_f32() { return table<float>(); }
const SectionKernels<double>& table_f64() { return table<double>(); }

}  // namespace lossatlas::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lossatlas::cpu {

HWY_EXPORT(table_f32);
HWY_EXPORT(table_f64);

template <>
const SectionKernels<float>& section_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(table_f32)();
}

template <>
const SectionKernels<double>& section_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(table_f64)();
}

}  // namespace lossatlas::cpu
#endif  // HWY_ONCE
