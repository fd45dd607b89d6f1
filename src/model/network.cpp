#include <algorithm>
#include <cmath>

#include <lossatlas/network.hpp>

#include "base/check.hpp"
#include "base/random.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kMaxWidth = std::int64_t{1} << 31;

const Dense& dense(const Layer& layer) { return std::get<Dense>(layer); }

void check_layer(const Dense& layer, std::size_t index) {
  require(layer.in > 0 && layer.out > 0 && layer.in < kMaxWidth && layer.out < kMaxWidth, "Network", "received layer ",
          index, " of ", layer.in, " inputs and ", layer.out, " outputs, expected widths from 1 to 2^31 - 1");
}

template <class T>
LayerView<T> view_of(const Network& network, std::span<T> theta, std::int64_t layer) {
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), "Network::view", "received ",
          theta.size(), " parameters, expected ", network.parameter_count());
  require(layer >= 0 && layer < network.depth(), "Network::view", "received layer ", layer, ", expected 0 to ",
          network.depth() - 1);
  LayerView<T> result;
  for (const ParameterBlock& block : network.blocks()) {
    if (block.layer != layer) continue;
    T* data = theta.data() + block.offset;
    if (block.kind == ParameterBlock::Kind::weight) {
      result.weight = {data, block.rows, block.cols};
    } else {
      result.bias = {data, static_cast<std::size_t>(block.rows)};
    }
  }
  return result;
}

/// Standard deviations of the initial parameters, one for each layer.
std::vector<double> initial_scales(const Network& network, const InitOptions& options) {
  const auto depth = static_cast<std::size_t>(network.depth());
  if (options.scale.size() == depth) return options.scale;
  if (!options.scale.empty()) return std::vector<double>(depth, options.scale.front());
  std::vector<double> scales;
  std::int64_t widest = 1;
  for (const Layer& layer : network.layers()) {
    scales.push_back(1 / std::sqrt(static_cast<double>(dense(layer).in)));
    if (scales.size() < depth) widest = std::max(widest, dense(layer).out);
  }
  if (!options.power) return scales;
  return std::vector<double>(depth, std::pow(static_cast<double>(widest), -*options.power / 2));
}

void check_options(const Network& network, const InitOptions& options) {
  const std::size_t count = options.scale.size();
  require(count <= 1 || static_cast<std::int64_t>(count) == network.depth(), "random_parameters", "received ", count,
          " scales, expected one for each of ", network.depth(), " layers, or one for all");
  for (const double scale : options.scale) {
    require(std::isfinite(scale) && scale >= 0, "random_parameters", "received scale ", scale,
            ", expected a standard deviation of 0 or more");
  }
  require(!options.power || std::isfinite(*options.power), "random_parameters", "received power ",
          options.power.value_or(0), ", expected a number, such as 3 for a variance of 1/m^3");
}

}  // namespace

Network::Network(std::vector<Layer> layers, std::int64_t heads) : layers_(std::move(layers)), heads_(heads) {
  require(!layers_.empty(), "Network", "received no layers, expected at least one");
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Dense& layer = dense(layers_[l]);
    check_layer(layer, l);
    require(l == 0 || layer.in == dense(layers_[l - 1]).out, "Network", "received layer ", l, " with ", layer.in,
            " inputs after ", l == 0 ? 0 : dense(layers_[l - 1]).out, " outputs, expected equal widths");
    constexpr std::int64_t kMostParameters = std::int64_t{1} << 60;  // so that no count of bytes overflows
    require(parameters_ <= kMostParameters - (layer.in + 1) * layer.out, "Network", "received ", layers_.size(),
            " layers with more than 2^60 parameters, expected fewer; use narrower layers");
    const auto index = static_cast<std::int64_t>(l);
    blocks_.push_back({index, ParameterBlock::Kind::weight, parameters_, layer.out, layer.in});
    parameters_ += layer.out * layer.in;
    if (layer.bias) {
      blocks_.push_back({index, ParameterBlock::Kind::bias, parameters_, layer.out, 1});
      parameters_ += layer.out;
    }
  }
  require(dense(layers_.back()).activation == Activation::identity, "Network", "received a last layer with ",
          name(dense(layers_.back()).activation), ", expected identity; the loss takes the linear outputs");
  require(heads >= 1 && outputs() % heads == 0, "Network", "received ", heads, " heads for ", outputs(),
          " outputs, expected a divisor of the outputs");
}

std::int64_t Network::inputs() const { return layers_.empty() ? 0 : dense(layers_.front()).in; }

std::int64_t Network::outputs() const { return layers_.empty() ? 0 : dense(layers_.back()).out; }

LayerView<double> Network::view(std::span<double> theta, std::int64_t layer) const {
  return view_of<double>(*this, theta, layer);
}

LayerView<const double> Network::view(std::span<const double> theta, std::int64_t layer) const {
  return view_of<const double>(*this, theta, layer);
}

std::string Network::describe() const {
  TextStream text;
  text << inputs();
  for (const Layer& layer : layers_) text << '-' << dense(layer).out;
  if (layers_.size() > 1) {
    const Activation first = dense(layers_.front()).activation;
    bool same = true;
    for (std::size_t l = 0; l + 1 < layers_.size(); ++l) same = same && dense(layers_[l]).activation == first;
    text << ' ' << (same ? name(first) : "mixed activations");
  }
  text << ", " << heads_ << (heads_ == 1 ? " head, " : " heads, ") << parameters_ << " parameters";
  return text.str();
}

Network mlp(std::vector<std::int64_t> widths, Activation activation, MlpOptions options) {
  require(widths.size() >= 2, "mlp", "received ", widths.size(), " widths, expected at least inputs and outputs");
  std::vector<Layer> layers;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    const bool last = l + 2 == widths.size();
    const bool bias = options.bias == Bias::all || (options.bias == Bias::hidden && !last);
    layers.emplace_back(Dense{widths[l], widths[l + 1], bias, last ? Activation::identity : activation});
  }
  return Network(std::move(layers), options.heads);
}

Activation hidden_activation(const Network& network) {
  require(network.depth() >= 2, "hidden_activation", "received a network of ", network.depth(),
          " layer, expected a hidden layer");
  const Activation first = dense(network.layers().front()).activation;
  for (const Layer& layer : network.layers().first(network.layers().size() - 1)) {
    require(dense(layer).activation == first, "hidden_activation", "received layers with ", name(first), " and ",
            name(dense(layer).activation), ", expected one activation");
  }
  return first;
}

std::vector<double> random_parameters(const Network& network, InitOptions options) {
  check_options(network, options);
  const std::vector<double> scales = initial_scales(network, options);
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (const ParameterBlock& block : network.blocks()) {
    const double scale = scales[static_cast<std::size_t>(block.layer)];
    Random random(options.seed, static_cast<std::uint64_t>(2 * block.layer) +
                                    (block.cols == 1 && block.kind == ParameterBlock::Kind::bias));
    for (std::int64_t i = 0; i < block.size(); ++i)
      theta[static_cast<std::size_t>(block.offset + i)] = scale * random.normal();
  }
  return theta;
}

}  // namespace lossatlas
