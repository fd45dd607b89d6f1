#include <algorithm>
#include <cmath>

#include <lossatlas/network.hpp>

#include "base/check.hpp"
#include "base/random.hpp"
#include "layers/structure.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

std::vector<Node> chained(std::vector<Layer> layers) {
  std::vector<Node> nodes;
  for (Layer& layer : layers) nodes.push_back({std::move(layer), {static_cast<std::int32_t>(nodes.size()) - 1}});
  return nodes;
}

/// Width of x, as the first dense layer that takes it has it.
std::optional<std::int64_t> input_width(const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    const auto* dense = std::get_if<Dense>(&node.layer);
    if (dense && node.inputs == std::vector<std::int32_t>{-1}) return dense->in;
  }
  return std::nullopt;
}

/// Checks that each node takes earlier values, and that each value but the last is taken.
void check_graph(const std::vector<Node>& nodes) {
  require(!nodes.empty(), "Network", "received no layers, expected at least one");
  constexpr std::size_t kMostNodes = std::size_t{1} << 24;
  require(nodes.size() <= kMostNodes, "Network", "received ", nodes.size(), " layers, expected at most ", kMostNodes);
  std::vector<bool> used(nodes.size());
  for (std::size_t l = 0; l < nodes.size(); ++l) {
    require(!nodes[l].inputs.empty(), "Network", "received layer ", l, " without inputs, expected at least one; -1 is ",
            "the network's input");
    for (const std::int32_t input : nodes[l].inputs) {
      require(input >= -1 && input < static_cast<std::int64_t>(l), "Network", "received layer ", l, " with input ",
              input, ", expected an earlier layer, or -1 for the network's input");
      if (input >= 0) used[static_cast<std::size_t>(input)] = true;
    }
  }
  for (std::size_t l = 0; l + 1 < nodes.size(); ++l) {
    require(used[l], "Network", "received layer ", l, " whose value no other layer takes, expected only the last ",
            "one to be the output; remove it");
  }
}

template <class T>
LayerView<T> view_of(const Network& network, std::span<const ParameterBlock> blocks, std::span<T> theta,
                     std::int64_t layer) {
  require(static_cast<std::int64_t>(theta.size()) == network.parameter_count(), "Network::view", "received ",
          theta.size(), " parameters, expected ", network.parameter_count());
  require(layer >= 0 && layer < network.depth(), "Network::view", "received layer ", layer, ", expected 0 to ",
          network.depth() - 1);
  LayerView<T> result;
  for (const ParameterBlock& block : blocks) {
    if (block.layer != layer) break;
    T* data = theta.data() + block.offset;
    if (block.kind == ParameterBlock::Kind::weight) {
      result.weight = {data, block.out, block.in, block.taps};
    } else {
      result.bias = {data, static_cast<std::size_t>(block.out)};
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
  for (const Node& node : network.nodes()) {
    const ParameterSizes sizes = std::visit([](const auto& one) { return parameter_sizes(one); }, node.layer);
    scales.push_back(1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, sizes.in * sizes.taps))));
    if (scales.size() < depth) widest = std::max(widest, network.width(std::ssize(scales) - 1));
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

Network::Network(std::vector<Layer> layers, std::int64_t heads) : Network(chained(std::move(layers)), heads) {}

Network::Network(std::vector<Node> nodes, std::int64_t heads) : nodes_(std::move(nodes)), heads_(heads) {
  check_graph(nodes_);
  const std::optional<std::int64_t> features = input_width(nodes_);
  require(features.has_value(), "Network", "received no dense layer that takes the input x, expected at least one");
  shapes_.push_back({*features});
  for (std::size_t l = 0; l < nodes_.size(); ++l) {
    const auto index = static_cast<std::int64_t>(l);
    std::vector<Shape> inputs;
    for (const std::int32_t input : nodes_[l].inputs) inputs.push_back(shape(input));
    const auto [after, sizes] =
        std::visit([&](const auto& one) { return std::pair(shape_after(one, inputs, index), parameter_sizes(one)); },
                   nodes_[l].layer);
    shapes_.push_back(after);
    first_block_.push_back(blocks_.size());
    if (sizes.out == 0) continue;
    constexpr std::int64_t kMostParameters = std::int64_t{1} << 60;  // so that no count of bytes overflows
    const std::int64_t most = (sizes.in * sizes.taps + 1) * sizes.out;
    require(most <= kMostParameters && parameters_ <= kMostParameters - most, "Network", "received ", nodes_.size(),
            " layers with more than 2^60 parameters, expected fewer; use ", "narrower layers");
    blocks_.push_back({index, ParameterBlock::Kind::weight, parameters_, sizes.out, sizes.in, sizes.taps});
    parameters_ += blocks_.back().size();
    if (sizes.bias) {
      blocks_.push_back({index, ParameterBlock::Kind::bias, parameters_, sizes.out});
      parameters_ += sizes.out;
    }
  }
  const Activation last = activation(nodes_.back().layer);
  require(last == Activation::identity, "Network", "received a last layer with ", name(last),
          ", expected identity; the loss takes the linear outputs");
  require(heads >= 1 && outputs() % heads == 0, "Network", "received ", heads, " heads for ", outputs(),
          " outputs, expected a divisor of the outputs");
}

bool Network::is_chain() const {
  for (std::size_t l = 0; l < nodes_.size(); ++l) {
    if (nodes_[l].inputs.size() != 1 || nodes_[l].inputs.front() != static_cast<std::int32_t>(l) - 1) return false;
  }
  return true;
}

std::int64_t Network::inputs() const { return nodes_.empty() ? 0 : width(-1); }

std::int64_t Network::outputs() const { return nodes_.empty() ? 0 : width(depth() - 1); }

/// The blocks from those of a node on; none for a wrong index.
std::span<const ParameterBlock> Network::blocks_of(std::int64_t layer) const {
  if (layer < 0 || layer >= depth()) return {};
  return std::span(blocks_).subspan(first_block_[static_cast<std::size_t>(layer)]);
}

LayerView<double> Network::view(std::span<double> theta, std::int64_t layer) const {
  return view_of<double>(*this, blocks_of(layer), theta, layer);
}

LayerView<const double> Network::view(std::span<const double> theta, std::int64_t layer) const {
  return view_of<const double>(*this, blocks_of(layer), theta, layer);
}

std::string Network::describe() const {
  TextStream text;
  if (is_chain()) {
    text << inputs();
    for (std::int64_t l = 0; l < depth(); ++l) text << '-' << width(l);
  } else {
    const auto adds =
        std::ranges::count_if(nodes_, [](const Node& node) { return std::holds_alternative<Add>(node.layer); });
    text << inputs() << (inputs() == 1 ? " input, " : " inputs, ") << depth() - adds
         << (depth() - adds == 1 ? " dense node, " : " dense nodes, ") << adds
         << (adds == 1 ? " Add node, " : " Add nodes, ") << outputs() << (outputs() == 1 ? " output" : " outputs");
  }
  std::optional<Activation> first;
  bool same = true;
  for (std::int64_t l = 0; l + 1 < depth(); ++l) {
    const Activation here = activation(layer(l));
    if (here == Activation::identity && !is_chain()) continue;  // most branches end in a linear layer
    same = same && here == first.value_or(here);
    first = first.value_or(here);
  }
  if (first) text << (is_chain() ? " " : ", ") << (same ? name(*first) : "mixed activations");
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
  std::vector<Dense> hidden = dense_chain(network, "hidden_activation");
  hidden.pop_back();
  const Activation first = hidden.front().activation;
  for (const Dense& layer : hidden) {
    require(layer.activation == first, "hidden_activation", "received layers with ", name(first), " and ",
            name(layer.activation), ", expected one activation");
  }
  return first;
}

std::vector<double> random_parameters(const Network& network, InitOptions options) {
  check_options(network, options);
  const std::vector<double> scales = initial_scales(network, options);
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (const ParameterBlock& block : network.blocks()) {
    const double scale = scales[static_cast<std::size_t>(block.layer)];
    Random random(options.seed,
                  static_cast<std::uint64_t>(2 * block.layer) + (block.kind == ParameterBlock::Kind::bias));
    for (std::int64_t i = 0; i < block.size(); ++i)
      theta[static_cast<std::size_t>(block.offset + i)] = scale * random.normal();
  }
  return theta;
}

}  // namespace lossatlas
