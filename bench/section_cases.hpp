// The sections that are timed, all on random parameters, random data and random labels or targets.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "base/random.hpp"

namespace lossatlas::bench {

/// The size of a case: for a test, for a CPU of a few cores, or for a GPU.
enum class Size : std::uint8_t { tiny, cpu, cuda };

/// N samples, and points along each axis of the grid.
struct Extent {
  std::int64_t samples = 0;
  std::int64_t side = 0;
};

/// What a case is made of.
struct Recipe {
  std::string name;
  std::vector<std::int64_t> widths;
  std::array<Extent, 3> extents;  ///< tiny, cpu, cuda
  Section (*section)(const Network&, std::int64_t rank) = nullptr;
  Activation activation = Activation::tanh;
  Loss loss = Loss::cross_entropy;
  std::int64_t heads = 1;
  std::int64_t rank = 2;
};

struct SectionCase {
  std::string name;
  Network network;
  Dataset data;
  Loss loss = Loss::cross_entropy;
  Section section;
  Grid grid;
};

/// Normal inputs (N, d) with labels, or with normal targets if there is one output.
inline Dataset random_data(const Network& network, std::int64_t samples) {
  Random random(1, 10);
  const auto normals = [&](std::int64_t width) {
    std::vector<double> values(static_cast<std::size_t>(samples * width));
    for (double& value : values) value = random.normal();
    return values;
  };
  const std::int64_t classes = network.outputs_per_head();
  std::vector<double> inputs = normals(network.inputs());
  if (classes == 1) return Dataset::regression(std::move(inputs), network.inputs(), normals(1), 1, "random");
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(classes));
  return Dataset::classification(std::move(inputs), network.inputs(), std::move(labels), classes, "random");
}

/// Random directions in the layers `kFirst`, ..., L − 1 (counted from the end if negative), at a random origin.
template <std::int64_t kFirst>
Section random_section(const Network& network, std::int64_t rank) {
  const std::int64_t first = kFirst < 0 ? network.depth() + kFirst : kFirst;
  std::vector<double> directions;
  for (std::int64_t i = 0; i < rank; ++i) {
    std::vector<double> direction = random_parameters(network, {.seed = static_cast<std::uint64_t>(21 + i)});
    for (const ParameterBlock& block : network.blocks()) {
      if (block.layer < first) std::fill_n(direction.begin() + block.offset, block.size(), 0.0);
    }
    directions.insert(directions.end(), direction.begin(), direction.end());
  }
  return make_section(network, random_parameters(network, {.seed = 20}), std::move(directions));
}

/// The constructions of [C19]: no weights into all units of the first layer (Theorem 1) or into its first z (Theorem
/// 2); their biases are the directions.
template <bool kAllUnits>
Section bias_section(const Network& network, std::int64_t rank) {
  std::vector<double> origin = random_parameters(network, {.seed = 20});
  const auto size = static_cast<std::size_t>(network.parameter_count());
  const LayerView<double> first = network.view(std::span(origin), 0);
  const std::int64_t silent = kAllUnits ? first.weight.out : rank;
  std::fill_n(first.weight.data, silent * first.weight.in, 0.0);
  std::fill_n(first.bias.begin(), silent, 0.0);
  std::vector<double> directions(static_cast<std::size_t>(rank) * size);
  for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i) {
    network.view(std::span(directions).subspan(i * size, size), 0).bias[i] = 1;
  }
  return make_section(network, std::move(origin), std::move(directions));
}

/// On a CPU of two cores one evaluation takes a tenth of a second to one second, several with 60 000 samples; on a GPU,
/// G is that of a typical picture.
inline std::vector<Recipe> recipes() {
  const std::vector<std::int64_t> usual = {784, 256, 256, 10};
  const auto all = random_section<0>, second = random_section<1>, last = random_section<-1>;
  constexpr Loss mse = Loss::mean_squared_error;
  return {
      {.name = "dense", .widths = usual, .extents = {{{40, 3}, {1000, 21}, {1000, 256}}}, .section = all},
      {.name = "dense_60k", .widths = usual, .extents = {{{90, 2}, {60000, 9}, {60000, 256}}}, .section = all},
      {.name = "deep",
       .widths = {784, 500, 300, 100, 10},
       .extents = {{{30, 2}, {1000, 12}, {1000, 256}}},
       .section = all},
      {.name = "shallow",
       .widths = {10, 500, 1},
       .extents = {{{40, 9}, {1000, 64}, {1000, 1024}}},
       .section = all,
       .loss = mse},
      {.name = "theorem1",
       .widths = {784, 128, 128, 128, 30},
       .extents = {{{40, 9}, {1000, 512}, {1000, 1024}}},
       .section = bias_section<true>,
       .heads = 3},
      {.name = "theorem2",
       .widths = usual,
       .extents = {{{40, 9}, {1000, 64}, {1000, 256}}},
       .section = bias_section<false>},
      {.name = "last_mse",
       .widths = usual,
       .extents = {{{40, 9}, {1000, 201}, {1000, 1024}}},
       .section = last,
       .loss = mse},
      {.name = "last_ce", .widths = usual, .extents = {{{40, 9}, {1000, 128}, {1000, 1024}}}, .section = last},
      {.name = "prefix", .widths = usual, .extents = {{{40, 5}, {1000, 41}, {1000, 256}}}, .section = second},
      {.name = "relu",
       .widths = usual,
       .extents = {{{40, 3}, {1000, 21}, {1000, 256}}},
       .section = all,
       .activation = Activation::relu},
      {.name = "line", .widths = usual, .extents = {{{40, 9}, {1000, 441}, {1000, 65536}}}, .section = all, .rank = 1},
      {.name = "volume", .widths = usual, .extents = {{{40, 2}, {1000, 8}, {1000, 40}}}, .section = all, .rank = 3},
  };
}

inline SectionCase make_case(const Recipe& recipe, const Extent& extent) {
  const Network network = mlp(recipe.widths, recipe.activation, {.heads = recipe.heads});
  const std::vector<std::int64_t> shape(static_cast<std::size_t>(recipe.rank), extent.side);
  return {recipe.name,
          network,
          random_data(network, extent.samples),
          recipe.loss,
          recipe.section(network, recipe.rank),
          Grid::box(-1, 1, shape)};
}

inline SectionCase make_case(const Recipe& recipe, Size size) {
  return make_case(recipe, recipe.extents[static_cast<std::size_t>(size)]);
}

/// Up to 64 different random points of a grid, ascending, at which errors are measured.
inline std::vector<std::int64_t> checked_points(const Grid& grid) {
  constexpr std::int64_t count = 64;
  std::vector<std::int64_t> points;
  Random random(1, 30);
  while (static_cast<std::int64_t>(points.size()) < std::min(count, grid.size())) {
    const std::int64_t point = random.below(grid.size());
    if (std::find(points.begin(), points.end(), point) == points.end()) points.push_back(point);
  }
  std::sort(points.begin(), points.end());
  return points;
}

}  // namespace lossatlas::bench
