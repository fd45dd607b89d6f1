#include "critical/saturation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/parallel.hpp"
#include "base/random.hpp"
#include "base/vectors.hpp"
#include "cpu/pass.hpp"
#include "critical/critical_class.hpp"
#include "critical/row_span.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

constexpr double kActive = 1e-6;          // |φ'| from which a neuron responds
constexpr double kConstant = 1e-9;        // range of a neuron on the data, relative to its size
constexpr double kNearlyConstant = 1e-2;  // the same if the output is constant
constexpr double kExact = 1e-14;          // the same for mere rounding: no in-weights, or dead
constexpr double kSameOutput = 1e-5;      // range of the output on the data, relative to the targets
constexpr double kVanishing = 1e-6;       // output weights, relative to the layer's largest

/// A random vector in the span of some rows.
std::vector<double> combination(const cpu::ConstMatrix& rows, std::span<const std::int64_t> chosen, std::size_t width,
                                Random& random) {
  std::vector<double> sum(width, 0.0);
  for (const std::int64_t r : chosen) {
    const double weight = random.normal();
    const double* row = rows.at(r, 0).data;
    for (std::size_t c = 0; c < width; ++c) sum[c] += weight * row[c];
  }
  return sum;
}

/// Adds a chunk of rows to the span: costs one random combination of them, plus one for each dimension gained.
void add_rows(const cpu::ConstMatrix& rows, std::span<const std::int64_t> chosen, std::size_t width, Random& random,
              RowSpan& span) {
  for (std::size_t added = 0; span.rank() < width && added < chosen.size(); ++added) {
    if (!span.add(combination(rows, chosen, width, random))) return;
  }
}

/// What one neuron does on the data.
struct Response {
  bool used = false;  ///< it has output weights
  double steepest = 0;
  double lowest = std::numeric_limits<double>::infinity();
  double highest = -std::numeric_limits<double>::infinity();
  std::optional<RowSpan> active;  ///< span of the samples on which it responds; nullopt while these are all

  void cover(double output) {
    lowest = std::min(lowest, output);
    highest = std::max(highest, output);
  }
  double range() const { return highest - lowest; }
  double size() const { return std::max(std::abs(lowest), std::abs(highest)); }
};

struct LayerResponse {
  std::vector<Response> neurons;
  RowSpan all;
};

/// Whether φ tends to a straight line exponentially fast, on at least one side.
bool saturates(Activation activation) {
  return activation == Activation::tanh || activation == Activation::sigmoid || activation == Activation::softplus ||
         activation == Activation::gelu;
}

/// θ without the common shift of a head's outputs, which cross entropy does not see.
std::vector<double> seen_by_loss(const Landscape& landscape, std::span<const double> theta) {
  std::vector<double> result(theta.begin(), theta.end());
  if (landscape.loss() == Loss::cross_entropy) centre_outputs(landscape.network(), result);
  return result;
}

/// Marks the neurons of `response` that layer `above`, which takes their values, uses.
void mark_used(const LayerView<const double>& above, std::vector<Response>& neurons) {
  if (!above.weight.data) {  // an Add uses all of them
    for (Response& neuron : neurons) neuron.used = true;
    return;
  }
  const WeightView<const double>& weight = above.weight;
  std::vector<double> squares(neurons.size(), 0.0);
  for (std::int64_t i = 0; i < weight.out; ++i) {
    for (std::int64_t j = 0; j < weight.in; ++j) {
      for (std::int64_t tap = 0; tap < weight.taps; ++tap) {
        squares[static_cast<std::size_t>(j)] += weight(i, j, tap) * weight(i, j, tap);
      }
    }
  }
  const double cut = kVanishing * std::sqrt(norm_max(squares));
  for (std::size_t j = 0; j < squares.size(); ++j) neurons[j].used = neurons[j].used || std::sqrt(squares[j]) > cut;
}

/// Of every node but the last; those without parameters have no neurons of their own.
std::vector<LayerResponse> layers_with_uses(const Network& network, std::span<const double> theta) {
  const std::vector<std::vector<std::int64_t>> above = consumers(network);
  std::vector<LayerResponse> result(static_cast<std::size_t>(network.depth() - 1));
  for (std::size_t l = 0; l < result.size(); ++l) {
    const auto node = static_cast<std::int64_t>(l);
    if (!network.view(theta, node).weight.data) continue;
    result[l].neurons.resize(static_cast<std::size_t>(network.width(node)));
    for (const std::int64_t next : above[l]) mark_used(network.view(theta, next), result[l].neurons);
  }
  return result;
}

/// Updates the extremes of neuron s with the chunk; returns the samples to which it responds.
std::vector<std::int64_t> responding(const cpu::ForwardPass& pass, std::int64_t l, std::int64_t s,
                                     Activation activation, Response& neuron) {
  std::vector<std::int64_t> samples;
  for (std::int64_t r = 0; r < pass.rows(); ++r) {
    const double slope = std::abs(activate_derivative(activation, *pass.pre(l).at(r, s).data));
    neuron.steepest = std::max(neuron.steepest, slope);
    neuron.cover(*pass.output(l).at(r, s).data);
    if (slope >= kActive) samples.push_back(r);
  }
  return samples;
}

void show_chunk(const cpu::ForwardPass& pass, std::int64_t l, Activation activation, bool has_bias, Random& random,
                LayerResponse& response) {
  const auto in = static_cast<std::size_t>(pass.input(l).stride);
  const std::size_t width = in + (has_bias ? 1 : 0);
  std::vector<double> inputs;  // (rows, width), with a 1 for the bias
  std::vector<std::int64_t> samples;
  for (std::int64_t r = 0; r < pass.rows(); ++r) {
    const double* x = pass.input(l).at(r, 0).data;
    inputs.insert(inputs.end(), x, x + in);
    if (width > in) inputs.push_back(1);
    samples.push_back(r);
  }
  const cpu::ConstMatrix rows{inputs.data(), static_cast<std::int64_t>(width)};
  const std::size_t before = response.all.rank();
  add_rows(rows, samples, width, random, response.all);
  for (std::size_t s = 0; s < response.neurons.size(); ++s) {
    Response& neuron = response.neurons[s];
    if (!neuron.used) continue;
    const std::vector<std::int64_t> active = responding(pass, l, static_cast<std::int64_t>(s), activation, neuron);
    if (!neuron.active && active.size() == samples.size()) continue;
    if (!neuron.active) neuron.active = response.all.first(before);
    if (neuron.active->rank() < response.all.rank()) add_rows(rows, active, width, random, *neuron.active);
  }
}

bool equally_frequent(const Dataset& data) {
  const std::vector<double> mean = label_statistics(data).mean;
  return std::all_of(mean.begin(), mean.end(), [&](double share) {
    return std::abs(share - 1 / static_cast<double>(mean.size())) <= kSameOutput;
  });
}

std::string describe(const Response& neuron, std::size_t rank, Activation activation, std::int64_t samples,
                     double constant) {
  if (saturates(activation) && neuron.steepest < kActive) return "is saturated on all of the data";
  const double size = neuron.size();
  if (samples > 1 && neuron.range() > kExact * size && neuron.range() <= constant * size) {
    return "is constant on the data";
  }
  if (saturates(activation) && neuron.active && neuron.active->rank() < rank)
    return "is saturated on all but too few samples";
  return "";
}

}  // namespace

std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta, const Control& control) {
  const Network& network = landscape.network();
  std::vector<LayerResponse> responses = layers_with_uses(network, seen_by_loss(landscape, theta));
  const cpu::SingleThreadedBlas guard;
  cpu::ForwardPass pass({network, landscape.data(), landscape.loss(), 1}, theta);
  Random random(0);  // the same for the same point
  cpu::for_each_chunk(pass, landscape.data().size(), [&](const cpu::ForwardPass&) {
    for (std::size_t l = 0; l < responses.size(); ++l) {
      check_stop(control);
      if (responses[l].neurons.empty()) continue;
      const auto node = static_cast<std::int64_t>(l);
      show_chunk(pass, node, activation(network.layer(node)), !network.view(theta, node).bias.empty(), random,
                 responses[l]);
    }
  });
  const std::int64_t samples = landscape.data().size();
  const double constant = output_kind(landscape, theta, control) == OutputKind::constant ? kNearlyConstant : kConstant;
  for (std::size_t l = 0; l < responses.size(); ++l) {
    const Activation activation = lossatlas::activation(network.layer(static_cast<std::int64_t>(l)));
    for (std::size_t s = 0; s < responses[l].neurons.size(); ++s) {
      const Response& neuron = responses[l].neurons[s];
      if (!neuron.used) continue;
      const std::string what = describe(neuron, responses[l].all.rank(), activation, samples, constant);
      if (!what.empty()) return "neuron " + std::to_string(s) + " of layer " + std::to_string(l + 1) + " " + what;
    }
  }
  return "";
}

std::vector<double> fold_constant_neurons(const Landscape& landscape, std::span<const double> theta,
                                          const Control& control) {
  const Network& network = landscape.network();
  std::vector<double> result(theta.begin(), theta.end());
  if (landscape.data().size() == 1) return result;  // every neuron is constant on one sample
  std::vector<std::vector<Response>> responses;
  for (std::int64_t l = 0; l < network.depth(); ++l) responses.emplace_back(static_cast<std::size_t>(network.width(l)));
  const cpu::SingleThreadedBlas guard;
  cpu::ForwardPass pass({network, landscape.data(), landscape.loss(), 1}, theta);
  cpu::for_each_chunk(pass, landscape.data().size(), [&](const cpu::ForwardPass&) {
    check_stop(control);
    for (std::size_t l = 0; l + 1 < responses.size(); ++l) {
      const cpu::ConstMatrix output = pass.output(static_cast<std::int64_t>(l));
      for (std::int64_t i = 0; i < pass.rows() * output.stride; ++i) {
        responses[l][static_cast<std::size_t>(i % output.stride)].cover(output.data[i]);
      }
    }
  });
  const std::vector<std::vector<std::int64_t>> takers = consumers(network);
  for (std::size_t l = 0; l + 1 < responses.size(); ++l) {
    if (takers[l].size() != 1) continue;
    const LayerView<double> above = network.view(std::span(result), takers[l].front());
    if (!above.weight.data) continue;  // an Add has no bias to absorb them
    for (std::size_t s = 0; s < responses[l].size(); ++s) {
      const Response& neuron = responses[l][s];
      if (neuron.range() > kExact * neuron.size() || (above.bias.empty() && neuron.size() > 0)) continue;
      for (std::int64_t i = 0; i < above.weight.out; ++i) {
        double& weight = above.weight(i, static_cast<std::int64_t>(s));
        if (!above.bias.empty()) above.bias[static_cast<std::size_t>(i)] += weight * neuron.lowest;
        weight = 0;
      }
    }
  }
  return result;
}

OutputKind output_kind(const Landscape& landscape, std::span<const double> point, const Control& control) {
  const Dataset& data = landscape.data();
  const std::vector<double> theta = seen_by_loss(landscape, point);
  const double cut = kSameOutput * (data.has_labels() ? 1 : norm_max(data.targets()));
  const cpu::SingleThreadedBlas guard;
  cpu::ForwardPass pass({landscape.network(), data, landscape.loss(), 1}, theta);
  const std::int64_t last = landscape.network().depth() - 1, width = landscape.network().outputs();
  std::vector<double> first;
  bool zero = true, constant = data.size() > 1;
  cpu::for_each_chunk(pass, data.size(), [&](const cpu::ForwardPass&) {
    check_stop(control);
    for (std::int64_t r = 0; r < pass.rows(); ++r) {
      const std::span<const double> output(pass.output(last).at(r, 0).data, static_cast<std::size_t>(width));
      if (first.empty()) first.assign(output.begin(), output.end());
      zero = zero && norm_max(output) <= cut;
      constant = constant && norm_max(moved(output, -1, first)) <= cut;
    }
  });
  if (zero && landscape.loss() == Loss::cross_entropy && data.size() > 1 && equally_frequent(data)) {
    zero = false;  // constant outputs then predict all classes equally probable
  }
  return zero ? OutputKind::zero : constant ? OutputKind::constant : OutputKind::varying;
}

}  // namespace lossatlas
