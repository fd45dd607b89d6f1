// When two critical points are the same: reduction to the neurons that matter, order, signs.
#include "critical_class.hpp"

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
  const ReducedNetwork reduced = reduce_neurons(wide, theta, kSame);
  ASSERT_EQ(reduced.size(), 2u);
  EXPECT_EQ(reduced[0].out, 2);
  EXPECT_EQ(reduced[1].in, 2);
  EXPECT_TRUE(same_neurons(reduced, reduce_neurons(kTanh2, kPoint, kSame), kSame));
}

TEST(CriticalClass, DropsCopiesThatCancel) {
  const std::vector<double> theta{0.3, -1, 0.3, -1, 0.1, 0.1, 1.5, -1.5, 0.25};
  const ReducedNetwork reduced = reduce_neurons(kTanh2, theta, kSame);
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
  EXPECT_TRUE(same_neurons(reduce_neurons(narrow, small, kSame), reduce_neurons(wide, large, kSame), kSame));
  std::vector<double> other = large;
  other[6] = -4.1, other[9] = 4.1;
  EXPECT_FALSE(same_neurons(reduce_neurons(narrow, small, kSame), reduce_neurons(wide, other, kSame), kSame));
}

}  // namespace
}  // namespace lossatlas
