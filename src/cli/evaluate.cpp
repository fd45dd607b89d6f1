// lossatlas evaluate: loss, accuracy and gradient at one parameter vector.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

struct EvaluateArguments {
  ModelOptions model;
  DeviceOptions device;
  std::string data;
  std::string loss;
  bool json = false;
};

void evaluate(const EvaluateArguments& arguments, Session& session) {
  const Loss loss = read_loss(arguments.loss);
  const Model model = arguments.model.read();
  const Dataset data = read_data("--data", arguments.data);
  const Device device = arguments.device.select(session);
  const Landscape landscape = for_option("--data", [&] { return Landscape(model.network, data, loss, device); });
  const Evaluation result = landscape.evaluate(model.theta, session.control());
  const Norms gradient = norms(landscape.gradient(model.theta, session.control()));
  session.finish();
  if (arguments.json) {
    print({{"loss", result.losses},
           {"accuracy", result.accuracy},
           {"gradient_l1", gradient.l1},
           {"gradient_l2", gradient.l2},
           {"gradient_max", gradient.max},
           {"device", landscape.device().describe()},
           {"precision", name(Precision::f64)}});
    return;
  }
  std::printf("network   %s\n", model.network.describe().c_str());
  std::printf("data      %s, %lld samples\n", data.name().c_str(), static_cast<long long>(data.size()));
  for (std::size_t k = 0; k < result.losses.size(); ++k) {
    std::printf("head %-4zu %s %.17g", k, std::string(name(loss)).c_str(), result.losses[k]);
    if (data.has_labels()) std::printf(", accuracy %.4f", result.accuracy[k]);
    std::printf("\n");
  }
  std::printf("gradient  l1 %.6e, l2 %.6e, max %.6e\n", gradient.l1, gradient.l2, gradient.max);
}

}  // namespace

void add_evaluate(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("evaluate", "Loss, accuracy and gradient norms of a model on a data set");
  auto arguments = std::make_shared<EvaluateArguments>();
  arguments->model.add_to(*command);
  command->add_option("--data", arguments->data, "Data set, see below")->required()->type_name("SPEC");
  command->add_option("--loss", arguments->loss, "ce (cross entropy) or mse (squared error, summed over outputs)")
      ->required()
      ->type_name("LOSS");
  arguments->device.add_to(*command);
  command->add_flag("--json", arguments->json, "Print JSON: loss, accuracy (one entry a head), gradient_l1, _l2, _max");
  command->footer(std::string(kSpecHelp) +
                  "\nExamples:\n"
                  "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,256 --out out\n"
                  "  lossatlas evaluate --model out/model.safetensors --data glyphs:1000 --loss ce\n"
                  "  lossatlas evaluate --model out/model.safetensors --data glyphs:1000 --loss ce --json\n"
                  "\nAccuracy is null in JSON for real targets.\n");
  command->callback(
      [arguments, &chosen] { chosen = [arguments](Session& session) { evaluate(*arguments, session); }; });
}

}  // namespace lossatlas::cli
