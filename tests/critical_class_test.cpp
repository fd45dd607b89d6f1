// When two critical points are the same: reduction to the neurons that matter, order, signs.
#include "critical/critical_class.hpp"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "critical_points.hpp"

namespace lossatlas {
namespace {

using testing::kSame;
using testing::same_point;

const Network kTanh2 = mlp({2, 2, 1}, Activation::tanh);
const std::vector<double> kPoint{0.3, -1, 2, 0.5, /*b*/ 0.1, -0.7, /*a*/ 1.5, -2, /*b*/ 0.25};

TEST(CriticalClass, IgnoresOrderAndOddSigns) {
  EXPECT_TRUE(same_point(kTanh2, kPoint, kPoint));
  EXPECT_TRUE(same_point(kTanh2, kPoint, {2, 0.5, 0.3, -1, -0.7, 0.1, -2, 1.5, 0.25}));
  EXPECT_TRUE(same_point(kTanh2, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, 2, 1.5, 0.25}));
  EXPECT_FALSE(same_point(kTanh2, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, -2, 1.5, 0.25})) << "sign of one weight";
  EXPECT_FALSE(same_point(kTanh2, kPoint, {0.3, -1, 2, 0.5, 0.1, -0.7, -2, 1.5, 0.25})) << "weights exchanged";
  EXPECT_FALSE(same_point(kTanh2, kPoint, {0.3, -1, 2, 0.5, 0.1, -0.7, 1.5, -2, 0.26})) << "output bias";
  std::vector<double> moved = kPoint;
  moved[2] *= 1 + 1e-7;
  EXPECT_TRUE(same_point(kTanh2, kPoint, moved));
  moved[2] *= 1 + 1e-4;
  EXPECT_FALSE(same_point(kTanh2, kPoint, moved));
  const Network sigmoid = mlp({2, 2, 1}, Activation::sigmoid);
  EXPECT_FALSE(same_point(sigmoid, kPoint, {-2, -0.5, 0.3, -1, 0.7, 0.1, 2, 1.5, 0.25})) << "sigmoid is not odd";
}

TEST(CriticalClass, ReducesWideNetworksToNarrowOnes) {
  const Network wide = mlp({2, 5, 1}, Activation::tanh);
  // neuron 0 split in three, one of them with its sign turned; neuron 4 without output weights
  const std::vector<double> theta{0.3,  -1,   -0.3, 1, 2,       0.5,  0.3, -1,   9, 9,         /*b*/ 0.1,
                                  -0.1, -0.7, 0.1,  9, /*a*/ 1, -0.8, -2,  -0.3, 0, /*b*/ 0.25};
  const ReducedNetwork reduced = reduce_neurons(wide, theta, kSame, Loss::mean_squared_error);
  ASSERT_EQ(reduced.size(), 2u);
  EXPECT_EQ(reduced[0].out, 2);
  EXPECT_EQ(reduced[1].in, 2);
  EXPECT_TRUE(same_neurons(reduced, reduce_neurons(kTanh2, kPoint, kSame, Loss::mean_squared_error), kSame));
}

TEST(CriticalClass, DropsCopiesThatCancel) {
  const std::vector<double> theta{0.3, -1, 0.3, -1, 0.1, 0.1, 1.5, -1.5, 0.25};
  const ReducedNetwork reduced = reduce_neurons(kTanh2, theta, kSame, Loss::mean_squared_error);
  EXPECT_EQ(reduced[0].out, 0);
  EXPECT_TRUE(reduced[1].weight.empty());
  EXPECT_EQ(reduced[1].bias, std::vector<double>{0.25});
}

TEST(CriticalClass, IgnoresTheSignOfSigmoidsBelowABias) {
  const Network biased = mlp({2, 2, 1}, Activation::sigmoid);
  // σ(z) = 1 − σ(−z): neuron 0 turned, the bias takes its weight
  const std::vector<double> turned{-0.3, 1, 2, 0.5, -0.1, -0.7, -1.5, -2, 0.25 + 1.5};
  EXPECT_TRUE(same_point(biased, kPoint, turned));
  std::vector<double> other = turned;
  other.back() = 0.25;
  EXPECT_FALSE(same_point(biased, kPoint, other));
  const Network plain = mlp({2, 2, 1}, Activation::sigmoid, {.bias = Bias::hidden});
  EXPECT_FALSE(same_point(plain, {0.3, -1, 2, 0.5, 0.1, -0.7, 1.5, -2}, {-0.3, 1, 2, 0.5, -0.1, -0.7, -1.5, -2}));
}

TEST(CriticalClass, ReducesSeveralLayers) {
  const Network narrow = mlp({1, 2, 1, 1}, Activation::tanh), wide = mlp({1, 3, 2, 1}, Activation::tanh);
  const std::vector<double> small{1, 2, /*b*/ 0.1, 0.2, /*W*/ 3, -4, /*b*/ 0.3, /*W*/ 5, /*b*/ 0.4};
  // a neuron of layer 1 and then the neuron of layer 2 split, the copy in layer 2 turned, layer 1 in another order
  const std::vector<double> large{2, 1, 1, 0.2, 0.1, 0.1, -4, 1, 2, 4, -1.5, -1.5, 0.3, -0.3, 2, -3, 0.4};
  EXPECT_TRUE(same_neurons(reduce_neurons(narrow, small, kSame, Loss::mean_squared_error),
                           reduce_neurons(wide, large, kSame, Loss::mean_squared_error), kSame));
  std::vector<double> other = large;
  other[6] = -4.1, other[9] = 4.1;
  EXPECT_FALSE(same_neurons(reduce_neurons(narrow, small, kSame, Loss::mean_squared_error),
                            reduce_neurons(wide, other, kSame, Loss::mean_squared_error), kSame));
}

TEST(CriticalClass, IgnoresPositiveFactorsOfReluNeurons) {
  const std::vector<double> scaled{0.9, -3, 0.5, 0.125, 0.3, -0.175, 0.5, -8, 0.25};  // neurons by 3 and 1/4
  const std::vector<double> turned{-0.3, 1, 2, 0.5, -0.1, -0.7, -1.5, -2, 0.25};
  for (const Activation activation : {Activation::relu, Activation::leaky_relu}) {
    const Network network = mlp({2, 2, 1}, activation);
    EXPECT_TRUE(same_point(network, kPoint, scaled)) << name(activation);
    EXPECT_FALSE(same_point(network, kPoint, turned)) << name(activation);
  }
  EXPECT_FALSE(same_point(kTanh2, kPoint, scaled));
  // neuron 0 split in two of other sizes
  const Network three = mlp({2, 3, 1}, Activation::relu), two = mlp({2, 2, 1}, Activation::relu);
  const std::vector<double> split{0.6, -2, 2, 0.5, 0.15, -0.5, 0.2, -0.7, 0.05, 0.25, -2, 2, 0.25};
  EXPECT_TRUE(same_neurons(reduce_neurons(two, kPoint, kSame, Loss::mean_squared_error),
                           reduce_neurons(three, split, kSame, Loss::mean_squared_error), kSame));
  // layer 1's neuron 1 in two copies of other sizes, and all that layer 2 sees twice as large
  const Network deep = mlp({1, 2, 1, 1}, Activation::relu), wide = mlp({1, 3, 1, 1}, Activation::relu);
  const std::vector<double> small{1, -2, /*b*/ 0.1, 0.2, /*W*/ 3, -4, /*b*/ 0.3, /*W*/ 5, /*b*/ 0.4};
  std::vector<double> large{1, -4, -1, /*b*/ 0.1, 0.4, 0.1, /*W*/ 6, -2, -8, /*b*/ 0.6, /*W*/ 2.5, /*b*/ 0.4};
  const ReducedNetwork reduced = reduce_neurons(deep, small, kSame, Loss::mean_squared_error);
  EXPECT_TRUE(same_neurons(reduced, reduce_neurons(wide, large, kSame, Loss::mean_squared_error), kSame));
  large[8] = -7;
  EXPECT_FALSE(same_neurons(reduced, reduce_neurons(wide, large, kSame, Loss::mean_squared_error), kSame));
}

TEST(CriticalClass, IgnoresTheShiftThatCrossEntropyDoesNotSee) {
  const Network network = mlp({1, 1, 4}, Activation::tanh, {.heads = 2});
  const std::vector<double> point{0.5, 0.1, /*W*/ 1, 2, 3, 5, /*b*/ 0, 0.25, 0.5, 1};
  const std::vector<double> shifted{0.5, 0.1, /*W*/ 4, 5, 2, 4, /*b*/ -3, -2.75, 2, 2.5};
  EXPECT_TRUE(same_point(network, point, shifted, Loss::cross_entropy));
  EXPECT_FALSE(same_point(network, point, shifted, Loss::mean_squared_error));
  std::vector<double> other = shifted;
  other[8] += 1, other[9] += 1;
  EXPECT_TRUE(same_point(network, point, other, Loss::cross_entropy));
  other[8] += 1;
  EXPECT_FALSE(same_point(network, point, other, Loss::cross_entropy)) << "a difference within a head";
  // a neuron that moves all logits alike is none
  const Network wide = mlp({1, 2, 4}, Activation::tanh, {.heads = 2});
  const std::vector<double> idle{0.5, 7, 0.1, 7, /*W*/ 1, 9, 2, 9, 3, -2, 5, -2, /*b*/ 0, 0.25, 0.5, 1};
  EXPECT_TRUE(same_neurons(reduce_neurons(network, point, kSame, Loss::cross_entropy),
                           reduce_neurons(wide, idle, kSame, Loss::cross_entropy), kSame));
}

TEST(CriticalClass, DoesNotMeasureARowThatVanishesByItself) {
  const Network network = mlp({1, 3}, Activation::identity);
  const std::vector<double> point{-1, 1e-17, 1, 0.5, 0, -0.5}, rounded{-1, -3e-17, 1, 0.5, 1e-17, -0.5};
  EXPECT_TRUE(same_point(network, point, rounded, Loss::cross_entropy));
}

// y = x + Σ_j a_j tanh(w_j x) and a dense layer: what is no chain is compared by its outputs on the data.
TEST(CriticalClass, GraphsAreComparedByTheirOutputs) {
  const Network network({{Dense{1, 2, false, Activation::tanh}, {-1}},
                         {Dense{2, 1, false, Activation::identity}, {0}},
                         {Add{}, {-1, 1}}});
  const Landscape landscape(network, Dataset::regression({-1, 0.5, 2}, 1, {0, 1, 2}, 1), Loss::mean_squared_error,
                            Device::cpu());
  const auto form = [&](const std::vector<double>& theta) { return canonical_form(landscape, theta, kSame, {}); };
  const CanonicalForm one = form({0.3, -2, 1.5, 0.7});
  EXPECT_TRUE(one.neurons.empty());
  ASSERT_EQ(one.outputs.size(), 3u);
  EXPECT_NEAR(one.outputs[2], 2 + 1.5 * std::tanh(0.6) + 0.7 * std::tanh(-4.0), 1e-15);
  EXPECT_TRUE(same_form(one, form({-2, 0.3, 0.7, 1.5}), kSame));
  EXPECT_TRUE(same_form(one, form({-0.3, -2, -1.5, 0.7}), kSame));
  EXPECT_FALSE(same_form(one, form({0.3, -2, 1.5, 0.7001}), kSame));
}

// Both terms of the output move its classes together, which cross entropy does not see.
TEST(CriticalClass, EveryTermOfTheOutputIsCentred) {
  const Network network({{Dense{1, 2, true, Activation::identity}, {-1}},
                         {Dense{1, 2, false, Activation::tanh}, {-1}},
                         {Dense{2, 2, true, Activation::identity}, {1}},
                         {Add{}, {0, 2}}});
  std::vector<double> theta{1, 2, 3, 5, /*W of node 1*/ 7, 8, /*node 2*/ 1, 2, 3, 6, 4, 0};
  centre_outputs(network, theta);
  EXPECT_EQ(theta, (std::vector<double>{-0.5, 0.5, -1, 1, 7, 8, -1, -2, 1, 2, 2, -2}));
}

}  // namespace
}  // namespace lossatlas
