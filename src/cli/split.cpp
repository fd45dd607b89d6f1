// lossatlas split: turns one neuron of a model into several that compute the same function.
#include <memory>
#include <optional>

#include "commands.hpp"
#include "embedding_output.hpp"

namespace lossatlas::cli {
namespace {

struct SplitArguments {
  ModelOptions model;
  NeuronOptions neuron;
  std::optional<double> alpha;
  std::string weights;
  EmbeddingOutput output;
};

void split(const SplitArguments& arguments, Session& session) {
  const Model model = arguments.model.read();
  arguments.neuron.check(model.network);
  const std::int64_t layer = arguments.neuron.layer, neuron = arguments.neuron.neuron;
  const auto make = [&]() -> Embedding {
    if (arguments.weights.empty()) {
      const Split one{layer, neuron, arguments.alpha.value_or(Split{}.alpha)};
      return for_option("--alpha", [&] { return split_neuron(model.network, model.theta, one); });
    }
    const auto weights = parse_numbers("--weights", arguments.weights, ',');
    return for_option("--weights", [&] { return split_neuron(model.network, model.theta, layer, neuron, weights); });
  };
  arguments.output.run(model, make, session);
}

}  // namespace

void add_split(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("split", "Split a hidden neuron into copies that compute the same function");
  auto arguments = std::make_shared<SplitArguments>();
  arguments->model.add_to(*command);
  arguments->neuron.add_to(*command);
  auto* alpha = add_real(*command, "--alpha", arguments->alpha, {},
                         "Share of the output weights that the copy gets, any number; the neuron keeps the rest "
                         "(default: 0.5)");
  alpha->type_name("ALPHA");
  command
      ->add_option("--weights", arguments->weights,
                   "Shares of several copies, which sum to 1; the first replaces the neuron, the others come last")
      ->excludes(alpha)
      ->type_name("LIST");
  arguments->output.add_to(*command);
  command->footer(
      std::string("The copies have the neuron's input weights and bias and share its output weights. Every critical\n"
                  "point stays critical, for any shares; whether a minimum becomes a saddle, lossatlas forecast says.\n"
                  "\n") +
      kCertificateHelp + kSpecHelp +
      "\nExamples:\n"
      "  lossatlas find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas split --model points/critical-1.safetensors --layer 1 --neuron 0 --out wide.safetensors\n"
      "  lossatlas split --model points/critical-1.safetensors --layer 1 --neuron 0 --weights 0.3,0.3,0.4 "
      "--data tanh3 --loss mse --out wider.safetensors --json\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { split(*arguments, session); }; });
}

}  // namespace lossatlas::cli
