#include "problem.hpp"

#include <cstdio>

namespace lossatlas::cli {
namespace {

constexpr const char* kLossHelp = "ce (cross entropy) or mse (squared error, summed over outputs)";

}  // namespace

void ProblemOptions::add_to(CLI::App& command) {
  command.add_option("--data", data, "Data set, see below")->required()->type_name("SPEC");
  command.add_option("--loss", loss, kLossHelp)->required()->type_name("LOSS");
}

void ProblemOptions::add_optional_to(CLI::App& command) {
  auto* on_data = command.add_option("--data", data, "Data set to check the result on, see below");
  auto* with_loss = command.add_option("--loss", loss, kLossHelp);
  on_data->needs(with_loss)->type_name("SPEC");
  with_loss->needs(on_data)->type_name("LOSS");
}

Landscape ProblemOptions::landscape(const Network& network, const Device& device, Session& session) const {
  const Loss kind = read_loss(loss);
  const Dataset set = read_data("--data", data, session);
  return for_option("--data", [&] { return Landscape(network, set, kind, device); });
}

void require_dense_chain(const Network& network) {
  if (is_dense_chain(network)) return;
  throw InvalidArgument("--model: received a network of " + network.describe() +
                        ", expected a chain of dense layers: the copies of a neuron cannot pass an Add");
}

void NeuronOptions::add_to(CLI::App& command) {
  add_whole<std::int64_t>(command, "--layer", layer, 1, kMostWhole, "Hidden layer, from 1")
      ->default_str("")
      ->required()
      ->type_name("L");
  add_whole<std::int64_t>(command, "--neuron", neuron, 0, kMostWhole, "Neuron of the layer, from 0")
      ->default_str("")
      ->required()
      ->type_name("S");
}

void NeuronOptions::check(const Network& network) const {
  require_dense_chain(network);
  const std::int64_t hidden = network.depth() - 1;
  if (hidden == 0) throw InvalidArgument("--model: received " + network.describe() + ", expected a hidden layer");
  if (layer < 1 || layer > hidden) {
    throw InvalidArgument("--layer: received " + std::to_string(layer) + ", expected 1 to " + std::to_string(hidden) +
                          ", a hidden layer of " + network.describe());
  }
  const std::int64_t width = network.width(layer - 1);
  if (neuron < 0 || neuron >= width) {
    throw InvalidArgument("--neuron: received " + std::to_string(neuron) + ", expected 0 to " +
                          std::to_string(width - 1) + " in layer " + std::to_string(layer));
  }
}

void check_hessian_memory(std::string_view option, const Network& network, double copies) {
  const auto parameters = static_cast<double>(network.parameter_count());
  check_memory(option, 8 * copies * parameters * parameters);
}

std::vector<std::string> curvature_remarks(const Network& network) {
  for (const Node& node : network.nodes()) {
    const Activation activation = lossatlas::activation(node.layer);
    if (activation != Activation::relu && activation != Activation::leaky_relu) continue;
    return {"the second derivative of " + std::string(name(activation)) + " counts as 0 everywhere"};
  }
  return {};
}

std::vector<std::string> remarks(const Network& network, double gap) {
  constexpr double kClear = 1000;
  std::vector<std::string> lines = curvature_remarks(network);
  if (!(gap >= kClear)) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "the eigenvalues next to the zero threshold differ by a factor of %.3g only; the counts may be off",
                  gap);
    lines.emplace_back(text);
  }
  return lines;
}

void print_point(const Landscape& landscape, double loss, const Norms& gradient) {
  const Dataset& data = landscape.data();
  print_line("network   %s", landscape.network().describe().c_str());
  print_line("data      %s, %lld samples", data.name().c_str(), static_cast<long long>(data.size()));
  print_line("loss      %s %.17g", std::string(name(landscape.loss())).c_str(), loss);
  print_line("gradient  l1 %.6e, max %.6e", gradient.l1, gradient.max);
}

}  // namespace lossatlas::cli
