// lossatlas embed: puts a model into a wider network that computes the same function.
#include <algorithm>
#include <memory>

#include "commands.hpp"
#include "embedding_output.hpp"

namespace lossatlas::cli {
namespace {

struct EmbedArguments {
  ModelOptions model;
  std::string layers;
  std::string rule = "equal";
  EmbeddingOutput output;
};

std::vector<std::int64_t> widths_of(const Network& network) {
  std::vector<std::int64_t> widths{network.inputs()};
  for (std::int64_t l = 0; l < network.depth(); ++l) widths.push_back(network.width(l));
  return widths;
}

std::string list(const std::vector<std::int64_t>& widths) {
  std::string text;
  for (const std::int64_t width : widths) text += (text.empty() ? "" : ",") + std::to_string(width);
  return text;
}

/// Reads the hidden widths asked for; the network must keep its depth, inputs and outputs and get narrower nowhere.
std::vector<std::int64_t> hidden_widths(const std::string& layers, const Network& network) {
  const auto wide = parse_widths("--layers", layers);
  const auto narrow = widths_of(network);
  bool fits = wide.size() == narrow.size() && wide.front() == narrow.front() && wide.back() == narrow.back();
  double parameters = 0;
  for (std::size_t l = 0; fits && l < wide.size(); ++l) {
    fits = wide[l] >= narrow[l];
    if (l > 0) parameters += (static_cast<double>(wide[l - 1]) + 1) * static_cast<double>(wide[l]);
  }
  if (!fits) {
    throw InvalidArgument("--layers: received \"" + layers + "\", expected as many widths as the model's " +
                          list(narrow) + ", the first and last the same and none smaller");
  }
  check_memory("--layers", 3 * 8 * parameters);
  return {wide.begin() + 1, wide.end() - 1};
}

constexpr std::string_view kWeights = "weights=";

/// "weights=0.5,0.3,0.2/1,1": for each hidden layer a share for each wide neuron.
std::vector<std::vector<double>> given_shares(const std::string& rule, const std::vector<std::int64_t>& hidden) {
  std::vector<std::vector<double>> shares;
  for (std::size_t first = kWeights.size(); first <= rule.size();) {
    const std::size_t last = std::min(rule.find('/', first), rule.size());
    shares.push_back(parse_numbers("--rule", rule.substr(first, last - first), ','));
    first = last + 1;
  }
  bool fits = shares.size() == hidden.size();
  for (std::size_t l = 0; fits && l < hidden.size(); ++l) {
    fits = static_cast<std::int64_t>(shares[l].size()) == hidden[l];
  }
  if (!fits) {
    throw InvalidArgument("--rule: received \"" + rule + "\", expected " + std::string(kWeights) +
                          " and a number for " + "each neuron of the hidden widths " + list(hidden) +
                          ", layers with / between");
  }
  return shares;
}

/// Adds new neurons without input and output weights, layer by layer.
Embedding with_null_neurons(const Model& model, const std::vector<std::int64_t>& hidden) {
  Embedding wide = embed(model.network, model.theta, std::span<const Split>{});
  for (std::size_t l = 0; l < hidden.size(); ++l) {
    const std::int64_t more = hidden[l] - static_cast<std::int64_t>(wide.source[l].size());
    if (more == 0) continue;
    Embedding step = null_embedding(wide.network, wide.theta, static_cast<std::int64_t>(l) + 1, more);
    wide.network = std::move(step.network);
    wide.theta = std::move(step.theta);
    wide.source[l] = std::move(step.source[l]);
    wide.share[l] = std::move(step.share[l]);
  }
  return wide;
}

void embed_model(const EmbedArguments& arguments, Session& session) {
  const Model model = arguments.model.read();
  require_dense_chain(model.network);
  const auto hidden = hidden_widths(arguments.layers, model.network);
  const auto make = [&]() -> Embedding {
    if (arguments.rule.starts_with(kWeights)) {
      const auto shares = given_shares(arguments.rule, hidden);
      return for_option("--rule", [&] { return embed(model.network, model.theta, shares); });
    }
    return for_option("--layers", [&] {
      return arguments.rule == "null" ? with_null_neurons(model, hidden)
                                      : embed(model.network, model.theta, std::span<const std::int64_t>(hidden));
    });
  };
  arguments.output.run(model, make, session);
}

}  // namespace

void add_embed(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("embed", "Embed a model in a wider network that computes the same function");
  auto arguments = std::make_shared<EmbedArguments>();
  arguments->model.layers_option = "--model-layers";
  arguments->model.add_to(*command);
  command->add_option("--layers", arguments->layers, "Widths d,m1,...,outputs of the wide network")
      ->required()
      ->type_name("LIST");
  command
      ->add_option("--rule", arguments->rule,
                   "equal: neurons are copied in turn, and the copies of one share its output weights equally; "
                   "weights=...: the same, with a given share for each wide neuron, see below; null: new neurons have "
                   "zero weights, and activation(0) must be 0 or the next layer have a bias")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const bool known = text == "equal" || text == "null" || text.starts_with(kWeights);
            return known ? "" : "received \"" + text + "\", expected equal, null or weights=0.5,0.3,0.2";
          },
          ""))
      ->type_name("RULE")
      ->capture_default_str();
  arguments->output.add_to(*command);
  command->footer(
      std::string(
          "Copied in turn means that wide neuron j copies neuron j mod m of the m that the model has. weights= takes "
          "a\n"
          "number for each hidden neuron of the wide network, with / between layers; those of the copies of one "
          "neuron\n"
          "sum to 1, and may be negative. So --layers 1,3,1 --rule weights=0.2,1,0.8 splits the first of two neurons.\n"
          "\n") +
      kCertificateHelp + kSpecHelp +
      "\nExamples:\n"
      "  lossatlas find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas embed --model points/critical-1.safetensors --layers 1,4,1 --out embedded.safetensors\n"
      "  lossatlas embed --model points/critical-1.safetensors --layers 1,3,1 --rule weights=0.5,0.3,0.2 --data tanh3 "
      "--loss mse --out weighted.safetensors\n"
      "  lossatlas embed --model points/critical-1.safetensors --layers 1,3,1 --rule null --data tanh3 --loss mse "
      "--out null.safetensors --json\n");
  command->callback(
      [arguments, &chosen] { chosen = [arguments](Session& session) { embed_model(*arguments, session); }; });
}

}  // namespace lossatlas::cli
