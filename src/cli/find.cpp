// lossatlas find: the critical points that descents from many random starts lead to.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <regex>
#include <system_error>

#include "commands.hpp"
#include "common.hpp"
#include "outputs.hpp"
#include "problem.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

namespace fs = std::filesystem;

struct FindArguments {
  ModelOptions model;  ///< only its architecture is used
  ProblemOptions problem;
  DeviceOptions device;
  CriticalSearchOptions search;
  double power = 3;   ///< search.init.power
  std::string scale;  ///< numbers for search.init.scale
  std::string out;
  bool json = false;
};

// critical-01.safetensors: as many digits as the last number needs.
std::string model_file(std::size_t index, std::size_t count) {
  const std::string last = std::to_string(count), number = std::to_string(index + 1);
  return "critical-" + std::string(last.size() - number.size(), '0') + number + ".safetensors";
}

constexpr const char* kCriticalPoints = "critical_points.json";

// The models that an earlier search may have left.
std::vector<fs::path> models_in(const fs::path& folder) {
  static const std::regex kName("critical-[0-9]+\\.safetensors");
  std::vector<fs::path> models;
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, absent)) {
    if (std::regex_match(entry.path().filename().string(), kName)) models.push_back(entry.path());
  }
  return models;
}

// Lists only the models already there: a file that does not exist cannot be an input.
std::vector<OutputFile> output_files(const fs::path& folder) {
  std::vector<OutputFile> files{{"--out", folder / kCriticalPoints, {}}};
  for (const fs::path& model : models_in(folder)) files.push_back({"--out", model, {}});
  return files;
}

// Removes models of an earlier search that this one did not write: the report does not know them.
void remove_stale_models(const fs::path& folder, std::size_t count) {
  std::vector<std::string> written;
  for (std::size_t i = 0; i < count; ++i) written.push_back(model_file(i, count));
  for (const fs::path& file : models_in(folder)) {
    if (std::find(written.begin(), written.end(), file.filename()) != written.end()) continue;
    std::error_code error;
    if (!fs::is_regular_file(file, error)) continue;
    fs::remove(file, error);
    if (error)
      throw FileError("--out: received " + file.string() + " of an earlier search, expected one that can be " +
                      "removed: " + error.message());
  }
}

Json point_json(const CriticalClass& found, const std::string& file) {
  const CriticalPoint& point = found.representative;
  Json inertias = Json::array();
  for (const Inertia& inertia : found.inertias) inertias.push_back(describe(inertia));
  return {{"model", file},
          {"loss", point.loss},
          {"gradient_l1", point.gradient_l1},
          {"gradient_max", point.gradient_max},
          {"inertia", describe(point.inertia)},
          {"finite", point.finite},
          {"critical", point.critical},
          {"constant", found.constant},
          {"count", found.count},
          {"inertias", inertias},
          {"zero_threshold", point.zero.threshold},
          {"gap", point.zero.gap},
          {"device", point.device}};
}

// Deviation of the starts' parameters: numbers for each layer or for all, or the rule.
Json initial_deviation(const CriticalSearchOptions& options) {
  if (!options.init.scale.empty()) return options.init.scale;
  char text[64];
  std::snprintf(text, sizeof text, "m^(-%g/2)", *options.init.power);
  return text;
}

Json search_json(const CriticalSearch& result, const Landscape& landscape, const CriticalSearchOptions& options) {
  Json points = Json::array();
  for (std::size_t i = 0; i < result.classes.size(); ++i) {
    points.push_back(point_json(result.classes[i], model_file(i, result.classes.size())));
  }
  return {{"critical_points", points},
          {"found", result.found},
          {"not_converged", result.not_converged},
          {"at_infinity", result.at_infinity},
          {"constant_zero", result.vanishing_output},
          {"network", describe(landscape.network())},
          {"parameters", landscape.network().parameter_count()},
          {"data", describe(landscape.data())},
          {"loss", name(landscape.loss())},
          {"starts", options.starts},
          {"seed", options.init.seed},
          {"initial_deviation", initial_deviation(options)},
          {"tolerance", options.each.tolerance},
          {"remarks", curvature_remarks(landscape.network())},
          {"device", landscape.device().describe()},
          {"version", version()}};
}

void print_search(const CriticalSearch& result, const Landscape& landscape, const FindArguments& arguments) {
  print_line("network   %s", landscape.network().describe().c_str());
  print_line("data      %s, %lld samples", landscape.data().name().c_str(),
             static_cast<long long>(landscape.data().size()));
  print_line("starts    %lld: %lld found points, %lld at infinity, %lld at the constant zero, %lld not converged",
             static_cast<long long>(arguments.search.starts), static_cast<long long>(result.found),
             static_cast<long long>(result.at_infinity), static_cast<long long>(result.vanishing_output),
             static_cast<long long>(result.not_converged));
  for (std::size_t i = 0; i < result.classes.size(); ++i) {
    const CriticalPoint& point = result.classes[i].representative;
    print_line("%s  loss %.12g, |gradient|_1 %.2e, %lld starts, %s%s", model_file(i, result.classes.size()).c_str(),
               point.loss, point.gradient_l1, static_cast<long long>(result.classes[i].count),
               counts(point.inertia).c_str(), result.classes[i].constant ? ", constant output" : "");
  }
  print_line("written   %s", (fs::path(arguments.out) / kCriticalPoints).string().c_str());
}

// Checks the search options.
CriticalSearchOptions search_options(const FindArguments& arguments, const Network& network) {
  CriticalSearchOptions options = arguments.search;
  options.init.power = arguments.power;
  if (arguments.scale.empty()) return options;
  constexpr double kMostScale = 1e100;  // starts beyond it are infinite
  std::vector<double>& scales = options.init.scale;
  scales = parse_numbers("--init-scale", arguments.scale, ',');
  const auto depth = static_cast<std::size_t>(network.depth());
  if (scales.size() != 1 && scales.size() != depth) {
    throw InvalidArgument("--init-scale: received " + std::to_string(scales.size()) +
                          " numbers, expected one for all layers or one for each of " + std::to_string(depth));
  }
  for (const double scale : scales) {
    if (scale >= 0 && scale <= kMostScale) continue;
    throw InvalidArgument("--init-scale: received \"" + arguments.scale +
                          "\", expected standard deviations from 0 to 1e100");
  }
  return options;
}

void find(const FindArguments& arguments, Session& session) {
  const Network network = arguments.model.architecture(arguments.model.activations());
  read_loss(arguments.problem.loss);
  check_output_folder("--out", arguments.out);
  CriticalSearchOptions options = search_options(arguments, network);
  const Device device = arguments.device.select(session);
  constexpr double kMatrices = 4;  // per start under way: Hessian, eigenvectors, LAPACK's workspace of two
  check_hessian_memory("--layers", network,
                       kMatrices * static_cast<double>(std::min<std::int64_t>(device.threads(), options.starts)));
  const Landscape landscape = arguments.problem.landscape(network, device, session);
  check_apart(output_files(arguments.out), session);
  options.each.control = session.control();
  const CriticalSearch result = for_option("--layers", [&] { return search_critical_points(landscape, options); });
  for (const std::string& line : curvature_remarks(network)) session.note("note: " + line);
  session.finish();

  make_folder(arguments.out);
  for (std::size_t i = 0; i < result.classes.size(); ++i) {
    write_model(fs::path(arguments.out) / model_file(i, result.classes.size()), network,
                result.classes[i].representative.theta);
  }
  const Json report = search_json(result, landscape, options);
  write_json(fs::path(arguments.out) / kCriticalPoints, report);
  remove_stale_models(arguments.out, result.classes.size());
  if (arguments.json) {
    print(report);
  } else {
    print_search(result, landscape, arguments);
  }
}

void add_architecture(CLI::App& command, ModelOptions& model) {
  command.add_option("--layers", model.layers, "Widths d,m1,...,outputs of the dense layers")
      ->required()
      ->type_name("LIST");
  command
      .add_option("--activation", model.activation,
                  "Hidden layers' activation: identity relu leaky_relu tanh sigmoid softplus gelu sine")
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--bias", model.bias, "Layers that have a bias")
      ->check(CLI::IsMember({"all", "hidden", "none"}))
      ->type_name("WHICH")
      ->default_str("all");
}

void add_search(CLI::App& command, FindArguments& arguments) {
  CriticalSearchOptions& search = arguments.search;
  add_whole<std::int64_t>(command, "--starts", search.starts, 1, kMostWhole, "Random starts")->type_name("N");
  add_seed(command, search.init.seed, "Seed of the starts");
  auto* power = add_real(command, "--init-power", arguments.power, {.least = -100, .most = 100},
                         "Starts are drawn with variance 1/m^P, m the widest hidden layer")
                    ->type_name("P");
  command
      .add_option("--init-scale", arguments.scale,
                  "Instead, standard deviations of the starts' parameters: one for each layer, or one for all")
      ->excludes(power)
      ->type_name("S[,S...]");
  add_real(command, "--tolerance", search.each.tolerance, {.least = 0, .open = true},
           "Largest |gradient|_1 of a point that counts as critical")
      ->type_name("T");
}

}  // namespace

void add_find(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("find", "The critical points that many random starts lead to");
  auto arguments = std::make_shared<FindArguments>();
  arguments->model.activation = "tanh";  // of the network asked about; every report names it
  add_architecture(*command, arguments->model);
  arguments->problem.add_to(*command);
  add_search(*command, *arguments);
  arguments->device.add_to(*command);
  command->add_option("--out", arguments->out, "Folder for the results; made if missing")->required()->type_name("DIR");
  command->add_flag("--json", arguments->json, "Print critical_points.json on stdout as well");
  command->footer(
      std::string(
          "Every other start descends to the end, to minima for the most part; the others leave the descent at times "
          "on\n"
          "the way and go on by Newton's method, to saddles and degenerate points too, so that one start may lead to\n"
          "several points. Points that are the same up to order, signs, copies and dead ones of neurons, factors that\n"
          "relu moves between layers and, under cross entropy, a shift of all outputs count as one, and so do all with "
          "a\n"
          "constant output. Writes one model critical-K.safetensors for each, by ascending loss, in place of those of "
          "an\n"
          "earlier search, and critical_points.json: loss, gradient_l1, inertia (positive, zero and negative "
          "eigenvalues\n"
          "of the Hessian), finite, constant (the output is the same for all samples), and count, the starts that led\n"
          "there. Starts that found no point led to infinity, to the constant zero (for cross entropy: to equal\n"
          "probabilities that are not the label frequencies) or to no critical point; these are never reported as\n"
          "critical. starts = found + at_infinity + constant_zero + not_converged; a start that found several points "
          "is\n"
          "in the count of each. The second derivative of relu counts as 0 in inertias; remarks says so.\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas find --layers 1,2,1 --activation tanh --bias hidden --data tanh3 --loss mse --starts 8 --seed 2 "
      "--out points2 --json\n"
      "  lossatlas find --layers 1,3,1 --bias hidden --data tanh3 --loss mse --starts 8 --init-scale 0.6,0.3 --out "
      "points3\n"
      "  lossatlas spectrum --model points/critical-1.safetensors --data tanh3 --loss mse\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { find(*arguments, session); }; });
}

}  // namespace lossatlas::cli
