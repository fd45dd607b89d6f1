// lossatlas reproduce: the figures of the papers.
#include "reproduce.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "commands.hpp"

namespace lossatlas::cli {
namespace {

std::vector<Figure> all_figures() {
  std::vector<Figure> figures;
  for (const auto paper : {czarnecki2019_figures(), zhang2021_figures()}) {
    figures.insert(figures.end(), paper.begin(), paper.end());
  }
  return figures;
}

void list_figures(bool json) {
  Json list = Json::array();
  for (const Figure& figure : all_figures()) {
    list.push_back({{"name", figure.name}, {"description", figure.description}});
    if (!json) print_line("%-22s  %s", figure.name, figure.description);
  }
  if (json) print(list);
}

Figure find_figure(const std::string& name) {
  const auto figures = all_figures();
  const auto found = std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return name == f.name; });
  if (found != figures.end()) return *found;
  std::string names;
  for (const Figure& figure : figures) names += std::string(names.empty() ? "" : ", ") + figure.name;
  throw InvalidArgument("NAME: received \"" + name + "\", expected one of " + names);
}

constexpr const char* kNumbers = "report.json";

void reproduce(ReproduceArguments& arguments, Session& session) {
  if (arguments.figure.empty()) return list_figures(arguments.json);
  const Figure figure = find_figure(arguments.figure);
  check_output_folder("--out", arguments.out);
  arguments.outputs = {{"--out", arguments.out / kNumbers, {}}};
  for (const char* file : figure.files) {
    if (file != nullptr) arguments.outputs.push_back({"--out", arguments.out / file, {}});
  }
  Json report = {{"figure", figure.name}, {"description", figure.description}};
  report.add(figure.draw(arguments, session));
  session.finish();
  write_json(arguments.out / kNumbers, report);
  if (arguments.json) {
    print(report);
  } else {
    print_line("%s", figure.description);
    print_line("written to %s", arguments.out.string().c_str());
  }
}

}  // namespace

void add_reproduce(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("reproduce", "Figures of the papers; alone, lists their names");
  auto arguments = std::make_shared<ReproduceArguments>();
  auto* figure = command->add_option("NAME", arguments->figure, "The figure")->type_name("");
  command->add_option("--out", arguments->out, "Folder for pictures, tables and report.json; made if missing")
      ->needs(figure)
      ->type_name("DIR");
  command->add_option("--data", arguments->data, "Data set instead of the figure's own, see below")
      ->needs(figure)
      ->type_name("SPEC");
  arguments->device.add_to(*command);
  command->add_flag("--json", arguments->json, "Print report.json on stdout as well");
  command->footer(std::string(kSpecHelp) +
                  "\nExamples:\n"
                  "  lossatlas reproduce\n"
                  "  lossatlas reproduce czarnecki2019-fig1 --out figure1\n"
                  "  lossatlas reproduce czarnecki2019-fig3 --out figure3 --json\n"
                  "  lossatlas reproduce zhang2021-fig3a --out figure3a\n"
                  "\nzhang2021-fig3b needs iris.csv in the folder that LOSSATLAS_DATA names, or --data csv:FILE.\n");
  command->callback([arguments, &chosen] {
    if (!arguments->figure.empty() && arguments->out.empty()) throw CLI::RequiredError("--out");
    chosen = [arguments](Session& session) { reproduce(*arguments, session); };
  });
}

}  // namespace lossatlas::cli
