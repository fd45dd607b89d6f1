// Random smooth sections, for the tests of Chebyshev interpolation.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/dataset.hpp>
#include <lossatlas/landscape.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/surface.hpp>

#include "base/random.hpp"
#include "reference/random_problem.hpp"

namespace lossatlas::testing {

inline constexpr std::array kSmooth = {Activation::tanh, Activation::sigmoid, Activation::softplus, Activation::gelu};

/// A landscape with a section of random directions of the parameters' own norm.
struct Case {
  Network network;
  Dataset data;
  Loss loss;
  Section section;
  Landscape landscape;
};

struct Profile {
  std::int64_t layers = 2;
  std::int64_t rank = 2;
  std::int64_t heads = 1;
  Activation activation = Activation::tanh;
  Loss loss = Loss::cross_entropy;
  double length = 1;  ///< of the directions, in norms of the parameters
};

inline Case random_case(const Profile& shape, Random& random, const Device& device = Device::cpu({.threads = 2})) {
  const std::int64_t classes = 2 + random.below(3);
  std::vector<std::int64_t> widths = {1 + random.below(6)};
  for (std::int64_t l = 1; l < shape.layers; ++l) widths.push_back(2 + random.below(8));
  widths.push_back(shape.heads * classes);
  Network network = mlp(widths, shape.activation, {.heads = shape.heads});
  Dataset data = reference::random_data(random, 1 + random.below(24), widths[0], classes, shape.loss);
  std::vector<double> theta = random_parameters(network, {.seed = random.bits()});
  std::vector<double> directions = random_directions(
      network, theta,
      {.count = shape.rank, .seed = random.bits(), .normalisation = Normalisation::layer, .bias = BiasDirection::copy});
  for (double& entry : directions) entry *= shape.length;
  Section section = make_section(network, std::move(theta), std::move(directions));
  Landscape landscape(network, data, shape.loss, device);
  return {std::move(network), std::move(data), shape.loss, std::move(section), std::move(landscape)};
}

/// The largest |a − b| over the head's scale; infinite where one is NaN.
inline double relative_error(const Surface& a, const Surface& b, std::span<const double> scale) {
  double worst = 0;
  for (std::size_t at = 0; at < a.losses.size(); ++at) {
    const double error = std::abs(a.losses[at] - b.losses[at]) / scale[at % scale.size()];
    if (!(error <= worst)) worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
  }
  return worst;
}

inline std::int64_t product(std::span<const std::int64_t> counts) {
  std::int64_t result = 1;
  for (const std::int64_t count : counts) result *= count;
  return result;
}

inline std::vector<double> points_of(const Grid& grid) {
  const auto z = static_cast<std::size_t>(grid.rank());
  std::vector<double> points(static_cast<std::size_t>(grid.size()) * z);
  for (std::int64_t g = 0; g < grid.size(); ++g) {
    grid.point(g, std::span(points).subspan(static_cast<std::size_t>(g) * z, z));
  }
  return points;
}

}  // namespace lossatlas::testing
