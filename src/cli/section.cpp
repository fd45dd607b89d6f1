// lossatlas section: the loss on a line, plane or box of parameter space.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

struct SectionArguments {
  ModelOptions model;
  DeviceOptions device;
  std::string data;
  std::string loss;
  std::string origin = "model";
  std::string directions;
  std::string normalise;
  std::string bias_directions = "zero";
  std::int64_t count = 2;
  std::uint64_t seed = 0;
  std::string range = "-1:1";
  std::string grid = "51";
  std::string precision = "f64";
  std::string plan = "auto";
  std::string out;
  std::string png;
  std::string vti;
  bool orthogonal = false;
  bool explain = false;
  bool json = false;
};

bool drawn_at_random(const SectionArguments& arguments) {
  return arguments.directions == "random" || arguments.directions == "filter";
}

std::vector<double> draw_directions(const SectionArguments& arguments, const Model& model) {
  if (arguments.count < 1) throw InvalidArgument("--count: received a number below 1, expected at least one direction");
  check_memory("--count", 16.0 * static_cast<double>(arguments.count) * static_cast<double>(model.theta.size()));
  const std::string& kind = arguments.normalise.empty() ? arguments.directions : arguments.normalise;
  RandomDirectionOptions options{.count = arguments.count, .seed = arguments.seed};
  options.normalisation = kind == "filter"  ? Normalisation::filter
                          : kind == "layer" ? Normalisation::layer
                                            : Normalisation::none;
  options.bias = arguments.bias_directions == "copy"     ? BiasDirection::copy
                 : arguments.bias_directions == "scaled" ? BiasDirection::scaled
                                                         : BiasDirection::zero;
  return random_directions(model.network, model.theta, options);
}

std::vector<double> read_directions(const std::string& file, std::int64_t parameters) {
  Array array = for_option("--directions", [&] { return read_npy(file); });
  if (array.shape.size() != 2 || array.shape[1] != parameters || array.shape[0] < 1) {
    std::string shape;
    for (std::int64_t extent : array.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
    throw InvalidArgument("--directions: received an array of shape (" + shape + "), expected (z, " +
                          std::to_string(parameters) + ") for this model's parameters");
  }
  return std::move(array.values);
}

Section build_section(const SectionArguments& arguments, const Model& model) {
  auto directions = drawn_at_random(arguments) ? draw_directions(arguments, model)
                                               : read_directions(arguments.directions, model.network.parameter_count());
  auto origin = arguments.origin == "zero" ? std::vector<double>(model.theta.size(), 0.0) : model.theta;
  Section section =
      for_option("--directions", [&] { return make_section(model.network, std::move(origin), std::move(directions)); });
  if (!arguments.orthogonal) return section;
  return for_option("--orthogonalise", [&] { return orthogonalised(section); });
}

Grid build_grid(const SectionArguments& arguments, std::int64_t rank) {
  const auto shape = parse_grid(arguments.grid, rank);
  const auto ranges = parse_ranges(arguments.range, rank);
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back({ranges[i].lo, ranges[i].hi, shape[i]});
  return for_option("--grid", [&] { return Grid(axes); });
}

void check_outputs(const SectionArguments& arguments, const Grid& grid, std::int64_t heads) {
  for (const auto& [option, file] :
       {std::pair{"--out", &arguments.out}, {"--png", &arguments.png}, {"--vti", &arguments.vti}}) {
    if (file->empty()) continue;
    check_output_file(option, *file);
    check_room(grid, heads, std::filesystem::path(*file).parent_path());
    if (grid.rank() > 3 && file != &arguments.out) {
      throw InvalidArgument(std::string(option) + ": received a section of " + std::to_string(grid.rank()) +
                            " directions, expected at most 3 for a picture or ParaView; drop the option");
    }
  }
  constexpr std::int64_t kMostPixels = 16384;  // of a picture's side
  for (const Axis& axis : grid.axes()) {
    if (arguments.png.empty() || grid.rank() == 1 || axis.points <= kMostPixels) continue;
    throw InvalidArgument("--png: received an axis of " + std::to_string(axis.points) + " points, expected at most " +
                          std::to_string(kMostPixels) + " for a picture; drop the option or use a smaller --grid");
  }
  for (const Axis& axis : grid.axes()) {
    if (arguments.vti.empty() || axis.points == 1 || axis.lo != axis.hi) continue;
    throw InvalidArgument("--vti: received a --range that is empty with several points, expected lo and hi to differ");
  }
}

void print_text(const Surface& surface, const Section& section, const Range& range) {
  const auto cosines = direction_cosines(section);
  const auto rank = static_cast<std::size_t>(section.rank());
  std::printf("grid      %s, %lld head%s\n", surface.grid.describe().c_str(), static_cast<long long>(surface.heads),
              surface.heads == 1 ? "" : "s");
  std::printf("loss      min %.10g, max %.10g, non-finite %lld\n", range.lo, range.hi,
              static_cast<long long>(surface.nonfinite));
  std::printf("cosines of the directions\n");
  for (std::size_t i = 0; i < rank; ++i) {
    for (std::size_t j = 0; j < rank; ++j) std::printf("%s%9.6f", j == 0 ? "          " : "  ", cosines[i * rank + j]);
    std::printf("\n");
  }
  std::printf("device    %s, %s\n", surface.device.c_str(), name(surface.precision));
  std::printf("speed     %.4g points per second, %.3g s\n", static_cast<double>(surface.size()) / surface.seconds,
              surface.seconds);
}

void print_json(const Surface& surface, const Section& section, const Range& range, const Landscape& landscape) {
  print({{"network", describe(landscape.network())},
         {"parameters", landscape.network().parameter_count()},
         {"data", describe(landscape.data())},
         {"loss", name(landscape.loss())},
         {"grid", describe(surface.grid)},
         {"heads", surface.heads},
         {"min", range.lo},
         {"max", range.hi},
         {"nonfinite", surface.nonfinite},
         {"cosines", rows(direction_cosines(section), static_cast<std::size_t>(section.rank()))},
         {"device", surface.device},
         {"precision", name(surface.precision)},
         {"seconds", surface.seconds},
         {"points_per_second", static_cast<double>(surface.size()) / surface.seconds},
         {"plan", plan_lines(surface.plan)}});
}

void print_plan(const std::string& plan, bool json) {
  if (json) {
    print({{"plan", plan_lines(plan)}});
  } else {
    std::printf("%s%s", plan.c_str(), plan.ends_with('\n') ? "" : "\n");
  }
}

void evaluate_section(const SectionArguments& arguments, Session& session) {
  const Loss loss = read_loss(arguments.loss);
  const Model model = arguments.model.read();
  const Section section = build_section(arguments, model);
  const Grid grid = build_grid(arguments, section.rank());
  check_outputs(arguments, grid, model.network.heads());
  const Dataset data = read_data("--data", arguments.data);
  const Device device = arguments.device.select(session);
  const Landscape landscape = for_option("--data", [&] { return Landscape(model.network, data, loss, device); });
  const EvaluateOptions options{.precision = parse_precision(arguments.precision),
                                .plan = arguments.plan == "direct" ? Plan::direct : Plan::automatic,
                                .control = session.control()};
  if (arguments.explain) return print_plan(landscape.explain(section, grid.size(), options), arguments.json);

  const Surface surface = landscape.evaluate(section, grid, options);
  write_surface_npy(arguments.out, surface);
  if (!arguments.png.empty())
    write_png(arguments.png, surface, {.title = std::string(name(loss)) + ", " + data.name()});
  if (!arguments.vti.empty()) write_vti(arguments.vti, surface);
  session.finish();
  const Range range = finite_range(surface.losses);
  if (arguments.json) {
    print_json(surface, section, range, landscape);
  } else {
    print_text(surface, section, range);
  }
}

void add_direction_options(CLI::App& command, SectionArguments& arguments) {
  command.add_option("--origin", arguments.origin, "Parameters at alpha = 0")
      ->check(CLI::IsMember({"model", "zero"}))
      ->type_name("WHERE")
      ->capture_default_str();
  command
      .add_option("--directions", arguments.directions,
                  "FILE.npy of shape (z, M), or random (Gaussian), or filter (Gaussian, each row of a weight matrix "
                  "scaled to the norm of the model's row)")
      ->required()
      ->type_name("FILE|random|filter");
  command
      .add_option("--normalise", arguments.normalise,
                  "What --directions random is scaled by: rows of the model, layers, or nothing (default: none)")
      ->check(CLI::IsMember({"filter", "layer", "none"}))
      ->type_name("HOW");
  command
      .add_option("--bias-directions", arguments.bias_directions,
                  "Biases of random directions: zero, a copy of the model's, or random and scaled to the model's norm")
      ->check(CLI::IsMember({"zero", "copy", "scaled"}))
      ->type_name("HOW")
      ->capture_default_str();
  command.add_option("--count", arguments.count, "Number z of random directions")
      ->type_name("Z")
      ->capture_default_str();
  add_seed(command, arguments.seed, "Seed of random directions");
  command.add_flag("--orthogonalise", arguments.orthogonal, "Make the directions orthogonal, in order, lengths kept");
}

void add_evaluation_options(CLI::App& command, SectionArguments& arguments) {
  command.add_option("--range", arguments.range, "lo:hi of alpha for each axis, or one for all")
      ->type_name("LO:HI,...")
      ->capture_default_str();
  command.add_option("--grid", arguments.grid, "Points of each axis, such as 51x41, or one number for all")
      ->type_name("N1xN2...")
      ->capture_default_str();
  add_precision(command, arguments.precision);
  command
      .add_option("--plan", arguments.plan,
                  "auto: compute once what can be; direct: every layer and sample at every point")
      ->check(CLI::IsMember({"auto", "direct"}))
      ->type_name("PLAN")
      ->capture_default_str();
  auto* out =
      command.add_option("--out", arguments.out, "The losses, an .npy array (n1, ..., nz, heads)")->type_name("FILE");
  command.add_option("--png", arguments.png, "A picture of the surface, z up to 3")->type_name("FILE");
  command.add_option("--vti", arguments.vti, "The surface for ParaView, z up to 3")->type_name("FILE");
  arguments.device.add_to(command);
  command.add_flag("--explain", arguments.explain, "Print what is computed once and what per point, and stop")
      ->excludes(out);
  command.add_flag("--json", arguments.json, "Print JSON");
}

// Options that only make sense together: found before any file is read.
void check_usage(const CLI::App& command, const SectionArguments& arguments) {
  if (!arguments.explain && arguments.out.empty()) throw CLI::RequiredError("--out (or --explain)");
  if (drawn_at_random(arguments)) {
    if (arguments.directions == "filter" && !arguments.normalise.empty())
      throw CLI::ExcludesError("--normalise", "--directions filter");
    return;
  }
  for (const char* option : {"--normalise", "--bias-directions", "--count", "--seed"}) {
    if (command.count(option) > 0) throw CLI::ExcludesError(option, "--directions FILE");
  }
}

}  // namespace

void add_section(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("section", "The loss on a line, plane or box of parameter space");
  auto arguments = std::make_shared<SectionArguments>();
  arguments->model.add_to(*command);
  command->add_option("--data", arguments->data, "Data set, see below")->required()->type_name("SPEC");
  command->add_option("--loss", arguments->loss, "ce (cross entropy) or mse (squared error, summed over outputs)")
      ->required()
      ->type_name("LOSS");
  add_direction_options(*command, *arguments);
  add_evaluation_options(*command, *arguments);
  command->footer(
      std::string(
          "L(alpha) = R(theta_0 + sum_i alpha_i theta_i) at every point of a grid; theta_0 is the model, theta_i\n"
          "the directions. Prints the cosines between them, the smallest and largest finite loss of any head,\n"
          "and how many losses are not finite (null in JSON).\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,256 --out out\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:1000 --loss ce --directions "
      "out/directions.npy --range 0:1 --grid 128 --out surface.npy --png surface.png\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions filter "
      "--range -1:1 --grid 15x11 --out plane.npy --vti plane.vti --json\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions random "
      "--normalise layer --explain\n");
  command->callback([command, arguments, &chosen] {
    check_usage(*command, *arguments);
    chosen = [arguments](Session& session) { evaluate_section(*arguments, session); };
  });
}

}  // namespace lossatlas::cli
