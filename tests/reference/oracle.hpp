// The oracle: loss, accuracy, gradient and sections by plain loops straight from the formulas of the theory. It shares
// no code with src/ and ignores every plan, so that a wrong shortcut shows. Slow on purpose.
//
// Everything is a template on the scalar T: double, long double, Dual<double> (first derivatives), Dual<Dual<double>>
// (second derivatives). θ is a std::vector<T>; `lift<T>(theta)` converts one of doubles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/section.hpp>

namespace lossatlas::reference {

// ---- dual numbers ---------------------------------------------------------------------------------------------------

/// v + d·ε with ε² = 0: f(v + ε) = f(v) + f'(v) ε exactly.
template <class T>
struct Dual {
  T v{};
  T d{};

  Dual() = default;
  Dual(double value) : v(value) {}
  template <class S>
  requires(std::is_same_v<S, T> && !std::is_same_v<S, double>) Dual(S value) : v(value) {}
  Dual(T value, T derivative) : v(value), d(derivative) {}

  friend Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
  friend Dual operator-(Dual a, Dual b) { return {a.v - b.v, a.d - b.d}; }
  friend Dual operator-(Dual a) { return {-a.v, -a.d}; }
  friend Dual operator*(Dual a, Dual b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend Dual operator/(Dual a, Dual b) { return {a.v / b.v, (a.d - a.v / b.v * b.d) / b.v}; }
  Dual& operator+=(Dual b) { return *this = *this + b; }
  Dual& operator/=(Dual b) { return *this = *this / b; }
};

inline double primal(double x) { return x; }
inline double primal(long double x) { return static_cast<double>(x); }
/// The number without its derivatives.
template <class T>
double primal(const Dual<T>& x) {
  return primal(x.v);
}

// Plain numbers are computed in long double, so that only one rounding is left.
template <class T>
concept Plain = std::is_floating_point_v<T>;

template <Plain T>
T exp(T x) {
  return static_cast<T>(std::exp(static_cast<long double>(x)));
}
template <Plain T>
T log(T x) {
  return static_cast<T>(std::log(static_cast<long double>(x)));
}
template <Plain T>
T log1p(T x) {
  return static_cast<T>(std::log1p(static_cast<long double>(x)));
}
template <Plain T>
T tanh(T x) {
  return static_cast<T>(std::tanh(static_cast<long double>(x)));
}
template <Plain T>
T erfc(T x) {
  return static_cast<T>(std::erfc(static_cast<long double>(x)));
}
template <Plain T>
T sin(T x) {
  return static_cast<T>(std::sin(static_cast<long double>(x)));
}
template <Plain T>
T cos(T x) {
  return static_cast<T>(std::cos(static_cast<long double>(x)));
}

template <class T>
Dual<T> exp(Dual<T> x) {
  const T e = exp(x.v);
  return {e, e * x.d};
}
template <class T>
Dual<T> log(Dual<T> x) {
  return {log(x.v), x.d / x.v};
}
template <class T>
Dual<T> log1p(Dual<T> x) {
  return {log1p(x.v), x.d / (T(1.0) + x.v)};
}
template <class T>
Dual<T> tanh(Dual<T> x) {
  const T t = tanh(x.v);
  return {t, (T(1.0) - t) * (T(1.0) + t) * x.d};
}
template <class T>
Dual<T> erfc(Dual<T> x) {
  const double slope = -1.1283791670955125739;  // −2/√π
  return {erfc(x.v), T(slope) * exp(-(x.v * x.v)) * x.d};
}
template <class T>
Dual<T> sin(Dual<T> x) {
  return {sin(x.v), cos(x.v) * x.d};
}
template <class T>
Dual<T> cos(Dual<T> x) {
  return {cos(x.v), -(sin(x.v) * x.d)};
}

/// θ in another scalar.
template <class T>
std::vector<T> lift(std::span<const double> theta) {
  return std::vector<T>(theta.begin(), theta.end());
}

// ---- network --------------------------------------------------------------------------------------------------------

/// φ(x).
template <class T>
T activate(Activation activation, T x) {
  const double v = primal(x);
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return v <= 0 ? T(0.0) : x;
    case Activation::leaky_relu:
      return v < 0 ? T(0.01) * x : x;
    case Activation::tanh:
      return tanh(x);
    case Activation::sigmoid:
      return v < 0 ? exp(x) / (T(1.0) + exp(x)) : T(1.0) / (T(1.0) + exp(-x));
    case Activation::softplus:
      return v > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case Activation::gelu:
      return T(0.5) * x * erfc(T(-0.70710678118654752440) * x);
    case Activation::sine:
      return sin(x);
  }
  return T(std::numeric_limits<double>::quiet_NaN());
}

/// φ'(x), by a dual number.
template <class T>
T slope(Activation activation, T x) {
  return activate(activation, Dual<T>{x, T(1.0)}).d;
}

/// What one forward pass leaves: values[l + 1] is a_l of node l (values[0] = x), pre[l] is z_l.
template <class T>
struct Trace {
  std::vector<std::vector<T>> values;
  std::vector<std::vector<T>> pre;
};

/// Number of a layer's parameters, weights and then biases.
inline std::size_t parameters_of(const Layer& layer) {
  const auto* dense = std::get_if<Dense>(&layer);
  return dense ? static_cast<std::size_t>(dense->out * (dense->in + (dense->bias ? 1 : 0))) : 0;
}

/// z = W a + b of a dense layer whose parameters start at `offset`.
template <class T>
std::vector<T> sum_of(const Dense& dense, const std::vector<T>& theta, std::size_t offset,
                      const std::vector<const std::vector<T>*>& inputs) {
  const std::vector<T>& a = *inputs.front();
  const std::size_t in = static_cast<std::size_t>(dense.in), out = static_cast<std::size_t>(dense.out);
  std::vector<T> z(out, T(0.0));
  for (std::size_t i = 0; i < out; ++i) {
    for (std::size_t j = 0; j < in; ++j) z[i] += theta[offset + i * in + j] * a[j];
    if (dense.bias) z[i] += theta[offset + out * in + i];
  }
  return z;
}

/// z = a₁ + a₂ + ...
template <class T>
std::vector<T> sum_of(const Add&, const std::vector<T>&, std::size_t,
                      const std::vector<const std::vector<T>*>& inputs) {
  std::vector<T> z = *inputs.front();
  for (std::size_t k = 1; k < inputs.size(); ++k) {
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += (*inputs[k])[i];
  }
  return z;
}

/// Every node's z and a = φ(z), for one input.
template <class T>
Trace<T> forward(const Network& network, const std::vector<T>& theta, std::span<const double> input) {
  Trace<T> trace;
  trace.values.emplace_back(input.begin(), input.end());
  std::size_t offset = 0;
  for (const Node& node : network.nodes()) {
    std::vector<const std::vector<T>*> inputs;
    for (const std::int32_t k : node.inputs) inputs.push_back(&trace.values[static_cast<std::size_t>(k + 1)]);
    std::vector<T> z = std::visit([&](const auto& layer) { return sum_of(layer, theta, offset, inputs); }, node.layer);
    offset += parameters_of(node.layer);
    const Activation activation = std::visit([](const auto& layer) { return layer.activation; }, node.layer);
    std::vector<T> next;
    for (const T& value : z) next.push_back(activate(activation, value));
    trace.pre.push_back(std::move(z));
    trace.values.push_back(std::move(next));
  }
  return trace;
}

/// f_θ(x) (H·C).
template <class T>
std::vector<T> outputs(const Network& network, const std::vector<T>& theta, std::span<const double> input) {
  return forward(network, theta, input).values.back();
}

/// Adds to the gradient, and to the cotangents of the inputs, what the cotangent `delta` of z makes of them.
template <class T>
void pull_back(const Dense& dense, const std::vector<T>& theta, std::size_t offset, const std::vector<T>& delta,
               const std::vector<const std::vector<T>*>& inputs, const std::vector<std::vector<T>*>& below,
               std::vector<T>& gradient) {
  const std::size_t in = static_cast<std::size_t>(dense.in), out = static_cast<std::size_t>(dense.out);
  for (std::size_t i = 0; i < out; ++i) {
    for (std::size_t j = 0; j < in; ++j) {
      gradient[offset + i * in + j] += delta[i] * (*inputs.front())[j];
      (*below.front())[j] += delta[i] * theta[offset + i * in + j];
    }
    if (dense.bias) gradient[offset + out * in + i] += delta[i];
  }
}

template <class T>
void pull_back(const Add&, const std::vector<T>&, std::size_t, const std::vector<T>& delta,
               const std::vector<const std::vector<T>*>&, const std::vector<std::vector<T>*>& below, std::vector<T>&) {
  for (std::vector<T>* one : below) {
    for (std::size_t i = 0; i < delta.size(); ++i) (*one)[i] += delta[i];
  }
}

/// Adds to `gradient` (M) the product of the Jacobian's transpose and `cotangent` (H·C): ordinary back-propagation.
template <class T>
void pull_back(const Network& network, const std::vector<T>& theta, const Trace<T>& trace, std::vector<T> cotangent,
               std::vector<T>& gradient) {
  std::vector<std::vector<T>> cotangents;
  for (const std::vector<T>& value : trace.values) cotangents.emplace_back(value.size(), T(0.0));
  cotangents.back() = std::move(cotangent);
  std::size_t offset = theta.size();
  for (std::size_t l = network.nodes().size(); l-- > 0;) {
    const Node& node = network.nodes()[l];
    offset -= parameters_of(node.layer);
    std::vector<const std::vector<T>*> inputs;
    std::vector<std::vector<T>*> below;
    for (const std::int32_t k : node.inputs) {
      inputs.push_back(&trace.values[static_cast<std::size_t>(k + 1)]);
      below.push_back(&cotangents[static_cast<std::size_t>(k + 1)]);
    }
    std::vector<T> delta = cotangents[l + 1];
    std::visit(
        [&](const auto& layer) {
          for (std::size_t i = 0; i < delta.size(); ++i) delta[i] = delta[i] * slope(layer.activation, trace.pre[l][i]);
          pull_back(layer, theta, offset, delta, inputs, below, gradient);
        },
        node.layer);
  }
}

// ---- losses ---------------------------------------------------------------------------------------------------------

/// log softmax(p)_c of every class: p_c − log Σ exp(p), after subtracting the largest p from all of them, so that
/// neither exp overflows nor large outputs round away their differences. An infinite largest p is not subtracted.
template <class T>
std::vector<T> log_softmax(std::span<const T> p) {
  double top = -std::numeric_limits<double>::infinity();
  for (const T& value : p) top = std::max(top, primal(value));
  if (std::isinf(top)) top = 0;
  T sum = T(0.0);
  for (const T& value : p) sum += exp(value - T(top));
  std::vector<T> result;
  for (const T& value : p) result.push_back((value - T(top)) - log(sum));
  return result;
}

/// ℓ(p, y_n) of each head (H) for outputs p (H·C).
template <class T>
std::vector<T> sample_losses(const Network& network, const std::vector<T>& p, const Dataset& data, std::int64_t n,
                             Loss loss) {
  const std::size_t classes = static_cast<std::size_t>(network.outputs_per_head());
  std::vector<T> result;
  for (std::size_t first = 0; first < p.size(); first += classes) {
    const std::span<const T> head(p.data() + first, classes);
    const std::vector<T> logs = loss == Loss::cross_entropy ? log_softmax(head) : std::vector<T>();
    T value = T(0.0);
    for (std::size_t c = 0; c < classes; ++c) {
      const T y = T(data.target(n, static_cast<std::int64_t>(c)));
      if (loss == Loss::mean_squared_error) value += (head[c] - y) * (head[c] - y);
      if (loss == Loss::cross_entropy && primal(y) != 0) value += -(y * logs[c]);
    }
    result.push_back(value);
  }
  return result;
}

/// ∂ℓ/∂p of the sum over heads (H·C): 2(p − y), or softmax(p) − y.
template <class T>
std::vector<T> output_gradient(const Network& network, const std::vector<T>& p, const Dataset& data, std::int64_t n,
                               Loss loss) {
  const std::size_t classes = static_cast<std::size_t>(network.outputs_per_head());
  std::vector<T> result;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const std::size_t first = k / classes * classes;
    const T y = T(data.target(n, static_cast<std::int64_t>(k - first)));
    if (loss == Loss::mean_squared_error) {
      result.push_back(T(2.0) * (p[k] - y));
    } else {
      result.push_back(exp(log_softmax(std::span<const T>(p.data() + first, classes))[k - first]) - y);
    }
  }
  return result;
}

/// R_k(θ) (H): the mean over samples first..last−1 (all by default) of each head's loss.
template <class T>
std::vector<T> losses(const Network& network, const std::vector<T>& theta, const Dataset& data, Loss loss,
                      std::int64_t first = 0, std::int64_t last = -1) {
  if (last < 0) last = data.size();
  std::vector<T> mean(static_cast<std::size_t>(network.heads()), T(0.0));
  for (std::int64_t n = first; n < last; ++n) {
    const std::vector<T> sample = sample_losses(network, outputs(network, theta, data.input(n)), data, n, loss);
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += sample[k];
  }
  for (T& value : mean) value /= T(static_cast<double>(last - first));
  return mean;
}

/// R(θ): the sum over heads.
template <class T>
T risk(const Network& network, const std::vector<T>& theta, const Dataset& data, Loss loss) {
  T sum = T(0.0);
  for (const T& value : losses(network, theta, data, loss)) sum += value;
  return sum;
}

/// Share of the samples whose first largest output is the label, per head (H); NaN for real targets. A head with a NaN
/// among its outputs counts as wrong.
inline std::vector<double> accuracy(const Network& network, const std::vector<double>& theta, const Dataset& data) {
  const std::size_t heads = static_cast<std::size_t>(network.heads());
  if (!data.has_labels()) return std::vector<double>(heads, std::numeric_limits<double>::quiet_NaN());
  const std::int64_t classes = network.outputs_per_head();
  std::vector<double> right(heads, 0.0);
  for (std::int64_t n = 0; n < data.size(); ++n) {
    const std::vector<double> p = outputs(network, theta, data.input(n));
    for (std::size_t k = 0; k < heads; ++k) {
      const double* head = p.data() + static_cast<std::int64_t>(k) * classes;
      const std::int64_t label = data.labels()[static_cast<std::size_t>(n)];
      bool is_right = true;
      for (std::int64_t c = 0; c < classes; ++c) {
        if (std::isnan(head[c]) || head[c] > head[label] || (c < label && head[c] == head[label])) is_right = false;
      }
      right[k] += is_right;
    }
  }
  for (double& value : right) value /= static_cast<double>(data.size());
  return right;
}

/// ∇R (M) over samples first..last−1 (all by default), by back-propagation. With T = Dual<double> and θ = {θ, v} the
/// derivative parts are the Hessian times v.
template <class T>
std::vector<T> gradient(const Network& network, const std::vector<T>& theta, const Dataset& data, Loss loss,
                        std::int64_t first = 0, std::int64_t last = -1) {
  if (last < 0) last = data.size();
  std::vector<T> sum(theta.size(), T(0.0));
  for (std::int64_t n = first; n < last; ++n) {
    const Trace<T> trace = forward(network, theta, data.input(n));
    pull_back(network, theta, trace, output_gradient(network, trace.values.back(), data, n, loss), sum);
  }
  for (T& value : sum) value /= T(static_cast<double>(last - first));
  return sum;
}

/// meanₙ max_c |p_c(x_n)|: with |loss|, the scale against which errors of a loss are measured.
inline double mean_max_output(const Network& network, const std::vector<double>& theta, const Dataset& data) {
  double sum = 0;
  for (std::int64_t n = 0; n < data.size(); ++n) {
    double top = 0;
    for (double p : outputs(network, theta, data.input(n))) top = std::isnan(p) ? p : std::max(top, std::abs(p));
    sum += top;
  }
  return sum / static_cast<double>(data.size());
}

// ---- sections -------------------------------------------------------------------------------------------------------

/// θ₀ + Σ αᵢ θᵢ.
inline std::vector<double> section_point(const Section& section, std::span<const double> alpha) {
  std::vector<double> theta = section.origin;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    for (std::size_t m = 0; m < theta.size(); ++m) theta[m] += alpha[i] * section.directions[i * theta.size() + m];
  }
  return theta;
}

/// L(α) (G, H) at points (G, z): every layer and every sample at every point.
inline std::vector<double> section_losses(const Network& network, const Section& section,
                                          std::span<const double> points, const Dataset& data, Loss loss) {
  const std::size_t rank = section.directions.size() / section.origin.size();
  std::vector<double> result;
  for (std::size_t g = 0; g < points.size() / rank; ++g) {
    const std::vector<double> theta = section_point(section, points.subspan(g * rank, rank));
    for (double value : losses(network, theta, data, loss)) result.push_back(value);
  }
  return result;
}

// ---- comparison -----------------------------------------------------------------------------------------------------

/// |a − b| ≤ tolerance. A NaN is near another NaN only, an infinity near its equal only.
inline bool near(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance;
}

/// The largest |a_i − b_i|: +∞ if exactly one is NaN or the sizes differ, 0 if both are NaN.
inline double max_difference(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (near(a[i], b[i], worst)) continue;
    worst = std::isnan(a[i]) || std::isnan(b[i]) ? std::numeric_limits<double>::infinity() : std::abs(a[i] - b[i]);
  }
  return worst;
}

}  // namespace lossatlas::reference
