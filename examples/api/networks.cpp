// Networks, their parameters θ, data sets, and the loss R(θ): values, gradients, descent.
#include <lossatlas/lossatlas.hpp>

#include "check.hpp"

using namespace lossatlas;

namespace {

void chain() {
  //! [chain]
  const MlpOptions options{.bias = Bias::hidden, .heads = 2};
  const Network network = mlp({4, 8, 6}, Activation::tanh, options);               // 4 inputs, two heads of 3 outputs
  std::vector<double> theta(static_cast<std::size_t>(network.parameter_count()));  // W1 (8, 4), b1, W2 (6, 8)
  const LayerView<double> first = network.view(std::span<double>(theta), 0);
  first.weight(2, 3) = 0.5;  // to unit 2 from input 3
  first.bias[7] = -1;
  check(theta[2 * 4 + 3] == 0.5 && theta[8 * 4 + 7] == -1);
  const ParameterBlock last = network.blocks()[2];  // W2 by its place in theta
  check(last.layer == 1 && last.offset == 8 * 4 + 8 && last.out == 6 && last.in == 8);
  //! [chain]
}

void graph() {
  //! [graph]
  // Node k takes the values of the nodes listed beside its layer; -1 is the input.
  const Network residual({{Dense{.in = 4, .out = 8, .activation = Activation::tanh}, {-1}},
                          {Dense{.in = 8, .out = 8, .bias = false}, {0}},
                          {Add{Activation::tanh}, {0, 1}},  // tanh(node 0 + node 1)
                          {Dense{.in = 8, .out = 3}, {2}}});
  check(!residual.is_chain() && residual.parameter_count() == (4 * 8 + 8) + 8 * 8 + (8 * 3 + 3));
  check(activation(residual.layer(2)) == Activation::tanh && residual.width(2) == 8);
  //! [graph]
}

void initial() {
  //! [initial]
  const Network network = mlp({4, 100, 3}, Activation::relu);
  const auto usual = random_parameters(network, {.seed = 1});                      // s = 1/sqrt(inputs), layer by layer
  const auto scaled = random_parameters(network, {.seed = 1, .scale = {0.1, 2}});  // s of layer 1 and of layer 2
  const auto small = random_parameters(network, {.seed = 1, .power = 3});          // s = 100^(-3/2) everywhere
  check(near(scaled[0], usual[0] * 0.1 * 2) && near(small[0], usual[0] * 1e-3 * 2));
  //! [initial]
}

Dataset four_points() {
  //! [classification]
  const std::vector<double> inputs = {0, 0, 0, 1, 1, 0, 1, 1};  // row after row: 4 samples of 2 features
  const Dataset data = Dataset::classification(inputs, 2, {0, 1, 1, 0}, 2, "xor");
  check(data.size() == 4 && data.features() == 2 && data.outputs() == 2);
  check(data.slice(1, 3).labels()[0] == 1 && data.standardised().input(0)[0] == -1);
  check(label_statistics(data).mean[1] == 0.5);  // how frequent class 1 is
  //! [classification]
  return data;
}

void real_targets() {
  //! [regression]
  const Dataset data = Dataset::regression({1, 2, 3}, 1, {10, 0, 20, 0, 30, 3}, 2);  // 3 samples, 2 outputs
  check(data.target(2, 1) == 3 && label_statistics(data).mean[0] == 20);
  //! [regression]
}

void loss_and_gradient() {
  const Dataset data = four_points();
  //! [landscape]
  const Network network = mlp({2, 5, 2}, Activation::tanh);
  const Landscape landscape(network, data, Loss::cross_entropy, Device::cpu({.threads = 1}));
  std::vector<double> theta = random_parameters(network, {.seed = 3});
  const Evaluation at = landscape.evaluate(theta);
  check(at.losses.size() == 1 && at.loss() == at.losses[0] && at.accuracy[0] <= 1);  // one head

  const double slope = landscape.gradient(theta)[7];
  theta[7] += 1e-6;
  check(near((landscape.evaluate(theta).loss() - at.loss()) / 1e-6, slope, 1e-5));
  //! [landscape]
}

void devices() {
  //! [device]
  const Device device = Device::best();  // a GPU if there is one; Device::cuda() throws DeviceError if there is none
  check(device.kind() == Device::Kind::cuda || !device.reason().empty());
  //! [device]
}

void stopping() {
  const Network network = mlp({1, 3, 1}, Activation::tanh);
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error);
  const std::vector<double> start = random_parameters(network, {.seed = 1});
  //! [control]
  std::stop_source stop;
  const auto look = [&](const ProgressEvent& event) {
    if (event.done >= 10) stop.request_stop();
  };
  bool stopped = false;
  try {
    optimise(landscape, start, Adam{}, {.iterations = 1000, .control = {look, stop.get_token()}});
  } catch (const Interrupted&) {
    stopped = true;
  }
  check(stopped);
  //! [control]
}

void descent() {
  //! [optimise]
  const Network network = mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error);
  StoppingRule rule{.iterations = 500, .record_every = 100};
  rule.callback = [](const OptimiserStep& step, std::span<const double>) { return step.loss > 0.05; };  // false ends it
  const OptimiserResult rough = optimise(landscape, random_parameters(network, {.seed = 1}), Adam{.rate = 0.02}, rule);
  check(rough.reason == StopReason::iterations && rough.trajectory.size() == 6);

  const StoppingRule exact{.iterations = 200, .gradient_l1 = 1e-7};
  const OptimiserResult minimum = optimise(landscape, rough.theta, LevenbergMarquardt{}, exact);
  const OptimiserResult critical = optimise(landscape, rough.theta, Newton{}, exact);  // the nearest point of any kind
  check(minimum.reason == StopReason::gradient && critical.reason == StopReason::gradient);
  check(minimum.loss < 0.07 && critical.loss > 0.08);
  //! [optimise]
}

}  // namespace

int main() { return run({chain, graph, initial, real_targets, loss_and_gradient, devices, stopping, descent}); }
