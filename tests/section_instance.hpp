// Random sections that reach every kind of plan, for the tests of section evaluation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <lossatlas/activation.hpp>
#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/section.hpp>

#include "base/random.hpp"

namespace lossatlas {

/// What the directions move. theorem1, theorem2: no weights into (some of) the first layer's units; of theorem1 all
/// layers above move too, of first_biases none, as in [C19, Theorem 1].
enum class Support { all, upper, last, all_biases, theorem1, theorem2, output_biases, first, first_biases };
enum class Targets { labels, real };

struct Problem {
  std::vector<std::int64_t> widths;
  Activation activation = Activation::tanh;
  Bias bias = Bias::all;
  std::int64_t heads = 1;
  Loss loss = Loss::cross_entropy;
  Targets targets = Targets::labels;
  Support support = Support::all;
  std::int64_t samples = 20;
  std::int64_t rank = 2;
  std::int64_t points = 5;
  std::uint64_t seed = 1;
};

struct Instance {
  Network network;
  Dataset data;
  Section section;
  Loss loss;
  std::vector<double> points;

  std::int64_t count() const { return static_cast<std::int64_t>(points.size()) / section.rank(); }
};

inline Dataset make_data(const Problem& problem, Random& random) {
  const std::int64_t features = problem.widths.front();
  const std::int64_t classes = problem.widths.back() / problem.heads;
  std::vector<double> inputs(static_cast<std::size_t>(problem.samples * features));
  for (double& x : inputs) x = random.uniform(-1, 1);
  if (problem.targets == Targets::labels) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(problem.samples));
    for (auto& label : labels) label = static_cast<std::int32_t>(random.below(classes));
    return Dataset::classification(std::move(inputs), features, std::move(labels), classes);
  }
  std::vector<double> targets(static_cast<std::size_t>(problem.samples * classes));
  for (double& y : targets) y = random.uniform(0, 1);
  if (problem.loss == Loss::cross_entropy) {
    for (std::int64_t n = 0; n < problem.samples; ++n) {
      double* y = targets.data() + n * classes;
      const double sum = std::accumulate(y, y + classes, 0.0);
      std::for_each(y, y + classes, [&](double& v) { v /= sum; });
    }
  }
  return Dataset::regression(std::move(inputs), features, std::move(targets), classes);
}

// Zeroes weights of the first layer into units first..last−1.
inline void cut_first_layer(const Network& network, std::span<double> theta, std::int64_t first, std::int64_t last) {
  const auto weight = network.view(theta, 0).weight;
  for (std::int64_t row = first; row < last; ++row) std::ranges::fill(weight.row(row), 0.0);
}

// Leaves in a direction only what the support allows it to move.
inline void restrict_direction(const Network& network, std::span<double> direction, Support support, std::int64_t cut) {
  const std::int64_t depth = network.depth();
  for (const ParameterBlock& block : network.blocks()) {
    const bool bias = block.kind == ParameterBlock::Kind::bias;
    const bool last = block.layer == depth - 1;
    bool keep = true;
    if (support == Support::first) keep = block.layer == 0;
    if (support == Support::upper) keep = block.layer >= std::min<std::int64_t>(1, depth - 1);
    if (support == Support::last) keep = last;
    if (support == Support::all_biases) keep = bias;
    if (support == Support::output_biases) keep = bias && last;
    if (support == Support::theorem2 || support == Support::first_biases) keep = bias && block.layer == 0;
    if (!keep) std::ranges::fill(direction.subspan(block.offset, block.size()), 0.0);
  }
  if (support == Support::theorem1) cut_first_layer(network, direction, 0, cut);
  if (support == Support::theorem2) {
    const auto bias = network.view(direction, 0).bias;
    std::ranges::fill(bias.subspan(static_cast<std::size_t>(cut)), 0.0);
  }
}

inline Instance make_instance(const Problem& problem) {
  Random random(problem.seed, 77);
  Network network = mlp(problem.widths, problem.activation, {.bias = problem.bias, .heads = problem.heads});
  Dataset data = make_data(problem, random);
  std::vector<double> theta = random_parameters(network, {.seed = problem.seed});
  const std::int64_t first_width = problem.widths[1];
  const std::int64_t cut = problem.support == Support::theorem2 ? (first_width + 1) / 2 : first_width;
  if (problem.support == Support::theorem1 || problem.support == Support::theorem2 ||
      problem.support == Support::first_biases) {
    cut_first_layer(network, theta, 0, cut);
  }
  std::vector<double> directions;
  for (std::int64_t i = 0; i < problem.rank; ++i) {
    std::vector<double> direction = random_parameters(network, {.seed = problem.seed * 100 + 1 + i});
    restrict_direction(network, direction, problem.support, cut);
    directions.insert(directions.end(), direction.begin(), direction.end());
  }
  std::vector<double> points(static_cast<std::size_t>(problem.points * problem.rank));
  for (double& alpha : points) alpha = random.uniform(-1, 1);
  return {
      std::move(network), std::move(data), {std::move(theta), std::move(directions)}, problem.loss, std::move(points)};
}

}  // namespace lossatlas
