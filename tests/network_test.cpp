#include <gtest/gtest.h>

#include <cmath>
#include <lossatlas/network.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

TEST(Network, CountsAndOffsetsByHand) {
  const Network network = mlp({3, 4, 2}, Activation::tanh);
  EXPECT_EQ(network.parameter_count(), 3 * 4 + 4 + 4 * 2 + 2);
  EXPECT_EQ(network.inputs(), 3);
  EXPECT_EQ(network.outputs(), 2);
  ASSERT_EQ(network.blocks().size(), 4u);
  EXPECT_EQ(network.blocks()[1].offset, 12);
  EXPECT_EQ(network.blocks()[2].offset, 16);
  EXPECT_EQ(network.blocks()[3].offset, 24);
  EXPECT_EQ(network.blocks()[2].out, 2);
  EXPECT_EQ(network.blocks()[2].in, 4);
  EXPECT_EQ(network.describe(), "3-4-2 tanh, 1 head, 26 parameters");
}

TEST(Network, BiasesAreOptionalPerLayer) {
  EXPECT_EQ(mlp({3, 4, 2}, Activation::relu, {.bias = Bias::hidden}).parameter_count(), 24);
  EXPECT_EQ(mlp({3, 4, 2}, Activation::relu, {.bias = Bias::none}).parameter_count(), 20);
  const Network network({Dense{2, 3, false, Activation::sine}, Dense{3, 1, true}});
  EXPECT_EQ(network.parameter_count(), 6 + 4);
  EXPECT_TRUE(network.view(std::vector<double>(10, 0.0), 0).bias.empty());
}

TEST(Network, TapsOfAWeightAreNextToEachOther) {
  std::vector<double> values(2 * 3 * 4);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  const WeightView<const double> weight{values.data(), 2, 3, 4};
  EXPECT_EQ(weight.size(), 24);
  EXPECT_EQ(weight(0, 0, 3), 3);
  EXPECT_EQ(weight(1, 2, 1), (1 * 3 + 2) * 4 + 1);
  EXPECT_EQ(weight.row(1).size(), 12u);
  EXPECT_EQ(weight.row(1).front(), 12);
}

TEST(Network, ViewsAreTheParameters) {
  const Network network = mlp({2, 3, 1}, Activation::tanh);
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));
  for (std::size_t i = 0; i < theta.size(); ++i) theta[i] = static_cast<double>(i);
  const auto first = network.view(std::span<double>(theta), 0);
  EXPECT_EQ(first.weight(2, 1), 5);
  EXPECT_EQ(first.bias[0], 6);
  const auto last = network.view(std::span<double>(theta), 1);
  EXPECT_EQ(last.weight(0, 2), 11);
  EXPECT_EQ(last.bias[0], 12);
  last.bias[0] = -1;
  EXPECT_EQ(theta[12], -1);
}

TEST(Network, Heads) {
  const Network network = mlp({2, 5, 6}, Activation::gelu, {.heads = 3});
  EXPECT_EQ(network.outputs_per_head(), 2);
  EXPECT_ERROR(mlp({2, 5, 6}, Activation::gelu, {.heads = 4}), InvalidArgument, "4 heads for 6 outputs");
  EXPECT_ERROR(mlp({2, 5, 6}, Activation::gelu, {.heads = 0}), InvalidArgument, "0 heads");
}

TEST(Network, BadArguments) {
  EXPECT_ERROR(Network(std::vector<Layer>{}), InvalidArgument, "no layers");
  EXPECT_ERROR(mlp({3}, Activation::tanh), InvalidArgument, "1 widths");
  EXPECT_ERROR(mlp({3, 0, 1}, Activation::tanh), InvalidArgument, "expected widths");
  EXPECT_ERROR(mlp({3, -2, 1}, Activation::tanh), InvalidArgument, "-2");
  EXPECT_ERROR(mlp({3, std::int64_t{1} << 40, 1}, Activation::tanh), InvalidArgument, "expected widths");
  const std::int64_t wide = (std::int64_t{1} << 31) - 1;
  EXPECT_ERROR(mlp({wide, wide, wide, 2}, Activation::tanh), InvalidArgument, "2^60 parameters");
  EXPECT_ERROR(Network({Dense{2, 3}, Dense{4, 1}}), InvalidArgument, "4 inputs after 3 outputs");
  EXPECT_ERROR(Network({Dense{2, 3, true, Activation::relu}}), InvalidArgument, "relu");
  const Network network = mlp({2, 3, 1}, Activation::tanh);
  const std::vector<double> theta(12);
  EXPECT_ERROR(network.view(theta, 0), InvalidArgument, "12 parameters, expected 13");
  EXPECT_ERROR(network.view(std::vector<double>(13), 2), InvalidArgument, "layer 2");
}

/// x → tanh → a residual block → 2 outputs.
std::vector<Node> residual_nodes() {
  return {{Dense{3, 4, true, Activation::tanh}, {-1}},
          {Dense{4, 4, false, Activation::identity}, {0}},
          {Add{Activation::relu}, {0, 1}},
          {Dense{4, 2, true, Activation::identity}, {2}}};
}

TEST(Network, AGraphOfNodes) {
  const Network network(residual_nodes(), 2);
  EXPECT_EQ(network.depth(), 4);
  EXPECT_EQ(network.inputs(), 3);
  EXPECT_EQ(network.outputs(), 2);
  EXPECT_EQ(network.outputs_per_head(), 1);
  EXPECT_EQ(network.parameter_count(), 16 + 16 + 10);
  EXPECT_EQ(network.blocks()[2].layer, 1);
  EXPECT_EQ(network.blocks()[3].layer, 3);  // the Add has none
  EXPECT_EQ(network.blocks()[3].offset, 32);
  EXPECT_EQ(network.shape(-1), (Shape{3}));
  EXPECT_EQ(network.shape(2), (Shape{4}));
  EXPECT_EQ(network.width(3), 2);
  EXPECT_FALSE(network.is_chain());
  EXPECT_FALSE(is_dense_chain(network));
  EXPECT_EQ(activation(network.layer(2)), Activation::relu);
  EXPECT_EQ(network.view(std::vector<double>(42), 2).weight.data, nullptr);
  EXPECT_EQ(network.describe(),
            "3 inputs, 3 dense nodes, 1 Add node, 2 outputs, mixed activations, 2 heads, 42 parameters");
  EXPECT_EQ(network, Network(residual_nodes(), 2));
  std::vector<Node> other = residual_nodes();
  other[2].inputs = {1, 0};
  EXPECT_NE(network, Network(other, 2));
  const std::vector<double> theta = random_parameters(network, {.seed = 1, .scale = {1, 2, 9, 0}});
  EXPECT_NE(theta[0], 0);
  EXPECT_EQ(theta[32], 0);
  EXPECT_ERROR(random_parameters(network, {.seed = 1, .scale = {1, 2, 0}}), InvalidArgument, "3 scales");
}

TEST(Network, AChainIsAGraph) {
  const Network chain = mlp({3, 4, 2}, Activation::tanh);
  EXPECT_TRUE(is_dense_chain(chain));
  EXPECT_EQ(chain, Network({{Dense{3, 4, true, Activation::tanh}, {-1}}, {Dense{4, 2}, {0}}}));
}

TEST(Network, BadGraphs) {
  const auto with = [](std::size_t node, Node other) {
    std::vector<Node> nodes = residual_nodes();
    nodes[node] = std::move(other);
    return Network(std::move(nodes));
  };
  EXPECT_ERROR(with(2, {Add{}, {0, 2}}), InvalidArgument, "layer 2 with input 2, expected an earlier layer");
  EXPECT_ERROR(with(2, {Add{}, {0, -2}}), InvalidArgument, "layer 2 with input -2");
  EXPECT_ERROR(with(2, {Add{}, {}}), InvalidArgument, "layer 2 without inputs");
  EXPECT_ERROR(with(2, {Add{}, {1}}), InvalidArgument, "Add layer 2 with 1 value as inputs");
  EXPECT_ERROR(with(2, {Add{}, {-1, 1}}), InvalidArgument, "values with 3 and 4 entries");
  EXPECT_ERROR(with(2, {Add{}, {0, 0}}), InvalidArgument, "layer 1 whose value no other layer takes");
  EXPECT_ERROR(with(3, {Dense{5, 2}, {2}}), InvalidArgument, "layer 3 with 5 inputs after 4 outputs");
  EXPECT_ERROR(with(3, {Dense{4, 2}, {2, 1}}), InvalidArgument, "dense layer 3 with 2 values");
  EXPECT_ERROR(with(3, {Add{Activation::tanh}, {1, 2}}), InvalidArgument, "last layer with tanh");
  EXPECT_ERROR(with(0, {Dense{0, 4}, {-1}}), InvalidArgument, "expected widths");
  EXPECT_ERROR(Network({{Add{}, {-1, -1}}}), InvalidArgument, "no dense layer that takes the input");
  EXPECT_ERROR(Network(std::vector<Node>{}), InvalidArgument, "no layers");
}

TEST(Network, HiddenActivation) {
  EXPECT_EQ(hidden_activation(mlp({2, 3, 4, 1}, Activation::sine)), Activation::sine);
  EXPECT_ERROR(hidden_activation(mlp({2, 1}, Activation::sine)), InvalidArgument, "hidden layer");
  EXPECT_ERROR(hidden_activation(
                   Network({Dense{1, 2, true, Activation::relu}, Dense{2, 2, true, Activation::tanh}, Dense{2, 1}})),
               InvalidArgument, "relu and tanh");
}

TEST(RandomParameters, ScaleSeedAndPrefixStability) {
  const Network network = mlp({100, 300, 2}, Activation::tanh);
  const std::vector<double> theta = random_parameters(network, {.seed = 5});
  EXPECT_EQ(theta, random_parameters(network, {.seed = 5}));
  EXPECT_NE(theta, random_parameters(network, {.seed = 6}));
  double square = 0;
  for (std::size_t i = 0; i < 30000; ++i) square += theta[i] * theta[i];
  EXPECT_NEAR(square / 30000, 0.01, 5 * 0.01 * std::sqrt(2.0 / 30000));
  // A layer's numbers do not depend on what follows it.
  const std::vector<double> other = random_parameters(mlp({100, 300, 7, 2}, Activation::tanh), {.seed = 5});
  EXPECT_TRUE(std::equal(theta.begin(), theta.begin() + 30300, other.begin()));
  const std::vector<double> scaled = random_parameters(network, {.seed = 5, .scale = {0, 2}});
  EXPECT_EQ(scaled[0], 0);
  EXPECT_NEAR(scaled[30300], theta[30300] * 2 * std::sqrt(300.0), 1e-12);
  EXPECT_ERROR(random_parameters(network, {.seed = 5, .scale = {1, 1, 1}}), InvalidArgument, "3 scales");
  EXPECT_ERROR(random_parameters(network, {.seed = 5, .scale = {1, -1}}), InvalidArgument, "-1");
}

TEST(RandomParameters, OneScaleForAllOrThePapersPowerOfTheWidestHiddenLayer) {
  const Network network = mlp({100, 4, 16, 50}, Activation::tanh);
  const std::vector<double> unit = random_parameters(network, {.seed = 7, .scale = {1, 1, 1}});
  EXPECT_EQ(random_parameters(network, {.seed = 7, .scale = {1}}), unit);
  for (const double power : {3.0, 6.0, 0.0, -1.0}) {  // variance 16^-power: neither 100 inputs nor 50 outputs count
    const std::vector<double> theta = random_parameters(network, {.seed = 7, .scale = {}, .power = power});
    for (std::size_t i = 0; i < unit.size(); ++i) EXPECT_DOUBLE_EQ(theta[i], unit[i] * std::pow(4.0, -power));
  }
  EXPECT_EQ(random_parameters(network, {.seed = 7, .scale = {1}, .power = 3}), unit) << "a given scale comes first";
  const Network linear = mlp({100, 50}, Activation::tanh);  // no hidden layer: m = 1
  EXPECT_EQ(random_parameters(linear, {.seed = 7, .scale = {}, .power = 3}),
            random_parameters(linear, {.seed = 7, .scale = {1}}));
  EXPECT_ERROR(random_parameters(network, {.seed = 7, .scale = {}, .power = std::nan("")}), InvalidArgument,
               "power nan");
}

}  // namespace
}  // namespace lossatlas
