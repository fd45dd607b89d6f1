// lossatlas merge: joins the shards of a section into one file.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "common.hpp"
#include "report.hpp"
#include "section_output.hpp"

namespace lossatlas::cli {
namespace {

struct MergeArguments {
  SectionOutputs outputs;
  std::vector<std::string> shards;
  bool json = false;
};

void merge(const MergeArguments& arguments, Session& session) {
  const std::vector<std::filesystem::path> shards(arguments.shards.begin(), arguments.shards.end());
  const std::vector<OutputFile> outputs = arguments.outputs.files(".npy");
  for (const OutputFile& output : outputs) check_output_file(output);
  for (const auto& shard : shards) shard_grid(shard);
  check_apart(outputs, session);
  const Grid grid = shard_grid(shards.front());
  arguments.outputs.check_pictures(grid, shard_heads(shards.front()));
  const SectionFileReport report = merge_sections(arguments.outputs.out, shards, session.control());
  arguments.outputs.write_pictures(grid, report, "");
  session.finish();
  if (arguments.json) {
    return print({{"grid", describe(grid)},
                  {"heads", report.heads},
                  {"shards", shards.size()},
                  {"min", report.range.lo},
                  {"max", report.range.hi},
                  {"nonfinite", report.nonfinite},
                  {"seconds", report.seconds}});
  }
  print_line("grid      %s, %lld head%s, %zu shard%s", grid.describe().c_str(), static_cast<long long>(report.heads),
             report.heads == 1 ? "" : "s", shards.size(), shards.size() == 1 ? "" : "s");
  print_line("loss      min %.10g, max %.10g, non-finite %lld", report.range.lo, report.range.hi,
             static_cast<long long>(report.nonfinite));
}

}  // namespace

void add_merge(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("merge", "The shards of a section as one file");
  auto arguments = std::make_shared<MergeArguments>();
  arguments->outputs.add_to(*command)->required();
  command->add_option("shards", arguments->shards, "The files that section --shard wrote, all of them, in any order")
      ->required()
      ->type_name("SHARD");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "The file has the bits of one run over the whole grid. Shards of different models, data, grids, precisions,\n"
      "devices or versions, damaged ones, and an incomplete set are refused.\n\n"
      "Examples:\n"
      "  lossatlas fit --target demo --train glyphs:200 --hidden 16,64 --grid 32x32 --out out\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions filter --grid 15x11 "
      "--shard 1/2 --out 1.shard\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions filter --grid 15x11 "
      "--shard 2/2 --out 2.shard\n"
      "  lossatlas merge --out plane.npy --png plane.png 1.shard 2.shard\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { merge(*arguments, session); }; });
}

}  // namespace lossatlas::cli
