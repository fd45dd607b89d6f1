// Builds a residual network as a graph of nodes, trains it, and evaluates the loss and the curvature around the result:
// y = W₂ a₂ + b₂, a₂ = tanh(a₁ + W' tanh(W a₁ + b) + b'), a₁ = tanh(W₁ x + b₁).
//   residual
#include <cmath>
#include <cstdio>
#include <exception>

#include <lossatlas/lossatlas.hpp>

using namespace lossatlas;

namespace {

/// Three spiral arms of 100 points each in the plane.
Dataset spirals() {
  std::vector<double> inputs;
  std::vector<std::int32_t> labels;
  for (std::int32_t n = 0; n < 300; ++n) {
    const double radius = 0.2 + 0.8 * (n / 3) / 100.0, angle = 4 * radius + 2.0943951 * (n % 3);
    inputs.push_back(radius * std::cos(angle));
    inputs.push_back(radius * std::sin(angle));
    labels.push_back(n % 3);
  }
  return Dataset::classification(std::move(inputs), 2, std::move(labels), 3);
}

void print_plan(const char* what, const Landscape& landscape, const Section& section) {
  std::printf("\n%s\n%s\n", what, landscape.explain(section, 41 * 41).c_str());
}

}  // namespace

int main() try {
  const Dataset data = spirals();
  const std::int64_t width = 8;
  const Network network({{Dense{data.features(), width, true, Activation::tanh}, {-1}},  // node 0 takes the input x
                         {Dense{width, width, true, Activation::tanh}, {0}},
                         {Dense{width, width, true, Activation::identity}, {1}},
                         {Add{Activation::tanh}, {0, 2}},  // the residual block: node 0 plus its branch
                         {Dense{width, data.outputs(), true, Activation::identity}, {3}}});
  std::printf("%s\n", network.describe().c_str());

  const Landscape landscape(network, data, Loss::cross_entropy);
  StoppingRule rule;
  rule.iterations = 300;
  const std::vector<double> start = random_parameters(network, {.seed = 1});
  const std::vector<double> theta = optimise(landscape, start, Adam{.rate = 0.02}, rule).theta;
  const Evaluation before = landscape.evaluate(start), after = landscape.evaluate(theta);
  std::printf("loss %.4f -> %.4f, accuracy %.3f\n", before.loss(), after.loss(), after.accuracy[0]);

  const Section plane = make_section(network, theta, random_directions(network, theta, {.count = 2, .seed = 2}));
  print_plan("all weights move: the first layer is affine in alpha", landscape, plane);
  std::vector<double> direction(theta.size(), 0.0);
  const LayerView<double> branch = network.view(std::span<double>(direction), 2);
  for (double& weight : branch.weight.row(0)) weight = 1;
  print_plan("one weight row of the branch moves: what is below and beside it is computed once", landscape,
             make_section(network, theta, direction));

  const Surface surface = landscape.evaluate(plane, Grid::box(-1, 1, {41, 41}));
  write_png("residual.png", surface, {.title = network.describe()});
  const Spectrum spectrum = hessian_spectrum(landscape, theta);
  std::printf("\n%lld eigenvalues from %.3g to %.3g, %lld negative; the plane is in residual.png\n",
              static_cast<long long>(spectrum.eigenvalues.size()), spectrum.eigenvalues.front(),
              spectrum.eigenvalues.back(), static_cast<long long>(spectrum.inertia.negative));
  write_model("residual.safetensors", network, theta);
  return read_model("residual.safetensors").network == network ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "residual: %s\n", error.what());
  return 1;
}
