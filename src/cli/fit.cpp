// lossatlas fit: puts a picture into the loss surface of a network and shows it on the training data and on others.
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "commands.hpp"
#include "common.hpp"
#include "fit_output.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

// Beyond these, no fit in double precision has digits left.
constexpr double kMostMargin = 1e9, kMostWidth = 1e6, kMostRidge = 1e6;

struct FitArguments {
  std::string target;
  std::string train;
  std::string test;
  std::vector<std::string> transfer;
  std::string hidden = "64,2048";
  std::string activation = "tanh";
  std::string loss = "ce";
  std::string method = "features";
  std::string grid;
  std::string precision = "f64";
  std::uint64_t seed = 1;
  double margin = FitOptions{}.margin;
  std::optional<double> feature_width;
  std::optional<double> placed_share;
  std::optional<double> ridge;
  std::int64_t iterations = 0;
  DeviceOptions device;
  std::string out;
  bool json = false;
};

FitOptions fit_options(const FitArguments& arguments) {
  return {.hidden = parse_widths("--hidden", arguments.hidden),
          .activation = for_option("--activation", [&] { return parse_activation(arguments.activation); }),
          .loss = read_loss(arguments.loss),
          .method = for_option("--method", [&] { return parse_fit_method(arguments.method); }),
          .margin = arguments.margin,
          .feature_width = arguments.feature_width,
          .placed_share = arguments.placed_share,
          .ridge = arguments.ridge,
          .seed = arguments.seed,
          .iterations = arguments.iterations};
}

std::vector<Other> read_others(const FitArguments& arguments, const Dataset& train) {
  std::vector<std::pair<std::string, std::string>> specs;
  if (!arguments.test.empty()) specs.emplace_back("test", arguments.test);
  for (const std::string& spec : arguments.transfer) specs.emplace_back("transfer", spec);
  std::vector<Other> others;
  for (const auto& [role, spec] : specs) {
    others.push_back({role, read_data("--" + role, spec, train)});
    const Dataset& data = others.back().data;
    if (data.features() != train.features() || data.outputs() != train.outputs()) {
      const auto shape = [](const Dataset& d) {
        return std::to_string(d.features()) + " inputs and " + std::to_string(d.outputs()) + " outputs";
      };
      throw InvalidArgument("--" + role + ": received data with " + shape(data) + ", expected " + shape(train) +
                            " as in --train");
    }
  }
  return others;
}

// Checks memory for the parameters, once for the origin and once per direction, and the Gram matrix with its factor.
void check_network(const std::vector<std::int64_t>& hidden, const Dataset& train, const Pattern& target) {
  const auto last = static_cast<double>(hidden.back());
  double parameters = last * static_cast<double>(target.channels() * train.outputs());
  auto below = static_cast<double>(train.features());
  for (const std::int64_t width : hidden) {
    parameters += below * static_cast<double>(width);
    below = static_cast<double>(width);
  }
  check_memory("--hidden", 8 * (static_cast<double>(1 + target.rank()) * parameters + 2 * last * last));
}

// Checks room for the points and losses of the surface, in memory and on the disk.
void check_room(const Grid& grid, std::int64_t heads, const std::filesystem::path& folder) {
  check_memory("--grid", 8.0 * static_cast<double>(grid.size()) * static_cast<double>(heads + 2 * grid.rank()));
  check_disk(grid, heads, folder);
}

FitResult run_fit(const FitArguments& arguments, Session& session) {
  const auto start = std::chrono::steady_clock::now();
  FitOptions options = fit_options(arguments);
  Pattern target = for_option("--target", [&] { return read_pattern(arguments.target); });
  const auto shape = arguments.grid.empty() ? target.shape() : parse_grid(arguments.grid, target.rank());
  const Grid grid = for_option("--grid", [&] { return Grid::unit(shape); });
  check_output_folder("--out", arguments.out);
  check_room(grid, target.channels(), arguments.out);
  Dataset train = read_data("--train", arguments.train, session);
  std::vector<Other> others = read_others(arguments, train);
  check_apart(fit_files(arguments.out, others), session);
  for_option("--train", [&] { return ImplicitActivation(options.loss, train); });
  check_network(options.hidden, train, target);
  options.device = arguments.device.select(session);
  options.control = session.control();

  PatternFit fit = fit_pattern(target, train, options);
  write_fitted_model(fit, arguments.out);
  const EvaluateOptions evaluation{.precision = parse_precision(arguments.precision), .control = options.control};
  const Landscape landscape(fit.network, train, options.loss, options.device);
  Surface surface = landscape.evaluate(fit.section, grid, evaluation);
  std::vector<TransferReport> reports;
  for (const Other& other : others) {
    session.check();
    reports.push_back(transfer_report(landscape, fit.section, surface, other.data, evaluation));
  }
  const PatternError error = grid == target.grid() ? pattern_error(surface, target) : fit.error;
  const double total = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {std::move(target),
          std::move(train),
          std::move(options),
          std::move(fit),
          std::move(surface),
          std::move(others),
          std::move(reports),
          error,
          total};
}

void fit(const FitArguments& arguments, Session& session) {
  const FitResult result = run_fit(arguments, session);
  session.finish();
  const Json report = fit_report(result);
  write_fit(result, report, arguments.out);
  if (arguments.json) {
    print(report);
  } else {
    print_fit(result, arguments.out);
  }
}

void add_fit_options(CLI::App& command, FitArguments& arguments) {
  command.add_option("--target", arguments.target, "The picture: FILE.png, FILE.npy (one to three axes), or demo")
      ->required()
      ->type_name("FILE|demo");
  command.add_option("--train", arguments.train, "Training data, see below")->required()->type_name("SPEC");
  command.add_option("--test", arguments.test, "Test data, to show the surface on")->type_name("SPEC");
  command.add_option("--transfer", arguments.transfer, "Another data set to show it on; may be given again")
      ->allow_extra_args(false)
      ->type_name("SPEC");
  command
      .add_option("--hidden", arguments.hidden,
                  "Widths of the hidden layers; the picture's axes are biases of the first")
      ->type_name("LIST")
      ->capture_default_str();
  command
      .add_option("--activation", arguments.activation,
                  "Hidden layers' activation: identity relu leaky_relu tanh sigmoid softplus gelu sine")
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--loss", arguments.loss, "ce (cross entropy) or mse (squared error, summed over outputs)")
      ->type_name("LOSS")
      ->capture_default_str();
  command
      .add_option("--method", arguments.method,
                  "features (random features and least squares), adam, or refine (features, then Levenberg-Marquardt)")
      ->type_name("NAME")
      ->capture_default_str();
  add_whole<std::int64_t>(command, "--iterations", arguments.iterations, 0, kMostWhole,
                          "Steps of adam or refine; 0: 4000 or 12")
      ->type_name("N");
  add_seed(command, arguments.seed, "Seed of the random features");
  add_real(command, "--margin", arguments.margin, {.least = 0, .most = kMostMargin, .open = true},
           "Least loss above the infimum of the loss, in units of loss, > 0")
      ->type_name("DELTA");
  add_real(command, "--feature-width", arguments.feature_width, {.least = 0, .most = kMostWidth, .open = true},
           "Width of the finest features, in units of the picture's side (default: from the picture)")
      ->type_name("W");
  add_real(command, "--placed-share", arguments.placed_share, {.least = 0, .most = 1},
           "Share of the features placed where the picture has detail, 0 to 1 (default: from the picture)")
      ->type_name("SHARE");
  add_real(command, "--ridge", arguments.ridge, {.least = 0, .most = kMostRidge},
           "Ridge relative to the mean square of a feature (default: chosen)")
      ->type_name("R");
}

}  // namespace

void add_fit(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("fit", "Put a picture into the loss surface of a network on your data");
  auto arguments = std::make_shared<FitArguments>();
  add_fit_options(*command, *arguments);
  command
      ->add_option("--grid", arguments->grid, "Points of the surface, such as 256x256 (default: the picture's pixels)")
      ->type_name("N1xN2...");
  add_precision(*command, arguments->precision);
  arguments->device.add_to(*command);
  command->add_option("--out", arguments->out, "Folder for the results; made if missing")->required()->type_name("DIR");
  command->add_flag("--json", arguments->json, "Print report.json on stdout as well");
  command->footer(
      std::string(
          "Writes target.png, surface-train.png, surface-test.png, surface-transfer-NAME.png, compare.png (side by\n"
          "side), surface.npy (n1, ..., nz, heads), model.safetensors, directions.npy (z, M) and report.json. A "
          "picture of three\n"
          "channels gets three heads, each with a loss of its own.\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,512 --out out\n"
      "  lossatlas fit --target demo --train glyphs:1000 --test glyphs:500,seed=7 --hidden 64,256 --grid 200x200 "
      "--out larger\n"
      "  lossatlas fit --target demo --train glyphs:1000 --hidden 32,128 --method refine --iterations 2 --out refined "
      "--json\n"
      "\nErrors in the report are measured on the picture's own pixels after the best constant per head (offset);\n"
      "PSNR has peak 1. Numbers that are not finite are null in JSON.\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { fit(*arguments, session); }; });
}

}  // namespace lossatlas::cli
