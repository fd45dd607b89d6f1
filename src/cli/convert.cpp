// lossatlas convert: writes another program's model as a file that knows its network.
#include <memory>
#include <string>

#include <lossatlas/model_file.hpp>

#include "commands.hpp"
#include "common.hpp"
#include "outputs.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

struct ConvertArguments {
  ModelOptions model;
  std::string out;
  bool json = false;
};

void convert(const ConvertArguments& arguments, Session& session) {
  const OutputFile output{"--out", arguments.out, ".safetensors"};
  check_output_file(output);
  const Model model = arguments.model.read();
  check_apart({output}, session);
  session.check();
  write_model(arguments.out, model.network, model.theta);
  session.finish();
  if (arguments.json) {
    print({{"network", describe(model.network)},
           {"parameters", model.network.parameter_count()},
           {"written", arguments.out}});
    return;
  }
  print_line("network   %s", model.network.describe().c_str());
  print_line("written   %s", arguments.out.c_str());
}

}  // namespace

void add_convert(CLI::App& program, Command& chosen) {
  auto* command =
      program.add_subcommand("convert", "Write a model of another program as a file that knows its network");
  auto arguments = std::make_shared<ConvertArguments>();
  arguments->model.file_option = "--model,file";
  arguments->model.add_to(*command);
  command->add_option("--out", arguments->out, "The model, a safetensors file")->required()->type_name("FILE");
  command->add_flag("--json", arguments->json, "Print JSON: network, parameters, written");
  command->footer(
      "Reads the linear layers of a PyTorch state dict that was saved as safetensors; each takes the outputs of the "
      "one\n"
      "before. Numbers in their names tell the order (fc1, fc2, fc10); where names differ before a number (fc1, out),\n"
      "the shapes must leave one order only. Any layer may lack its bias. \"module.\" and \"_orig_mod.\" are dropped, "
      "the\n"
      "counter n_averaged is skipped. Parameters become f64.\n"
      "Other commands read such files too, with the same --activation; the written file needs no option.\n"
      "\nExamples:\n"
      "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,256 --out out\n"
      "  lossatlas convert out/model.safetensors --activation tanh --out copy.safetensors\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { convert(*arguments, session); }; });
}

}  // namespace lossatlas::cli
