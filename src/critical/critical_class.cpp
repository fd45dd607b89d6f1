#include "critical/critical_class.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.hpp"
#include "base/vectors.hpp"
#include "cpu/pass.hpp"
#include "critical/saturation.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

/// [w, b] of neuron i.
std::vector<double> in_weights(const ReducedLayer& layer, std::int64_t i) {
  const auto first = layer.weight.begin() + i * layer.in;
  std::vector<double> result(first, first + layer.in);
  if (!layer.bias.empty()) result.push_back(layer.bias[static_cast<std::size_t>(i)]);
  return result;
}

double& weight(ReducedLayer& layer, std::int64_t i, std::int64_t j) {
  return layer.weight[static_cast<std::size_t>(i * layer.in + j)];
}

/// ‖column j of the layer's weight‖₂.
double out_norm(ReducedLayer& layer, std::int64_t j) {
  double sum = 0;
  for (std::int64_t i = 0; i < layer.out; ++i) sum += weight(layer, i, j) * weight(layer, i, j);
  return std::sqrt(sum);
}

/// Removes neuron i of layer l, and its column from the next layer.
void remove_neuron(ReducedNetwork& network, std::size_t l, std::int64_t i) {
  ReducedLayer &layer = network[l], &above = network[l + 1];
  const auto first = layer.weight.begin() + i * layer.in;
  layer.weight.erase(first, first + layer.in);
  if (!layer.bias.empty()) layer.bias.erase(layer.bias.begin() + i);
  --layer.out;
  for (std::int64_t row = above.out; row-- > 0;) above.weight.erase(above.weight.begin() + row * above.in + i);
  --above.in;
}

/// ‖a − sign·b‖ relative to the larger of the two; 0 when both vanish.
double distance(std::span<const double> a, double sign, std::span<const double> b) {
  const double size = std::max(norm_l2(a), norm_l2(b));
  return size == 0 ? 0 : norm_l2(moved(a, -sign, b)) / size;
}

/// The sign s with a = s·b up to `same`, or 0.
double matching_sign(std::span<const double> a, std::span<const double> b, bool odd, double same) {
  if (distance(a, 1, b) <= same) return 1;
  return odd && distance(a, -1, b) <= same ? -1 : 0;
}

bool drop_one(ReducedNetwork& network, std::size_t l, double same) {
  ReducedLayer& above = network[l + 1];
  double top = 0;
  for (std::int64_t j = 0; j < above.in; ++j) top = std::max(top, out_norm(above, j));
  for (std::int64_t j = 0; j < above.in; ++j) {
    if (out_norm(above, j) > same * top) continue;
    remove_neuron(network, l, j);
    return true;
  }
  return false;
}

bool merge_one(ReducedNetwork& network, std::size_t l, double same) {
  ReducedLayer &layer = network[l], &above = network[l + 1];
  for (std::int64_t i = 0; i < layer.out; ++i) {
    for (std::int64_t j = i + 1; j < layer.out; ++j) {
      const double sign = matching_sign(in_weights(layer, i), in_weights(layer, j), is_odd(layer.activation), same);
      if (sign == 0) continue;
      for (std::int64_t row = 0; row < above.out; ++row) weight(above, row, i) += sign * weight(above, row, j);
      remove_neuron(network, l, j);
      return true;
    }
  }
  return false;
}

/// How the neurons of one layer of a map to b: neuron i of a is sign[i] times neuron to[i] of b.
struct Matching {
  std::vector<std::int64_t> to;
  std::vector<double> sign;

  explicit Matching(std::int64_t size) : to(static_cast<std::size_t>(size)), sign(to.size(), 1) {
    std::iota(to.begin(), to.end(), 0);
  }
};

/// Permutes the layer's columns, and changes their signs, to match the layer below it in a.
void follow(const Matching& below, ReducedLayer& layer) {
  const ReducedLayer old = layer;
  for (std::int64_t row = 0; row < layer.out; ++row) {
    for (std::int64_t j = 0; j < layer.in; ++j) {
      const auto k = static_cast<std::size_t>(j);
      weight(layer, row, j) = below.sign[k] * old.weight[static_cast<std::size_t>(row * layer.in + below.to[k])];
    }
  }
}

/// Pairs each neuron of a with the nearest unpaired one of b; returns false if one is farther than `same`.
bool match(const ReducedLayer& a, const ReducedLayer& b, double same, Matching& result) {
  std::vector<bool> taken(static_cast<std::size_t>(b.out));
  for (std::int64_t i = 0; i < a.out; ++i) {
    double nearest = std::numeric_limits<double>::infinity();
    const auto k = static_cast<std::size_t>(i);
    for (std::int64_t j = 0; j < b.out; ++j) {
      if (taken[static_cast<std::size_t>(j)]) continue;
      for (const double sign : {1.0, -1.0}) {
        if (sign < 0 && !is_odd(a.activation)) continue;
        const double there = distance(in_weights(a, i), sign, in_weights(b, j));
        if (there < nearest) nearest = there, result.to[k] = j, result.sign[k] = sign;
      }
    }
    if (!(nearest <= same)) return false;
    taken[static_cast<std::size_t>(result.to[k])] = true;
  }
  return true;
}

/// σ(z) = ½ + ½ tanh(z/2): if the next layer's bias absorbs the ½, the sign of a sigmoid neuron does not matter either.
void turn_into_tanh(ReducedLayer& layer, ReducedLayer& above) {
  for (std::vector<double>* values : {&layer.weight, &layer.bias, &above.weight}) {
    for (double& value : *values) value /= 2;
  }
  for (std::int64_t i = 0; i < above.out; ++i) {
    for (std::int64_t j = 0; j < above.in; ++j) above.bias[static_cast<std::size_t>(i)] += weight(above, i, j);
  }
  layer.activation = Activation::tanh;
}

/// Divides each relu and leaky relu neuron, for which φ(sz) = s φ(z) at s > 0, by the norm of its in-weights and bias;
/// its output weights absorb the factor.
void normalise(ReducedLayer& layer, ReducedLayer& above) {
  if (layer.activation != Activation::relu && layer.activation != Activation::leaky_relu) return;
  for (std::int64_t i = 0; i < layer.out; ++i) {
    const double size = norm_l2(in_weights(layer, i));
    if (size == 0) continue;
    for (std::int64_t j = 0; j < layer.in; ++j) weight(layer, i, j) /= size;
    if (!layer.bias.empty()) layer.bias[static_cast<std::size_t>(i)] /= size;
    for (std::int64_t row = 0; row < above.out; ++row) weight(above, row, i) *= size;
  }
}

/// Subtracts their mean from `count` values a stride apart.
void centre(double* values, std::int64_t count, std::int64_t stride) {
  double mean = 0;
  for (std::int64_t c = 0; c < count; ++c) mean += values[c * stride] / static_cast<double>(count);
  for (std::int64_t c = 0; c < count; ++c) values[c * stride] -= mean;
}

}  // namespace

void centre_outputs(const Network& network, std::span<double> theta) {
  const std::int64_t classes = network.outputs_per_head();
  for (const std::int64_t term : output_terms(network)) {
    const LayerView<double> last = network.view(theta, term);
    for (std::int64_t first = 0; first < network.outputs(); first += classes) {
      for (std::int64_t j = 0; j < last.weight.in; ++j) centre(&last.weight(first, j), classes, last.weight.in);
      if (!last.bias.empty()) centre(&last.bias[static_cast<std::size_t>(first)], classes, 1);
    }
  }
}

bool is_odd(Activation activation) {
  return activation == Activation::tanh || activation == Activation::sine || activation == Activation::identity;
}

ReducedNetwork reduce_neurons(const Network& network, std::span<const double> point, double same, Loss loss) {
  std::vector<double> theta(point.begin(), point.end());
  if (loss == Loss::cross_entropy) centre_outputs(network, theta);
  ReducedNetwork result;
  for (const Dense& dense : dense_chain(network, "search_critical_points")) {
    const LayerView<const double> view = network.view(std::span<const double>(theta), std::ssize(result));
    result.push_back({dense.out,
                      dense.in,
                      {view.weight.data, view.weight.data + dense.out * dense.in},
                      {view.bias.begin(), view.bias.end()},
                      dense.activation});
  }
  for (std::size_t l = 0; l + 1 < result.size(); ++l) {
    if (result[l].activation == Activation::sigmoid && !result[l + 1].bias.empty()) {
      turn_into_tanh(result[l], result[l + 1]);
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t l = 0; l + 1 < result.size(); ++l) {
      normalise(result[l], result[l + 1]);  // again after merging below: the norms have changed
      while (drop_one(result, l, same) || merge_one(result, l, same)) changed = true;
    }
  }
  return result;
}

bool same_neurons(const ReducedNetwork& a, const ReducedNetwork& b, double same) {
  if (a.size() != b.size()) return false;
  Matching below(a.empty() ? 0 : a.front().in);
  for (std::size_t l = 0; l < a.size(); ++l) {
    ReducedLayer other = b[l];
    if (a[l].out != other.out || a[l].in != other.in || a[l].bias.empty() != other.bias.empty()) return false;
    follow(below, other);
    Matching matching(other.out);
    if (l + 1 < a.size()) {
      if (!match(a[l], other, same, matching)) return false;
    } else {
      std::vector<double> all, others;  // compared as a whole: a single row may be mere rounding
      for (std::int64_t i = 0; i < other.out; ++i) {
        for (const double value : in_weights(a[l], i)) all.push_back(value);
        for (const double value : in_weights(other, i)) others.push_back(value);
      }
      if (distance(all, 1, others) > same) return false;
    }
    below = std::move(matching);
  }
  return true;
}

CanonicalForm canonical_form(const Landscape& landscape, std::span<const double> point, double same,
                             const Control& control) {
  const Network& network = landscape.network();
  if (is_dense_chain(network)) {
    return {reduce_neurons(network, fold_constant_neurons(landscape, point, control), same, landscape.loss()), {}};
  }
  CanonicalForm form;
  const cpu::SingleThreadedBlas guard;
  cpu::ForwardPass pass({network, landscape.data(), landscape.loss(), 1}, point);
  cpu::for_each_chunk(pass, landscape.data().size(), [&](const cpu::ForwardPass&) {
    check_stop(control);
    const double* first = pass.outputs().data;
    form.outputs.insert(form.outputs.end(), first, first + pass.rows() * network.outputs());
  });
  if (landscape.loss() != Loss::cross_entropy) return form;
  const auto classes = static_cast<std::size_t>(network.outputs_per_head());
  for (std::size_t at = 0; at < form.outputs.size(); at += classes) {
    centre(form.outputs.data() + at, network.outputs_per_head(), 1);
  }
  return form;
}

bool same_form(const CanonicalForm& a, const CanonicalForm& b, double same) {
  return a.outputs.empty() ? same_neurons(a.neurons, b.neurons, same) : distance(a.outputs, 1, b.outputs) <= same;
}

}  // namespace lossatlas
