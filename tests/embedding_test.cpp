// Embeddings: layout, function and gradient map against the oracle, families, null neurons, round trips, bad arguments.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/embedding.hpp>
#include <lossatlas/spectrum.hpp>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;
using reference::RandomProblem;

constexpr double kAlphas[] = {-0.5, 0, 0.25, 0.5, 1, 1.5};

/// Random problems of every depth, loss and use of biases.
std::vector<RandomProblem> problems(std::uint64_t seed) {
  std::vector<RandomProblem> result;
  for (const std::int64_t depth : {2, 3, 4}) {
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
      for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
        result.push_back(reference::random_problem(seed++, {.depth = depth, .loss = loss, .bias = bias}));
      }
    }
  }
  return result;
}

std::int64_t width(const Network& network, std::int64_t layer) {
  return network.width(layer);
}

/// The largest |f_wide(x) − f(x)| over the data, relative to the largest output.
double output_change(const RandomProblem& problem, const Network& wide, const std::vector<double>& theta) {
  double worst = 0, scale = 1;
  for (std::int64_t n = 0; n < problem.data.size(); ++n) {
    const auto expected = reference::outputs(problem.network, problem.theta, problem.data.input(n));
    const auto actual = reference::outputs(wide, theta, problem.data.input(n));
    worst = std::max(worst, max_difference(expected, actual));
    for (const double value : expected) scale = std::max(scale, std::abs(value));
  }
  return worst / scale;
}

/// The largest magnitude; infinite where one is NaN.
double largest(const std::vector<double>& values) { return max_difference(values, std::vector<double>(values.size())); }

/// What docs/theory.md, section 4, says ∇R becomes when neuron s of `layer` is split.
std::vector<double> split_gradient(const Network& network, const std::vector<double>& gradient, const Network& wide,
                                   const Split& split) {
  std::vector<double> result(static_cast<std::size_t>(wide.parameter_count()));
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    const auto from = network.view(std::span<const double>(gradient), l);
    const auto to = wide.view(std::span<double>(result), l);
    for (std::int64_t i = 0; i < to.weight.out; ++i) {
      const bool copy = i == from.weight.out, here = l + 1 == split.layer;
      const std::int64_t row = copy ? split.neuron : i;
      const double factor = here && copy ? split.alpha : here && i == split.neuron ? 1 - split.alpha : 1;
      for (std::int64_t j = 0; j < to.weight.in; ++j) {
        to.weight(i, j) = factor * from.weight(row, j == from.weight.in ? split.neuron : j);
      }
      if (!to.bias.empty()) to.bias[static_cast<std::size_t>(i)] = factor * from.bias[static_cast<std::size_t>(row)];
    }
  }
  return result;
}

/// The copies of each neuron put together again.
std::vector<double> merged(const Network& network, const Embedding& embedding) {
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (std::int64_t l = 0; l < network.depth(); ++l) {
    const auto from = embedding.network.view(std::span<const double>(embedding.theta), l);
    const auto to = network.view(std::span<double>(theta), l);
    for (std::int64_t i = 0; i < from.weight.out; ++i) {
      std::int64_t row = i;
      if (l + 1 < network.depth()) row = embedding.source[static_cast<std::size_t>(l)][static_cast<std::size_t>(i)];
      if (row < 0) continue;
      for (std::int64_t j = 0; j < to.weight.in; ++j) to.weight(row, j) = 0;
      for (std::int64_t j = 0; j < from.weight.in; ++j) {
        std::int64_t col = j;
        if (l > 0) col = embedding.source[static_cast<std::size_t>(l - 1)][static_cast<std::size_t>(j)];
        if (col >= 0) to.weight(row, col) += from.weight(i, j);
      }
      if (!to.bias.empty()) to.bias[static_cast<std::size_t>(row)] = from.bias[static_cast<std::size_t>(i)];
    }
  }
  return theta;
}

TEST(Embedding, LayoutOfOneSplit) {
  const Network network = mlp({1, 2, 1}, Activation::tanh);
  const std::vector<double> theta = {1, 2, 3, 4, 5, 6, 7};  // W₁, b₁, W₂, b₂
  const Embedding wide = split_neuron(network, theta, {.layer = 1, .neuron = 0, .alpha = 0.25});
  EXPECT_EQ(wide.network, mlp({1, 3, 1}, Activation::tanh));
  EXPECT_EQ(wide.theta, (std::vector<double>{1, 2, 1, 3, 4, 3, 3.75, 6, 1.25, 7}));
  EXPECT_EQ(wide.source, (std::vector<std::vector<std::int64_t>>{{0, 1, 0}}));
  EXPECT_EQ(wide.share, (std::vector<std::vector<double>>{{0.75, 1, 0.25}}));
}

TEST(Embedding, SplitKeepsOutputsAndRiskAndMapsTheGradient) {
  std::uint64_t seed = 100;
  for (const RandomProblem& problem : problems(seed)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const auto gradient = reference::gradient(problem.network, problem.theta, problem.data, problem.loss);
    const double risk = reference::risk(problem.network, problem.theta, problem.data, problem.loss);
    for (std::int64_t layer = 1; layer < problem.network.depth(); ++layer) {
      for (const double alpha : kAlphas) {
        const Split split{layer, width(problem.network, layer - 1) - 1, alpha};
        const Embedding wide = split_neuron(problem.network, problem.theta, split);
        const std::string which = problem.describe() + ", layer " + std::to_string(layer);
        EXPECT_LT(output_change(problem, wide.network, wide.theta), 1e-13) << which;
        EXPECT_NEAR(reference::risk(wide.network, wide.theta, problem.data, problem.loss), risk, 1e-13 * (1 + risk));
        const auto expected = split_gradient(problem.network, gradient, wide.network, split);
        const double tolerance = 1e-12 * (1 + largest(gradient));
        EXPECT_LT(max_difference(reference::gradient(wide.network, wide.theta, problem.data, problem.loss), expected),
                  tolerance)
            << which;
        const EmbeddingCertificate certificate = certify(landscape, problem.theta, wide);
        EXPECT_LT(certificate.output_change, tolerance);
        EXPECT_LT(certificate.loss_change, 1e-12 * (1 + risk));
        EXPECT_LT(certificate.gradient_residual, tolerance) << which;
        double before = 0, after = 0;
        for (const double value : gradient) before += std::abs(value);
        for (const double value : expected) after += std::abs(value);
        EXPECT_NEAR(certificate.narrow_gradient_l1, before, 1e-12 * (1 + before));
        EXPECT_NEAR(certificate.wide_gradient_l1, after, 1e-12 * (1 + after));
      }
    }
  }
}

TEST(Embedding, CertificateSeesAWrongEmbedding) {
  const RandomProblem problem = reference::random_problem(7, {.depth = 3});
  const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
  Embedding wide = split_neuron(problem.network, problem.theta, {.layer = 2});
  wide.theta[0] += 1e-3;
  EXPECT_GT(certify(landscape, problem.theta, wide).output_change, 1e-6);
  EXPECT_GT(certify(landscape, problem.theta, wide).gradient_residual, 1e-6);
  wide.theta[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(certify(landscape, problem.theta, wide).output_change));
  EXPECT_TRUE(std::isnan(certify(landscape, problem.theta, wide).gradient_residual));
}

TEST(Embedding, StepsComposeAndWeightsAreShares) {
  for (const RandomProblem& problem : problems(200)) {
    const std::int64_t last = problem.network.depth() - 1;
    const Split steps[] = {{1, 0, 0.25}, {last, 0, -0.5}, {1, width(problem.network, 0), 0.75}};
    if (last == 1) continue;
    const Embedding all = embed(problem.network, problem.theta, std::span<const Split>(steps));
    Embedding one{problem.network, problem.theta, {}, {}};
    for (const Split& step : steps) one = split_neuron(one.network, one.theta, step);
    EXPECT_EQ(all.network, one.network);
    EXPECT_LT(max_difference(all.theta, one.theta), 1e-15 * (1 + largest(one.theta)));
    EXPECT_EQ(all.share.front().front(), 0.75);
    EXPECT_EQ(all.share.front().back(), 0.25 * 0.75);
    EXPECT_LT(output_change(problem, all.network, all.theta), 1e-13);
    EXPECT_LT(max_difference(merged(problem.network, all), problem.theta), 1e-14 * largest(problem.theta));
  }
}

TEST(Embedding, GeneralSharesOfAnySign) {
  std::uint64_t seed = 300;
  for (const RandomProblem& problem : problems(seed)) {
    const std::vector<double> weights = {0.5, -1.25, 0, 1.5, 0.25};
    const std::int64_t layer = problem.network.depth() - 1;
    const Embedding wide = split_neuron(problem.network, problem.theta, layer, 0, weights);
    EXPECT_EQ(width(wide.network, layer - 1), width(problem.network, layer - 1) + 4);
    EXPECT_EQ(wide.share[static_cast<std::size_t>(layer - 1)].front(), 0.5);
    EXPECT_EQ(wide.share[static_cast<std::size_t>(layer - 1)].back(), 0.25);
    EXPECT_LT(output_change(problem, wide.network, wide.theta), 1e-13) << problem.describe();
    EXPECT_LT(max_difference(merged(problem.network, wide), problem.theta), 1e-14 * largest(problem.theta));
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    const EmbeddingCertificate certificate = certify(landscape, problem.theta, wide);
    EXPECT_LT(certificate.gradient_residual, 1e-12 * (1 + certificate.narrow_gradient_l1));
  }
}

TEST(Embedding, WeightedStepsCompose) {
  for (const RandomProblem& problem : problems(250)) {
    const std::int64_t last = problem.network.depth() - 1, appended = width(problem.network, last - 1);
    const WeightedSplit steps[] = {{last, 0, {0.5, 0.75, -0.25}}, {1, 0, {1}}, {last, appended, {0.4, 0.6}}};
    const Embedding all = embed(problem.network, problem.theta, std::span<const WeightedSplit>(steps));
    Embedding one{problem.network, problem.theta, {}, {}};
    for (const auto& [layer, neuron, weights] : steps) {
      one = split_neuron(one.network, one.theta, layer, neuron, weights);
    }
    EXPECT_EQ(all.network, one.network);
    EXPECT_LT(max_difference(all.theta, one.theta), 1e-15 * (1 + largest(one.theta)));
    const auto& share = all.share[static_cast<std::size_t>(last - 1)];
    EXPECT_EQ(share.front(), 0.5);
    EXPECT_EQ(std::vector<double>(share.end() - 3, share.end()), (std::vector<double>{0.4 * 0.75, -0.25, 0.6 * 0.75}));
    EXPECT_LT(output_change(problem, all.network, all.theta), 1e-13);
    EXPECT_LT(max_difference(merged(problem.network, all), problem.theta), 1e-14 * largest(problem.theta));
  }
}

TEST(Embedding, AlphaIsAPairOfWeights) {
  const RandomProblem problem = reference::random_problem(6, {.depth = 3});
  const Split steps[] = {{1, 0, 0.25}, {2, 0, 1.5}};
  const WeightedSplit weighted[] = {{1, 0, {0.75, 0.25}}, {2, 0, {-0.5, 1.5}}};
  EXPECT_EQ(embed(problem.network, problem.theta, std::span<const Split>(steps)).theta,
            embed(problem.network, problem.theta, std::span<const WeightedSplit>(weighted)).theta);
}

TEST(Embedding, ToWidthsByGivenShares) {
  const Network network = mlp({2, 2, 3, 1}, Activation::sigmoid);
  const std::vector<double> theta = random_parameters(network, {.seed = 4});
  const std::vector<std::vector<double>> shares = {{0.5, -0.25, 0.3, 1.25, 0.2}, {1, 0.125, 1, 0, 0.875}};
  const Embedding wide = embed(network, theta, shares);
  EXPECT_EQ(wide.network, mlp({2, 5, 5, 1}, Activation::sigmoid));
  EXPECT_EQ(wide.source, (std::vector<std::vector<std::int64_t>>{{0, 1, 0, 1, 0}, {0, 1, 2, 0, 1}}));
  EXPECT_EQ(wide.share, shares);
  const auto last = wide.network.view(std::span<const double>(wide.theta), 2).weight;
  EXPECT_DOUBLE_EQ(last(0, 4), 0.875 * network.view(std::span<const double>(theta), 2).weight(0, 1));
  EXPECT_LT(max_difference(merged(network, wide), theta), 1e-15 * (1 + largest(theta)));
}

TEST(Embedding, EqualSharesGivenAreTheEqualRule) {
  for (const RandomProblem& problem : problems(270)) {
    std::vector<std::int64_t> widths;
    for (std::int64_t l = 0; l + 1 < problem.network.depth(); ++l) widths.push_back(2 * width(problem.network, l) + 1);
    const Embedding equal = embed(problem.network, problem.theta, std::span<const std::int64_t>(widths));
    const Embedding given = embed(problem.network, problem.theta, equal.share);
    EXPECT_EQ(given.theta, equal.theta) << problem.describe();
    EXPECT_LT(output_change(problem, given.network, given.theta), 1e-13) << problem.describe();
  }
}

TEST(Embedding, ToWidthsByEqualShares) {
  const Network network = mlp({2, 2, 3, 1}, Activation::sigmoid);
  const std::vector<double> theta = random_parameters(network, {.seed = 4});
  const std::int64_t widths[] = {5, 3};
  const Embedding wide = embed(network, theta, std::span<const std::int64_t>(widths));
  EXPECT_EQ(wide.network, mlp({2, 5, 3, 1}, Activation::sigmoid));
  EXPECT_EQ(wide.source.front(), (std::vector<std::int64_t>{0, 1, 0, 1, 0}));
  EXPECT_EQ(wide.share.front(), (std::vector<double>{1.0 / 3, 0.5, 1.0 / 3, 0.5, 1.0 / 3}));
  EXPECT_EQ(wide.share.back(), (std::vector<double>{1, 1, 1}));
  EXPECT_LT(max_difference(merged(network, wide), theta), 1e-15 * (1 + largest(theta)));
}

TEST(Embedding, EveryNeuronTenTimesAtAllDepths) {
  for (const RandomProblem& problem : problems(350)) {
    std::vector<std::int64_t> widths;
    for (std::int64_t l = 0; l + 1 < problem.network.depth(); ++l) widths.push_back(10 * width(problem.network, l) + 1);
    const Embedding wide = embed(problem.network, problem.theta, std::span<const std::int64_t>(widths));
    EXPECT_LT(output_change(problem, wide.network, wide.theta), 1e-13) << problem.describe();
    EXPECT_LT(max_difference(merged(problem.network, wide), problem.theta), 1e-14 * largest(problem.theta));
  }
}

/// Rank of `count` rows by the eigenvalues of their Gram matrix.
std::int64_t rank_of(const std::vector<double>& rows, std::size_t count) {
  const std::size_t size = rows.size() / count;
  std::vector<double> gram(count * count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) {
      for (std::size_t m = 0; m < size; ++m) gram[i * count + j] += rows[i * size + m] * rows[j * size + m];
    }
  }
  return symmetric_spectrum(gram, static_cast<std::int64_t>(count)).inertia.positive;
}

TEST(EmbeddingFamily, HasTheSameFunctionEverywhere) {
  Random random(11);
  for (const RandomProblem& problem : problems(400)) {
    const std::int64_t last = problem.network.depth() - 1;
    const std::vector<Split> splits = {{1, 0}, {last, width(problem.network, last - 1) - 1}, {1, 0}};
    const EmbeddingFamily family = embedding_family(problem.network, problem.theta, splits);
    const std::size_t size = family.base.theta.size();
    ASSERT_EQ(family.directions.size(), 3 * size);
    EXPECT_EQ(family.rank, 3) << problem.describe();
    EXPECT_EQ(rank_of(family.directions, 3), 3);
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    for (int draw = 0; draw < 4; ++draw) {
      std::vector<double> theta = family.base.theta;
      for (std::size_t k = 0; k < 3; ++k) {
        const double c = random.uniform(-2, 2);
        for (std::size_t m = 0; m < size; ++m) theta[m] += c * family.directions[k * size + m];
      }
      EXPECT_LT(output_change(problem, family.base.network, theta), 1e-13) << problem.describe();
    }
  }
}

TEST(EmbeddingFamily, IsWhatSplitsReach) {
  const RandomProblem problem = reference::random_problem(5, {.depth = 4, .widest = 4});
  const std::vector<Split> splits = {{1, 0, 0.3}, {2, 0, -0.7}, {3, 0, 1.4}};
  const EmbeddingFamily family = embedding_family(problem.network, problem.theta, splits);
  const Embedding wide = embed(problem.network, problem.theta, splits);
  std::vector<double> theta = family.base.theta;
  for (std::size_t k = 0; k < splits.size(); ++k) {
    for (std::size_t m = 0; m < theta.size(); ++m) {
      theta[m] += splits[k].alpha * family.directions[k * theta.size() + m];
    }
  }
  EXPECT_EQ(family.base.network, wide.network);
  EXPECT_LT(max_difference(theta, wide.theta), 1e-15 * (1 + largest(theta)));
}

TEST(EmbeddingFamily, ANeuronWithoutOutputsAddsNoDimension) {
  const Network network = mlp({2, 3, 2}, Activation::tanh);
  std::vector<double> theta = random_parameters(network, {.seed = 9});
  const auto last = network.view(std::span<double>(theta), 1);
  for (std::int64_t i = 0; i < 2; ++i) last.weight(i, 1) = 0;
  const std::vector<Split> splits = {{1, 0}, {1, 1}, {1, 2}};
  const EmbeddingFamily family = embedding_family(network, theta, splits);
  EXPECT_EQ(family.rank, 2);
  EXPECT_EQ(rank_of(family.directions, 3), 2);
}

TEST(EmbeddingFamily, IsCriticalWhereTheNarrowPointIs) {
  const Network network = mlp({1, 2, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const std::vector<double> theta = random_parameters(network, {.seed = 21});
  Random random(22);
  const Dataset inputs = reference::random_data(random, 40, 1, 1, Loss::mean_squared_error);
  const Dataset data = reference::make_critical(network, theta, inputs, 23);
  const EmbeddingFamily family = embedding_family(network, theta, std::vector<Split>{{1, 1}, {2, 0}});
  const Landscape wide(family.base.network, data, Loss::mean_squared_error, test_device());
  EXPECT_GT(wide.evaluate(family.base.theta).loss(), 0.9);
  for (const double a : {-1.0, 0.5, 2.0}) {
    std::vector<double> point = family.base.theta;
    for (std::size_t m = 0; m < point.size(); ++m) {
      point[m] += a * family.directions[m] + (1 - a) * family.directions[point.size() + m];
    }
    EXPECT_LT(largest(wide.gradient(point)), 1e-14);
  }
}

TEST(NullEmbedding, KeepsTheFunctionAndItsGradientIsPredicted) {
  for (const RandomProblem& problem : problems(500)) {
    const Landscape landscape(problem.network, problem.data, problem.loss, test_device());
    for (std::int64_t layer = 1; layer < problem.network.depth(); ++layer) {
      const bool has_bias = !problem.network.view(std::span(problem.theta), layer - 1).bias.empty();
      const Embedding wide = null_embedding(problem.network, problem.theta, layer, 2, has_bias ? 0.7 : 0.0);
      EXPECT_EQ(output_change(problem, wide.network, wide.theta), 0) << problem.describe();
      EXPECT_EQ(wide.source[static_cast<std::size_t>(layer - 1)].back(), -1);
      EXPECT_EQ(wide.share[static_cast<std::size_t>(layer - 1)].back(), 0);
      const EmbeddingCertificate certificate = certify(landscape, problem.theta, wide);
      EXPECT_LT(certificate.gradient_residual, 1e-12 * (1 + certificate.narrow_gradient_l1)) << problem.describe();
      EXPECT_EQ(merged(problem.network, wide), problem.theta);
    }
  }
}

/// ‖∇R‖₁ after adding a null neuron with this bias at a critical point of a 1-2-1 network with residuals.
double null_gradient(Bias use, double bias) {
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = use});
  const std::vector<double> theta = random_parameters(network, {.seed = 31});
  Random random(32);
  const Dataset inputs = reference::random_data(random, 30, 1, 1, Loss::mean_squared_error);
  const Dataset data = reference::make_critical(network, theta, inputs, 33);
  const Landscape landscape(network, data, Loss::mean_squared_error, test_device());
  const EmbeddingCertificate certificate = certify(landscape, theta, null_embedding(network, theta, 1, 1, bias));
  EXPECT_LT(certificate.narrow_gradient_l1, 1e-13);
  EXPECT_LT(certificate.gradient_residual, 1e-14);
  return certificate.wide_gradient_l1;
}

TEST(NullEmbedding, StaysCriticalWithAnOutputBiasOrAtAZeroOfTheActivation) {
  EXPECT_LT(null_gradient(Bias::all, 0.7), 1e-13);
  EXPECT_LT(null_gradient(Bias::hidden, 0), 1e-13);
  EXPECT_GT(null_gradient(Bias::hidden, 0.7), 1e-6);  // the constant is nearly in the span of the Jacobian
}

TEST(Embedding, KnownCriticalPointOfTheOneDimensionalDataStaysCritical) {
  const Network network = mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden});
  const std::vector<double> theta = {0.08953659128478933, 0, 3.7469510271074928};
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error, test_device());
  EXPECT_NEAR(landscape.evaluate(theta).loss(), 0.1090227420901827, 1e-12);
  const EmbeddingCertificate certificate = certify(landscape, theta, split_neuron(network, theta, {.alpha = 0.5}));
  EXPECT_LT(certificate.narrow_gradient_l1, 1e-12);
  EXPECT_LT(certificate.wide_gradient_l1, 1e-12);
  EXPECT_LT(certificate.output_change, 1e-14);
}

TEST(Embedding, BadArguments) {
  const Network network = mlp({2, 3, 2, 1}, Activation::tanh, {.bias = Bias::none});
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const auto split = [&](Split one) { return split_neuron(network, theta, one); };
  EXPECT_ERROR(split({.layer = 0}), InvalidArgument, "received layer 0, expected a hidden layer from 1 to 2");
  EXPECT_ERROR(split({.layer = 3}), InvalidArgument, "received layer 3");
  EXPECT_ERROR(split({.layer = 2, .neuron = 2}), InvalidArgument, "received neuron 2 of layer 2, expected 0 to 1");
  EXPECT_ERROR(split({.layer = 1, .neuron = -1}), InvalidArgument, "received neuron -1");
  EXPECT_ERROR(split({.alpha = std::nan("")}), InvalidArgument, "received alpha nan");
  EXPECT_ERROR(split_neuron(network, std::vector<double>(3), Split{}), InvalidArgument, "theta with 3 entries");
  EXPECT_ERROR(split_neuron(mlp({2, 1}, Activation::tanh), std::vector<double>(3), Split{}), InvalidArgument,
               "a network of one layer");
  const auto share = [&](std::vector<double> weights) { return split_neuron(network, theta, 1, 0, weights); };
  EXPECT_ERROR(share({0.5, 0.4}), InvalidArgument, "received weights with sum 0.9");
  EXPECT_ERROR(share({0.5, 0.5 + 1e-11}), InvalidArgument, "expected 1 within 1e-12");
  EXPECT_ERROR(share({}), InvalidArgument, "received no weights");
  EXPECT_ERROR(share({0.5, INFINITY}), InvalidArgument, "weights with entry 1");
  const auto widen = [&](std::vector<std::int64_t> widths) {
    return embed(network, theta, std::span<const std::int64_t>(widths));
  };
  EXPECT_ERROR(widen({3, 1}), InvalidArgument, "received width 1 for hidden layer 2, expected at least 2");
  EXPECT_ERROR(widen({3}), InvalidArgument, "received 1 hidden widths, expected 2");
  const auto shared = [&](std::vector<std::vector<double>> shares) { return embed(network, theta, shares); };
  EXPECT_ERROR(shared({{1, 1, 1}}), InvalidArgument, "received 1 hidden widths, expected 2");
  EXPECT_ERROR(shared({{1, 1}, {1, 1}}), InvalidArgument, "received width 2 for hidden layer 1, expected at least 3");
  EXPECT_ERROR(shared({{0.5, 1, 1, 0.5}, {1, 0.5, 0.5}}), InvalidArgument,
               "received shares with sum 1.5 for the copies of neuron 0 of layer 2, expected 1 within 1e-12");
  EXPECT_ERROR(shared({{0.5, 1, 1, 0.5 + 1e-11}, {1, 1}}), InvalidArgument, "neuron 0 of layer 1");
  EXPECT_ERROR(shared({{NAN, 1, 1, 0.5}, {1, 1}}), InvalidArgument, "shares with entry 0 = nan");
  const auto steps = [&](std::vector<WeightedSplit> splits) {
    return embed(network, theta, std::span<const WeightedSplit>(splits));
  };
  EXPECT_ERROR(steps({{1, 0, {0.5, 0.5}}, {1, 4, {1}}}), InvalidArgument, "received neuron 4 of layer 1");
  EXPECT_ERROR(steps({{1, 0, {0.5, 0.5}}, {1, 3, {0.5, 0.6}}}), InvalidArgument, "received weights with sum 1.1");
  EXPECT_ERROR(steps({{1, 0, {}}}), InvalidArgument, "received no weights");
  const std::vector<Split> beyond = {{1, 0, 0.5}, {1, 4, 0.5}};
  EXPECT_ERROR(embed(network, theta, beyond), InvalidArgument, "received neuron 4 of layer 1, expected 0 to 3");
  EXPECT_ERROR(embedding_family(network, theta, std::vector<Split>{{1, 0}, {1, 3}}), InvalidArgument,
               "received neuron 3 of layer 1, expected 0 to 2");
  EXPECT_ERROR(null_embedding(network, theta, 1, 0), InvalidArgument, "received 0 neurons");
  EXPECT_ERROR(null_embedding(network, theta, 1, 1, 0.5), InvalidArgument, "because it has no bias");
  const Landscape landscape(mlp({2, 3, 1}, Activation::tanh), Dataset::regression({1, 2, 3, 4}, 2, {1, 2}, 1),
                            Loss::mean_squared_error, test_device());
  const std::vector<double> other = random_parameters(landscape.network(), {.seed = 1});
  EXPECT_ERROR(certify(landscape, other, split({.layer = 1})), InvalidArgument, "an embedding of another network");
}

}  // namespace
}  // namespace lossatlas
