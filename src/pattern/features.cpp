#include "pattern/features.hpp"

#include <cmath>

#include "base/random.hpp"
#include "model/graph.hpp"

namespace lossatlas {
namespace {

constexpr double kBiasSpread = 0.5;  // of the biases above the first layer, relative to the weights' sums

/// An activation's scale in units of tanh's: sigmoid(x) = (1 + tanh(x/2))/2.
double gain(Activation activation) { return activation == Activation::sigmoid ? 2 : 1; }

/// Ridges φ(slope·d·(h − h₀)): d uniform on the sphere, h₀ uniform in the box.
void even_first_layer(const LayerView<double>& view, double slope, bool alone, Random& random) {
  const std::int64_t rank = view.weight.in;
  for (std::int64_t j = 0; j < view.weight.out; ++j) {
    double length = 0;
    for (double& w : view.weight.row(j)) {
      w = random.normal();
      length += w * w;
    }
    // With no layer above to mix them, ridges of several slopes take its place.
    const double factor = slope * (alone ? std::exp(random.uniform(-1, 1)) : 1) / std::sqrt(length);
    double offset = 0;
    for (std::int64_t i = 0; i < rank; ++i) {
      view.weight(j, i) *= factor;
      offset -= view.weight(j, i) * random.uniform();
    }
    view.bias[static_cast<std::size_t>(j)] = offset;
  }
}

}  // namespace

std::vector<double> even_features(const Network& network, EvenScale scale, std::uint64_t seed) {
  const std::vector<Dense> layers = dense_chain(network, "even_features");
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()), 0.0);
  const std::int64_t hidden = network.depth() - 1;
  for (std::int64_t l = 0; l < hidden; ++l) {
    const Dense& layer = layers[static_cast<std::size_t>(l)];
    const auto view = network.view(std::span<double>(theta), l);
    Random random(seed, 0xf0 + static_cast<std::uint64_t>(l));
    if (l == 0) {
      even_first_layer(view, scale.first * gain(layer.activation), hidden == 1, random);
      continue;
    }
    const double below = gain(layers[static_cast<std::size_t>(l - 1)].activation);
    const double spread = scale.upper * gain(layer.activation) * below / std::sqrt(static_cast<double>(layer.in));
    for (std::int64_t j = 0; j < layer.out; ++j) {
      double centre = 0;
      for (double& w : view.weight.row(j)) centre += w = spread * random.normal();
      // A sigmoid's outputs lie around 1/2, not 0.
      const double shift = below > 1 ? -centre / 2 : 0;
      view.bias[static_cast<std::size_t>(j)] =
          shift + kBiasSpread * scale.upper * gain(layer.activation) * random.normal();
    }
  }
  return theta;
}

}  // namespace lossatlas
