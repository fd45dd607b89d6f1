// The sections that are timed, all on random parameters, random data and random labels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "random.hpp"

namespace lossatlas::bench {

struct SectionCase {
  std::string name;
  Network network;
  Dataset data;
  Loss loss = Loss::cross_entropy;
  Section section;
  Grid grid;
  std::vector<Precision> precisions;  ///< those in which the plan runs
  int calls = 1;                      ///< evaluations in one timing, so that it takes about a tenth of a second
};

/// N = 1000 samples of 784 normal inputs, each with one of ten labels.
inline Dataset random_data() {
  constexpr std::int64_t samples = 1000, features = 784, classes = 10;
  Random random(1, 10);
  std::vector<double> inputs(static_cast<std::size_t>(samples * features));
  for (double& value : inputs) value = random.normal();
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(classes));
  return Dataset::classification(std::move(inputs), features, std::move(labels), classes, "random");
}

/// Two random directions in the layers `first`, ..., L − 1, at a random origin.
inline Section random_section(const Network& network, std::int64_t first) {
  std::vector<double> directions;
  for (const std::uint64_t seed : {21, 22}) {
    std::vector<double> direction = random_parameters(network, {.seed = seed});
    for (const ParameterBlock& block : network.blocks()) {
      if (block.layer < first) std::fill_n(direction.begin() + block.offset, block.size(), 0.0);
    }
    directions.insert(directions.end(), direction.begin(), direction.end());
  }
  return make_section(network, random_parameters(network, {.seed = 20}), std::move(directions));
}

/// The construction of Theorem 1 of [C19]: no weights in the first layer, whose first two biases are the directions.
inline Section theorem1_section(const Network& network) {
  std::vector<double> origin = random_parameters(network, {.seed = 20});
  const auto size = static_cast<std::size_t>(network.parameter_count());
  std::vector<double> directions(2 * size);
  for (std::size_t i = 0; i < 2; ++i) {
    network.view(std::span(directions).subspan(i * size, size), 0).bias[i] = 1;
  }
  const LayerView<double> first = network.view(std::span(origin), 0);
  std::fill_n(first.weight.data, first.weight.rows * first.weight.cols, 0.0);
  std::fill(first.bias.begin(), first.bias.end(), 0.0);
  return make_section(network, std::move(origin), std::move(directions));
}

/// dense: both directions in every layer. prefix: the first layer at rest. theorem1: three heads, no dependence on the
/// inputs. quadratic: mean squared error, the last layer alone moves; such a plan is f64 always.
inline std::vector<SectionCase> section_cases() {
  const Dataset data = random_data();
  const Network deep = mlp({784, 256, 256, 10}, Activation::tanh);
  const Network heads = mlp({784, 64, 2048, 30}, Activation::tanh, {.heads = 3});
  const std::vector<Precision> both = {Precision::f32, Precision::f64};
  return {
      {"dense", deep, data, Loss::cross_entropy, random_section(deep, 0), Grid::box(-1, 1, {21, 21}), both, 1},
      {"prefix", deep, data, Loss::cross_entropy, random_section(deep, 1), Grid::box(-1, 1, {41, 41}), both, 1},
      {"theorem1", heads, data, Loss::cross_entropy, theorem1_section(heads), Grid::unit({128, 128}), both, 2},
      {"quadratic",
       deep,
       data,
       Loss::mean_squared_error,
       random_section(deep, 2),
       Grid::box(-1, 1, {201, 201}),
       {Precision::f64},
       10},
  };
}

}  // namespace lossatlas::bench
