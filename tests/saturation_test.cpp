// Neurons that no longer respond to the data mark points at infinity.
#include "critical/saturation.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <lossatlas/error.hpp>

#include "base/random.hpp"

namespace lossatlas {
namespace {

/// What is wrong with one tanh neuron w x + b on x = −2, −1, 1, 2, or empty.
std::string trouble(double w, double b, double a = 1) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Landscape landscape(mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden}), data, Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  return neuron_at_infinity(landscape, std::vector<double>{w, b, a});
}

TEST(NeuronAtInfinity, IsNamedWithItsReason) {
  EXPECT_EQ(trouble(0.5, 0.1), "");
  EXPECT_EQ(trouble(12, 0), "neuron 0 of layer 1 is saturated on all of the data");
  EXPECT_EQ(trouble(12, -12), "neuron 0 of layer 1 is saturated on all but too few samples");
  EXPECT_EQ(trouble(1e-10, 0.3), "neuron 0 of layer 1 is constant on the data");
  EXPECT_EQ(trouble(0, 0.3), "") << "without in-weights it stays where it is";
  EXPECT_EQ(trouble(12, 0, 0), "") << "a neuron without output weights does not matter";
  EXPECT_EQ(trouble(3, 0), "") << "steep, but all samples respond";
}

TEST(NeuronAtInfinity, IsFoundInDeeperLayers) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Landscape landscape(mlp({1, 1, 2, 1}, Activation::sigmoid), data, Loss::mean_squared_error,
                            Device::cpu({.threads = 1}));
  const std::vector<double> theta{1, 0, 0.5, 300, 0.2, -60, 1, 1, 0};
  EXPECT_EQ(neuron_at_infinity(landscape, theta), "neuron 1 of layer 2 is saturated on all of the data");
}

/// x + tanh(w x + b), taken by a sum, and the same tanh taken by a dense layer of weight 0 too.
TEST(NeuronAtInfinity, UsesOfEveryTakerCount) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Network network(
      {{Dense{1, 1, true, Activation::tanh}, {-1}}, {Dense{1, 1, false, Activation::tanh}, {0}}, {Add{}, {-1, 0, 1}}});
  const Landscape landscape(network, data, Loss::mean_squared_error, Device::cpu({.threads = 1}));
  EXPECT_EQ(neuron_at_infinity(landscape, std::vector<double>{12, 0, 0}),
            "neuron 0 of layer 1 is saturated on all of the data");
  EXPECT_EQ(neuron_at_infinity(landscape, std::vector<double>{0.5, 0, 0.3}), "");
}

TEST(FoldConstantNeurons, LeavesWhatASumTakes) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Network network({{Dense{1, 2, true, Activation::tanh}, {-1}},
                         {Dense{2, 1, true, Activation::identity}, {0}},
                         {Dense{1, 1, true, Activation::tanh}, {-1}},
                         {Add{}, {1, 2}}});
  const Landscape landscape(network, data, Loss::mean_squared_error, Device::cpu({.threads = 1}));
  const std::vector<double> theta{0, 1, 0.5, 0.1, /*node 1*/ 2, 3, 1, /*node 2*/ 0, 0.7};
  std::vector<double> expected = theta;  // neuron 0 of node 0 moves into the bias of node 1; node 2 stays
  expected[4] = 0;
  expected[6] = 1 + 2 * std::tanh(0.5);
  const std::vector<double> folded = fold_constant_neurons(landscape, theta);
  for (std::size_t m = 0; m < theta.size(); ++m) EXPECT_NEAR(folded[m], expected[m], 1e-15) << m;
}

/// Inputs (samples, 6) of rank 3, with the bias 4, many chunks; a neuron with the weights `w` and the bias `b`.
std::string deficient_trouble(double w, double b, const Control& control = {}) {
  constexpr std::int64_t samples = 2000;
  Random random(4);
  std::vector<double> mixing(18), x;
  for (double& value : mixing) value = random.normal();
  for (std::int64_t n = 0; n < samples; ++n) {
    const double hidden[] = {random.normal(), random.normal(), random.normal()};
    for (std::size_t i = 0; i < 6; ++i) {
      x.push_back(mixing[i] * hidden[0] + mixing[6 + i] * hidden[1] + mixing[12 + i] * hidden[2]);
    }
  }
  const Network network = mlp({6, 1, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, Dataset::regression(x, 6, std::vector<double>(samples), 1),
                            Loss::mean_squared_error, Device::cpu({.threads = 1}));
  return neuron_at_infinity(landscape, std::vector<double>{w, w, w, w, w, w, b, 1}, control);
}

TEST(NeuronAtInfinity, IsToldOnInputsThatDoNotSpanTheirSpace) {
  EXPECT_EQ(deficient_trouble(0.1, 0), "");
  EXPECT_EQ(deficient_trouble(20, 0), "") << "saturated on most samples, but the others fix its weights";
  int found = 0;
  for (double b = 14; b < 60; b += 2) {  // the samples on which it responds get fewer
    const std::string trouble = deficient_trouble(3, b);
    found += trouble == "neuron 0 of layer 1 is saturated on all but too few samples";
    if (trouble.empty()) {
      EXPECT_EQ(found, 0) << b;
    }
  }
  EXPECT_GT(found, 0);
}

TEST(NeuronAtInfinity, LooksForAStop) {
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(deficient_trouble(0.1, 0, {{}, source.get_token()}), Interrupted);
}

TEST(FoldConstantNeurons, MovesThemIntoTheNextBias) {
  const Dataset data = Dataset::regression({-2, -1, 1, 2}, 1, {0, 1, 2, 3}, 1);
  const Network network = mlp({1, 3, 1}, Activation::relu), plain = mlp({1, 3, 1}, Activation::relu, {Bias::hidden});
  // without in-weights; dead; neither
  const std::vector<double> theta{0, 1, 1, /*b*/ 0.5, -3, 0.1, /*a*/ 2, 5, 1, /*b*/ 0.25};
  const Device cpu = Device::cpu({.threads = 1});
  const std::vector<double> folded = fold_constant_neurons({network, data, Loss::mean_squared_error, cpu}, theta);
  EXPECT_EQ(folded, (std::vector<double>{0, 1, 1, 0.5, -3, 0.1, 0, 0, 1, 1.25}));
  const std::vector<double> without(theta.begin(), theta.end() - 1);
  const std::vector<double> dropped = fold_constant_neurons({plain, data, Loss::mean_squared_error, cpu}, without);
  EXPECT_EQ(dropped, (std::vector<double>{0, 1, 1, 0.5, -3, 0.1, 2, 0, 1})) << "nothing can take a constant";
}

}  // namespace
}  // namespace lossatlas
