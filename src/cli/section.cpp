// lossatlas section: the loss on a line, plane or box of parameter space.
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "commands.hpp"
#include "common.hpp"
#include "direction_options.hpp"
#include "problem.hpp"
#include "report.hpp"
#include "section_output.hpp"

namespace lossatlas::cli {
namespace {

struct SectionArguments {
  ModelOptions model;
  ProblemOptions problem;
  DirectionOptions directions;
  DeviceOptions device;
  std::optional<std::string> range;
  std::optional<std::string> grid;
  std::string precision = "f64";
  std::string plan = "auto";
  std::string method = "pointwise";
  double tolerance = EvaluateOptions{}.tolerance;
  SectionOutputs outputs;
  std::string shard;
  std::int64_t tile = 0;
  bool resume = false;
  bool explain = false;
  bool json = false;
};

// Those of --through have both ends of each direction among their points, and a margin.
constexpr const char* kRange = "-1:1";
constexpr const char* kRangeThrough = "-0.25:1.25";
constexpr const char* kGrid = "51";
constexpr const char* kGridThrough = "61";

Grid build_grid(const SectionArguments& arguments, std::int64_t rank) {
  const bool through = !arguments.directions.through.empty();
  const auto shape = parse_grid(arguments.grid.value_or(through ? kGridThrough : kGrid), rank);
  const auto ranges = parse_ranges(arguments.range.value_or(through ? kRangeThrough : kRange), rank);
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back({ranges[i].lo, ranges[i].hi, shape[i]});
  return for_option("--grid", [&] { return Grid(axes); });
}

/// Parses "3/8" for a grid of so many points.
Shard parse_shard(const std::string& text, std::int64_t points) {
  const auto parts = parse_share("--shard", text);
  if (parts[1] > points) {
    throw InvalidArgument("--shard: received \"" + text + "\", expected no more shards than the " +
                          std::to_string(points) + " points");
  }
  return {parts[0], parts[1]};
}

std::vector<OutputFile> named_files(const SectionArguments& arguments) {
  return arguments.outputs.files(arguments.shard.empty() ? ".npy" : ".shard");
}

/// Includes the files that write_section() keeps beside --out until it is finished.
std::vector<OutputFile> output_files(const SectionArguments& arguments) {
  std::vector<OutputFile> files = named_files(arguments);
  if (arguments.outputs.out.empty()) return files;
  const std::filesystem::path out = for_file("--out", [&] { return followed(arguments.outputs.out); });
  for (const char* suffix : {".partial", ".journal"}) {
    files.push_back({"--out", std::filesystem::path(out) += suffix, {}});
  }
  return files;
}

void check_outputs(const SectionArguments& arguments, const Grid& grid, std::int64_t heads) {
  const SectionOutputs& outputs = arguments.outputs;
  for (const OutputFile& output : named_files(arguments)) check_output_file(output);
  outputs.check_pictures(grid, heads);
  if (!arguments.shard.empty()) parse_shard(arguments.shard, grid.size());
  // Only write_section() knows what an unfinished run already has on the disk.
  if (outputs.out.empty() || arguments.resume || !arguments.shard.empty()) return;
  check_disk(grid, heads, followed(outputs.out).parent_path());
}

double points_per_second(const SectionFileReport& report) {
  return static_cast<double>(report.evaluated_points) / report.seconds;
}

void print_text(const ChebyshevReport& report) {
  print_line("method    %s, %s", name(report.method), report.reason.c_str());
  if (report.method == Method::chebyshev) {
    std::string nodes;
    for (const std::int64_t count : report.nodes) nodes += (nodes.empty() ? "" : " x ") + std::to_string(count);
    std::string gaps;
    for (const double gap : report.resolution) {
      char text[32];
      std::snprintf(text, sizeof text, "%.3g", gap);
      gaps += (gaps.empty() ? "" : " x ") + std::string(text);
    }
    print_line("          %s nodes, estimate of the largest error %.2g of the largest loss (tolerance %.2g)",
               nodes.c_str(), report.estimate, report.tolerance);
    print_line("          held-out error %.2g at %lld points", report.held_out_error,
               static_cast<long long>(report.held_out_points));
    print_line("          gaps of at most %s between evaluated points: what is narrower may have been missed",
               gaps.c_str());
  }
  print_line("          %lld evaluations, %lld saved", static_cast<long long>(report.evaluations),
             static_cast<long long>(report.saved));
}

Json chebyshev_json(const ChebyshevReport& report) {
  return {{"ran", name(report.method)},
          {"reason", report.reason},
          {"tolerance", report.tolerance},
          {"met", report.met},
          {"nodes", report.nodes},
          {"estimate", report.estimate},
          {"held_out_error", report.held_out_error},
          {"held_out_points", report.held_out_points},
          {"resolution", report.resolution},
          {"scale", report.scale},
          {"evaluations", report.evaluations},
          {"saved", report.saved}};
}

void print_text(const SectionFileReport& report, const Grid& grid, const Section& section) {
  const auto cosines = direction_cosines(section);
  const auto rank = static_cast<std::size_t>(section.rank());
  const auto whole = [](std::int64_t value) { return static_cast<long long>(value); };
  print_line("grid      %s, %lld head%s", grid.describe().c_str(), whole(report.heads), report.heads == 1 ? "" : "s");
  if (report.points < grid.size()) print_line("shard     %lld of the points", whole(report.points));
  print_line("loss      min %.10g, max %.10g, non-finite %lld", report.range.lo, report.range.hi,
             whole(report.nonfinite));
  print_line("cosines of the directions");
  for (std::size_t i = 0; i < rank; ++i) {
    std::string row = "        ";
    for (std::size_t j = 0; j < rank; ++j) {
      char cosine[32];
      std::snprintf(cosine, sizeof cosine, "  %9.6f", cosines[i * rank + j]);
      row += cosine;
    }
    print_line("%s", row.c_str());
  }
  print_line("device    %s, %s", report.device.c_str(), name(report.precision));
  if (report.chebyshev) print_text(*report.chebyshev);
  if (report.resumed_tiles > 0) {
    print_line("resumed   %lld of %lld tiles were finished", whole(report.resumed_tiles), whole(report.tiles));
  }
  print_line("speed     %.4g points per second, %.3g s", points_per_second(report), report.seconds);
}

void print_json(const SectionFileReport& report, const Grid& grid, const Section& section, const Landscape& landscape) {
  Json json = {{"network", describe(landscape.network())},
               {"parameters", landscape.network().parameter_count()},
               {"data", describe(landscape.data())},
               {"loss", name(landscape.loss())},
               {"grid", describe(grid)},
               {"heads", report.heads},
               {"min", report.range.lo},
               {"max", report.range.hi},
               {"nonfinite", report.nonfinite},
               {"cosines", rows(direction_cosines(section), static_cast<std::size_t>(section.rank()))},
               {"device", report.device},
               {"precision", name(report.precision)},
               {"seconds", report.seconds},
               {"points_per_second", points_per_second(report)},
               {"points", report.points},
               {"tiles", report.tiles},
               {"resumed_tiles", report.resumed_tiles},
               {"tile_points", report.tile_points},
               {"plan", plan_lines(report.plan)}};
  if (report.chebyshev) json.add("chebyshev", chebyshev_json(*report.chebyshev));
  print(json);
}

/// Prints the plan and the least time it takes at the rates that the device shows now.
void explain(const Landscape& landscape, const Section& section, std::int64_t points, const EvaluateOptions& options,
             bool json) {
  const SectionCost cost = section_cost(landscape, section, points, options);
  const DeviceRates rates = measure_rates(landscape.device(), cost.precision, options.control);
  const std::string plan = landscape.explain(section, points, options, rates), device = landscape.device().describe();
  if (json) {
    print({{"plan", plan_lines(plan)},
           {"flop", cost.flop},
           {"transcendental", cost.transcendental},
           {"bytes", cost.bytes},
           {"workspace", cost.workspace},
           {"device", device},
           {"precision", name(cost.precision)},
           {"rates",
            {{"flop", rates.flop},
             {"transcendental", rates.transcendental},
             {"bytes", rates.bytes},
             {"overlap", rates.overlap}}},
           {"floor_seconds", cost.floor_seconds(rates)}});
  } else {
    print_lines(plan);
    print_line("rates: measured now on %s, %s", device.c_str(), name(cost.precision));
  }
}

SectionFileReport write_losses(const SectionArguments& arguments, const Landscape& landscape, const Section& section,
                               const Grid& grid, const EvaluateOptions& evaluate) {
  SectionFileOptions options{.evaluate = evaluate, .tile_points = arguments.tile};
  if (arguments.resume) options.unfinished = Unfinished::resume;
  if (!arguments.shard.empty()) options.shard = parse_shard(arguments.shard, grid.size());
  return for_file("--out", [&] { return write_section(arguments.outputs.out, landscape, section, grid, options); });
}

/// Notes that --resume replaces a finished .npy file, which unlike a shard does not record what it was computed from.
void note_replaced(const SectionArguments& arguments, Session& session) {
  if (!arguments.resume || !arguments.shard.empty()) return;
  std::error_code ignored;
  const std::filesystem::path out = followed(arguments.outputs.out);
  const bool finished = std::filesystem::is_regular_file(out, ignored) &&
                        !std::filesystem::exists(std::filesystem::path(out) += ".journal", ignored);
  if (finished) session.note("--resume: " + arguments.outputs.out + " is finished, it is evaluated again and replaced");
}

void evaluate_section(const SectionArguments& arguments, Session& session) {
  const Loss loss = read_loss(arguments.problem.loss);
  const Model model = arguments.directions.read_origin(arguments.model);
  const Section section = arguments.directions.section(arguments.model, model);
  const Grid grid = build_grid(arguments, section.rank());
  check_outputs(arguments, grid, model.network.heads());
  const Dataset data = read_data("--data", arguments.problem.data, session);
  check_apart(output_files(arguments), session);
  const Device device = arguments.device.select(session);
  const Landscape landscape = for_option("--data", [&] { return Landscape(model.network, data, loss, device); });
  const EvaluateOptions options{.precision = parse_precision(arguments.precision),
                                .plan = arguments.plan == "direct" ? Plan::direct : Plan::automatic,
                                .method = arguments.method == "chebyshev" ? Method::chebyshev : Method::pointwise,
                                .tolerance = arguments.tolerance,
                                .control = session.control()};
  if (arguments.explain) return explain(landscape, section, grid.size(), options, arguments.json);

  note_replaced(arguments, session);
  const SectionFileReport report = write_losses(arguments, landscape, section, grid, options);
  arguments.outputs.write_pictures(grid, report, std::string(name(loss)) + ", " + data.name());
  session.finish();
  if (arguments.json) {
    print_json(report, grid, section, landscape);
  } else {
    print_text(report, grid, section);
  }
}

void add_evaluation_options(CLI::App& command, SectionArguments& arguments) {
  command
      .add_option("--range", arguments.range,
                  "lo:hi of alpha for each axis, or one for all (default: " + std::string(kRange) +
                      ", with --through " + kRangeThrough + ")")
      ->type_name("LO:HI,...");
  command
      .add_option("--grid", arguments.grid,
                  "Points of each axis, such as 51x41, or one number for all (default: " + std::string(kGrid) +
                      ", with --through " + kGridThrough + ")")
      ->type_name("N1xN2...");
  add_precision(command, arguments.precision);
  command
      .add_option("--plan", arguments.plan,
                  "auto: compute once what can be; direct: every layer and sample at every point")
      ->check(CLI::IsMember({"auto", "direct"}))
      ->type_name("PLAN")
      ->capture_default_str();
  command
      .add_option(
          "--method", arguments.method,
          "pointwise: every point; chebyshev: interpolate between as few points as --tolerance takes, and every "
          "point where that is no fewer (the report says so)")
      ->check(CLI::IsMember({"pointwise", "chebyshev"}))
      ->type_name("METHOD")
      ->capture_default_str();
  add_real(command, "--tolerance", arguments.tolerance, {.least = 0, .most = 1, .open = true},
           "Of --method chebyshev: the largest error, by an estimate, relative to the largest loss of a head")
      ->type_name("ERROR");
  auto* out = arguments.outputs.add_to(command);
  arguments.device.add_to(command);
  command
      .add_flag("--explain", arguments.explain,
                "Print what is computed once and what per point, and the floor: how long that takes at least at the "
                "rates of the device, which are measured for it; evaluate nothing")
      ->excludes(out);
  command.add_flag("--json", arguments.json, "Print JSON");
}

void add_run_options(CLI::App& command, SectionArguments& arguments) {
  command.add_flag("--resume", arguments.resume,
                   "Go on from OUT.partial and OUT.journal of a run that was ended; from the beginning without them, "
                   "unless OUT is the shard asked for, complete: then nothing is evaluated");
  command
      .add_option("--shard", arguments.shard,
                  "Evaluate the I-th of N parts of the points, in a process or job of its own; OUT ends in .shard, and "
                  "lossatlas "
                  "merge joins them")
      ->excludes(command.get_option("--png"))
      ->excludes(command.get_option("--vti"))
      ->type_name("I/N");
  add_whole<std::int64_t>(command, "--tile", arguments.tile, 1, kMostWhole,
                          "Points after which progress is recorded; default: about a tenth of a second. Results do not "
                          "depend on it")
      ->default_str("")
      ->type_name("POINTS");
}

// Checks which options go together, before any file is read.
void check_usage(const CLI::App& command, const SectionArguments& arguments) {
  if (!arguments.shard.empty()) parse_share("--shard", arguments.shard);
  if (!arguments.explain && arguments.outputs.out.empty()) throw CLI::RequiredError("--out (or --explain)");
  if (command.count("--tolerance") > 0 && arguments.method != "chebyshev")
    throw CLI::RequiresError("--tolerance", "--method chebyshev");
  arguments.directions.check_usage(command);
}

}  // namespace

void add_section(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("section", "The loss on a line, plane or box of parameter space");
  auto arguments = std::make_shared<SectionArguments>();
  arguments->model.add_to(*command);
  command->get_option("--model")->required(false);  // --through will do
  arguments->problem.add_to(*command);
  arguments->directions.add_to(*command);
  add_evaluation_options(*command, *arguments);
  add_run_options(*command, *arguments);
  command->footer(
      std::string(
          "L(alpha) = R(theta_0 + sum_i alpha_i theta_i) at every point of a grid; theta_0 is the model, theta_i\n"
          "the directions. With --through, theta_0 is the first model and theta_i the way to another. Prints the\n"
          "cosines between the directions, the smallest and largest finite loss of any head, and how many losses are\n"
          "not finite (null in JSON).\n\n"
          "The losses go to OUT.partial and are renamed to OUT at the end; OUT.journal records which are finished.\n"
          "After Ctrl-C, a kill or a full disk, the same command with --resume goes on from there to the same "
          "bits.\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas fit --target demo --train glyphs:1000 --hidden 64,256 --out out\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:1000 --loss ce --directions "
      "out/directions.npy --range 0:1 --grid 128 --out surface.npy --png surface.png\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions filter "
      "--range -1:1 --grid 15x11 --out plane.npy --vti plane.vti --json\n"
      "  lossatlas section --model out/model.safetensors --data glyphs:200 --loss ce --directions random "
      "--normalise layer --explain\n"
      "  lossatlas find --layers 1,2,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas section --through points/critical-1.safetensors,points/critical-2.safetensors,"
      "points/critical-3.safetensors --data tanh3 --loss mse --out plane.npy --png plane.png\n");
  command->callback([command, arguments, &chosen] {
    check_usage(*command, *arguments);
    chosen = [arguments](Session& session) { evaluate_section(*arguments, session); };
  });
}

}  // namespace lossatlas::cli
