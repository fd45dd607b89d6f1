// Random networks with data and parameters, problems whose θ is critical by construction, and Hessians by dual numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>

#include "base/random.hpp"
#include "reference/oracle.hpp"

namespace lossatlas::reference {

struct RandomProblem {
  Network network;
  Dataset data;
  Loss loss;
  std::vector<double> theta;
  std::uint64_t seed;

  std::string describe() const {
    std::string text = network.describe() + ", " + std::string(name(loss)) + ", biases ";
    for (std::int64_t l = 0; l < network.depth(); ++l) {
      text += network.view(std::span(theta), l).bias.empty() ? 'n' : 'y';
    }
    return text + ", seed " + std::to_string(seed);
  }
};

/// Standard normal inputs with labels (cross entropy) or standard normal targets.
inline Dataset random_data(Random& random, std::int64_t samples, std::int64_t features, std::int64_t outputs,
                           Loss loss) {
  std::vector<double> inputs(static_cast<std::size_t>(samples * features));
  for (double& value : inputs) value = random.normal();
  if (loss == Loss::mean_squared_error) {
    std::vector<double> targets(static_cast<std::size_t>(samples * outputs));
    for (double& value : targets) value = random.normal();
    return Dataset::regression(std::move(inputs), features, std::move(targets), outputs);
  }
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (auto& label : labels) label = static_cast<std::int32_t>(random.below(outputs));
  return Dataset::classification(std::move(inputs), features, std::move(labels), outputs);
}

struct RandomProblemOptions {
  std::int64_t depth = 2;
  Loss loss = Loss::mean_squared_error;
  Bias bias = Bias::all;
  std::int64_t widest = 3;  ///< inputs, hidden widths and outputs per head are drawn from 1 (cross entropy: 2) to this
  std::int64_t samples = 24;
};

/// Hidden layers with a random activation each, 1 or 2 heads, θ ~ N(0, 1).
inline RandomProblem random_problem(std::uint64_t seed, const RandomProblemOptions& options) {
  Random random(seed);
  const bool entropy = options.loss == Loss::cross_entropy;
  const std::int64_t heads = 1 + random.below(2);
  const std::int64_t outputs = entropy ? 2 + random.below(options.widest - 1) : 1 + random.below(options.widest);
  std::vector<Layer> layers;
  std::int64_t in = 1 + random.below(options.widest);
  const std::int64_t features = in;
  for (std::int64_t l = 0; l < options.depth; ++l) {
    const bool last = l + 1 == options.depth;
    const std::int64_t out = last ? heads * outputs : 1 + random.below(options.widest);
    const auto kinds = static_cast<std::int64_t>(all_activations().size());
    const Activation activation =
        last ? Activation::identity : all_activations()[static_cast<std::size_t>(1 + random.below(kinds - 1))];
    const bool bias = options.bias == Bias::all || (options.bias == Bias::hidden && !last);
    layers.emplace_back(Dense{in, out, bias, activation});
    in = out;
  }
  Network network(std::move(layers), heads);
  Dataset data = random_data(random, options.samples, features, outputs, options.loss);
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (double& value : theta) value = random.normal();
  return {std::move(network), std::move(data), options.loss, std::move(theta), seed};
}

/// Residual blocks a ← φ(a + W' φ'(W a)), where a is at first x itself or a dense layer of it; the last block may add
/// three values, and the output is a dense layer or, without one, the sum of two. Random activations and biases, 1 or 2
/// heads, θ ~ N(0, 1/4). options.depth is the number of blocks.
inline RandomProblem random_residual(std::uint64_t seed, const RandomProblemOptions& options) {
  Random random(seed, 7);
  const bool entropy = options.loss == Loss::cross_entropy;
  const std::int64_t heads = 1 + random.below(2);
  const std::int64_t outputs = entropy ? 2 + random.below(options.widest - 1) : 1 + random.below(options.widest);
  const std::int64_t features = 1 + random.below(options.widest);
  const auto kinds = static_cast<std::int64_t>(all_activations().size());
  const auto any = [&] { return all_activations()[static_cast<std::size_t>(random.below(kinds))]; };
  const auto bias = [&] { return options.bias == Bias::all || (options.bias == Bias::hidden && random.below(2) != 0); };
  std::vector<Node> nodes;
  const auto append = [&](Layer layer, std::vector<std::int32_t> inputs) {
    nodes.push_back({std::move(layer), std::move(inputs)});
    return static_cast<std::int32_t>(nodes.size()) - 1;
  };
  std::int32_t at = -1;
  std::int64_t width = features;
  if (random.below(2) != 0) {
    width = 1 + random.below(options.widest);
    at = append(Dense{features, width, bias(), any()}, {-1});
  }
  for (std::int64_t block = 0; block < options.depth; ++block) {
    const std::int64_t inner = 1 + random.below(options.widest);
    const std::int32_t first = append(Dense{width, inner, bias(), any()}, {at});
    const std::int32_t second = append(Dense{inner, width, bias(), Activation::identity}, {first});
    std::vector<std::int32_t> terms{at, second};
    if (random.below(3) == 0) terms.push_back(append(Dense{width, width, bias(), any()}, {at}));
    if (random.below(4) == 0) terms.push_back(second);
    at = append(Add{any()}, terms);
  }
  const std::int32_t last = append(Dense{width, heads * outputs, bias(), Activation::identity}, {at});
  if (random.below(2) != 0) {
    append(Add{}, {append(Dense{features, heads * outputs, bias(), any()}, {-1}), last});
  }
  Network network(std::move(nodes), heads);
  Dataset data = random_data(random, options.samples, features, outputs, options.loss);
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (double& value : theta) value = 0.5 * random.normal();
  return {std::move(network), std::move(data), options.loss, std::move(theta), seed};
}

/// ∇²R (M, M): column m is the derivative of the oracle's gradient along parameter m.
inline std::vector<double> dual_hessian(const Network& network, const std::vector<double>& theta, const Dataset& data,
                                        Loss loss) {
  const std::size_t size = theta.size();
  std::vector<double> result(size * size);
  for (std::size_t m = 0; m < size; ++m) {
    std::vector<Dual<double>> point = lift<Dual<double>>(theta);
    point[m].d = 1;
    const std::vector<Dual<double>> column = gradient(network, point, data, loss);
    for (std::size_t i = 0; i < size; ++i) result[i * size + m] = column[i].d;
  }
  return result;
}

/// The same inputs with targets f_θ(x_n) + r_n, where r is orthogonal to every column of the Jacobian and ‖r‖²/N = 1
/// (mean squared error, one head): ∇R(θ) = 0 up to rounding, with residuals that do not vanish. N·C must exceed M.
inline Dataset make_critical(const Network& network, const std::vector<double>& theta, const Dataset& data,
                             std::uint64_t seed) {
  const std::size_t outputs = static_cast<std::size_t>(network.outputs());
  const std::size_t rows = static_cast<std::size_t>(data.size()) * outputs;
  std::vector<double> targets;
  std::vector<std::vector<long double>> basis(theta.size(), std::vector<long double>(rows));
  for (std::size_t n = 0; n < static_cast<std::size_t>(data.size()); ++n) {
    const std::vector<long double> point = lift<long double>(theta);
    const Trace<long double> trace = forward(network, point, data.input(static_cast<std::int64_t>(n)));
    for (std::size_t c = 0; c < outputs; ++c) {
      targets.push_back(static_cast<double>(trace.values.back()[c]));
      std::vector<long double> unit(outputs, 0.0L), row(theta.size(), 0.0L);
      unit[c] = 1;
      pull_back(network, point, trace, unit, row);
      for (std::size_t m = 0; m < row.size(); ++m) basis[m][n * outputs + c] = row[m];
    }
  }
  Random random(seed);
  basis.emplace_back();
  for (std::size_t i = 0; i < rows; ++i) basis.back().push_back(random.normal());
  const auto dot = [](const auto& a, const auto& b) {
    long double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (std::size_t k = 0; k < basis.size(); ++k) {
    const long double before = std::sqrt(dot(basis[k], basis[k]));
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < k; ++j) {
        const long double along = dot(basis[j], basis[k]);
        for (std::size_t i = 0; i < rows; ++i) basis[k][i] -= along * basis[j][i];
      }
    }
    const long double length = std::sqrt(dot(basis[k], basis[k]));
    for (long double& value : basis[k]) value = length > 1e-13L * before ? value / length : 0;
  }
  const double scale = std::sqrt(static_cast<double>(data.size()));
  for (std::size_t i = 0; i < rows; ++i) targets[i] += scale * static_cast<double>(basis.back()[i]);
  return Dataset::regression({data.inputs().begin(), data.inputs().end()}, data.features(), std::move(targets),
                             network.outputs());
}

}  // namespace lossatlas::reference
