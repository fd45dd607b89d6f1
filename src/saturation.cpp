#include "saturation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "parallel.hpp"
#include "random.hpp"
#include "sample_pass.hpp"
#include "vectors.hpp"

namespace lossatlas {
namespace {

constexpr double kActive = 1e-6;          // |φ'| from which a neuron responds
constexpr double kConstant = 1e-9;        // range of a neuron on the data, relative to its size
constexpr double kNearlyConstant = 1e-2;  // the same where the output is constant
constexpr double kSameOutput = 1e-5;      // range of the output on the data, relative to the targets
constexpr double kVanishing = 1e-6;       // output weights, relative to the layer's largest
constexpr double kIndependent = 1e-10;    // part of a combination of rows outside the span, relative to it

/// A random vector in the span of some rows; almost surely it is in a subspace only if all of them are.
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

/// An orthonormal basis of the rows it was shown. Their number does not matter much: a chunk costs one random
/// combination of its rows, and one more for each dimension that it adds.
class Span {
 public:
  std::size_t rank() const { return basis_.size(); }

  void add(const cpu::ConstMatrix& rows, std::span<const std::int64_t> chosen, std::size_t width, Random& random) {
    for (std::size_t added = 0; rank() < width && added < chosen.size(); ++added) {
      if (!add(combination(rows, chosen, width, random))) return;
    }
  }

  Span first(std::size_t rank) const {
    Span span;
    span.basis_.assign(basis_.begin(), basis_.begin() + static_cast<std::ptrdiff_t>(rank));
    return span;
  }

 private:
  /// Whether there is a new dimension.
  bool add(std::vector<double> row) {
    const double size = norm_l2(row);
    for (int pass = 0; pass < 2; ++pass) {  // twice: once loses orthogonality when the row is nearly in the span
      for (const std::vector<double>& e : basis_) {
        const double part = dot(e, row);
        for (std::size_t c = 0; c < row.size(); ++c) row[c] -= part * e[c];
      }
    }
    const double rest = norm_l2(row);
    if (!(rest > kIndependent * size)) return false;
    for (double& value : row) value /= rest;
    basis_.push_back(std::move(row));
    return true;
  }

  std::vector<std::vector<double>> basis_;
};

/// What one neuron does on the data.
struct Response {
  bool used = false;  ///< it has output weights
  double steepest = 0;
  double lowest = std::numeric_limits<double>::infinity();
  double highest = -std::numeric_limits<double>::infinity();
  std::optional<Span> active;  ///< of the samples on which it responds; nothing as long as they are all
};

struct LayerResponse {
  std::vector<Response> neurons;
  Span all;
};

/// φ tends to a straight line on one side at least, exponentially fast.
bool saturates(Activation activation) {
  return activation == Activation::tanh || activation == Activation::sigmoid || activation == Activation::softplus ||
         activation == Activation::gelu;
}

std::vector<LayerResponse> layers_with_uses(const Network& network, std::span<const double> theta) {
  std::vector<LayerResponse> result(static_cast<std::size_t>(network.depth() - 1));
  for (std::size_t l = 0; l < result.size(); ++l) {
    const MatrixView<const double> above = network.view(theta, static_cast<std::int64_t>(l) + 1).weight;
    std::vector<double> squares(static_cast<std::size_t>(above.cols), 0.0);
    for (std::int64_t i = 0; i < above.rows; ++i) {
      for (std::int64_t j = 0; j < above.cols; ++j) squares[static_cast<std::size_t>(j)] += above(i, j) * above(i, j);
    }
    const double cut = kVanishing * std::sqrt(norm_max(squares));
    result[l].neurons.resize(squares.size());
    for (std::size_t j = 0; j < squares.size(); ++j) result[l].neurons[j].used = std::sqrt(squares[j]) > cut;
  }
  return result;
}

/// Extremes of neuron s on the chunk; the samples to which it responds.
std::vector<std::int64_t> responding(const SamplePass& pass, std::int64_t l, std::int64_t s, Activation activation,
                                     Response& neuron) {
  std::vector<std::int64_t> samples;
  for (std::int64_t r = 0; r < pass.rows(); ++r) {
    const double slope = std::abs(activate_derivative(activation, *pass.pre(l).at(r, s).data));
    const double output = *pass.output(l).at(r, s).data;
    neuron.steepest = std::max(neuron.steepest, slope);
    neuron.lowest = std::min(neuron.lowest, output);
    neuron.highest = std::max(neuron.highest, output);
    if (slope >= kActive) samples.push_back(r);
  }
  return samples;
}

void show_chunk(const SamplePass& pass, std::int64_t l, const Layer& layer, Random& random, LayerResponse& response) {
  const auto in = static_cast<std::size_t>(pass.input(l).stride);
  const std::size_t width = in + (std::visit([](const auto& one) { return one.bias; }, layer) ? 1 : 0);
  std::vector<double> inputs;  // (rows, width): with the bias's 1
  std::vector<std::int64_t> samples;
  for (std::int64_t r = 0; r < pass.rows(); ++r) {
    const double* x = pass.input(l).at(r, 0).data;
    inputs.insert(inputs.end(), x, x + in);
    if (width > in) inputs.push_back(1);
    samples.push_back(r);
  }
  const cpu::ConstMatrix rows{inputs.data(), static_cast<std::int64_t>(width)};
  const std::size_t before = response.all.rank();
  response.all.add(rows, samples, width, random);
  for (std::size_t s = 0; s < response.neurons.size(); ++s) {
    Response& neuron = response.neurons[s];
    if (!neuron.used) continue;
    const std::vector<std::int64_t> active =
        responding(pass, l, static_cast<std::int64_t>(s), cpu::activation(layer), neuron);
    if (!neuron.active && active.size() == samples.size()) continue;
    if (!neuron.active) neuron.active = response.all.first(before);
    if (neuron.active->rank() < response.all.rank()) neuron.active->add(rows, active, width, random);
  }
}

std::string describe(const Response& neuron, std::size_t rank, Activation activation, std::int64_t samples,
                     double constant) {
  if (neuron.steepest < kActive) return "is saturated on all of the data";
  const double size = std::max(std::abs(neuron.lowest), std::abs(neuron.highest));
  if (samples > 1 && neuron.highest - neuron.lowest <= constant * size) return "is constant on the data";
  if (saturates(activation) && neuron.active && neuron.active->rank() < rank)
    return "is saturated on all but too few samples";
  return "";
}

}  // namespace

std::string neuron_at_infinity(const Landscape& landscape, std::span<const double> theta, const Control& control) {
  const Network& network = landscape.network();
  std::vector<LayerResponse> responses = layers_with_uses(network, theta);
  const cpu::SingleThreadedBlas guard;
  SamplePass pass(network, landscape.data(), landscape.loss(), theta);
  Random random(0);  // the same for the same point
  for_each_chunk(pass, landscape.data().size(), [&](const SamplePass&) {
    for (std::size_t l = 0; l < responses.size(); ++l) {
      check_stop(control);
      show_chunk(pass, static_cast<std::int64_t>(l), network.layers()[l], random, responses[l]);
    }
  });
  const std::int64_t samples = landscape.data().size();
  const double constant = output_kind(landscape, theta, control) == OutputKind::constant ? kNearlyConstant : kConstant;
  for (std::size_t l = 0; l < responses.size(); ++l) {
    const Activation activation = cpu::activation(network.layers()[l]);
    for (std::size_t s = 0; s < responses[l].neurons.size(); ++s) {
      const Response& neuron = responses[l].neurons[s];
      if (!neuron.used) continue;
      const std::string what = describe(neuron, responses[l].all.rank(), activation, samples, constant);
      if (!what.empty()) return "neuron " + std::to_string(s) + " of layer " + std::to_string(l + 1) + " " + what;
    }
  }
  return "";
}

OutputKind output_kind(const Landscape& landscape, std::span<const double> theta, const Control& control) {
  const Dataset& data = landscape.data();
  const double cut = kSameOutput * (data.has_labels() ? 1 : norm_max(data.targets()));
  const cpu::SingleThreadedBlas guard;
  SamplePass pass(landscape.network(), data, landscape.loss(), theta);
  const std::int64_t last = landscape.network().depth() - 1, width = landscape.network().outputs();
  std::vector<double> first;
  bool zero = true, constant = data.size() > 1;
  for_each_chunk(pass, data.size(), [&](const SamplePass&) {
    check_stop(control);
    for (std::int64_t r = 0; r < pass.rows(); ++r) {
      const std::span<const double> output(pass.output(last).at(r, 0).data, static_cast<std::size_t>(width));
      if (first.empty()) first.assign(output.begin(), output.end());
      zero = zero && norm_max(output) <= cut;
      constant = constant && norm_max(moved(output, -1, first)) <= cut;
    }
  });
  return zero ? OutputKind::zero : constant ? OutputKind::constant : OutputKind::varying;
}

}  // namespace lossatlas
