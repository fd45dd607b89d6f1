// lossatlas forecast: predicts from two small matrices what splitting a neuron does to the spectrum.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include "commands.hpp"
#include "common.hpp"
#include "outputs.hpp"
#include "problem.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

struct ForecastArguments {
  ModelOptions model;
  ProblemOptions problem;
  NeuronOptions neuron;
  DeviceOptions device;
  std::string alpha = "-1:2:0.1";
  std::string weights;
  std::optional<double> zero;
  std::string png;
  bool json = false;
};

// lo, lo + step, ... up to hi. Values that miss 0 or 1 by rounding are set to it: the forecast jumps at both.
std::vector<double> parse_alphas(const std::string& text) {
  constexpr double kMost = 1e6;
  const auto parts = parse_numbers("--alpha", text, ':');
  const bool range = parts.size() == 3 && parts[0] <= parts[1] && parts[2] > 0;
  if (!range || (parts[1] - parts[0]) / parts[2] > kMost) {
    throw InvalidArgument("--alpha: received \"" + text +
                          "\", expected lo:hi:step of at most a million steps upwards, such as -1:2:0.1");
  }
  std::vector<double> alphas;
  const auto steps = static_cast<std::int64_t>(std::floor((parts[1] - parts[0]) / parts[2] + 1e-9));
  for (std::int64_t k = 0; k <= steps; ++k) {
    const double alpha = parts[0] + static_cast<double>(k) * parts[2];
    const double whole = std::round(alpha);
    alphas.push_back(std::abs(alpha - whole) < 1e-9 * parts[2] ? whole : alpha);
  }
  return alphas;
}

struct Phase {
  const char* range;
  Inertia added;
  Inertia wide;
};

std::vector<Phase> phases(const SplitForecast& forecast) {
  return {{"0 < alpha < 1", forecast.inside, forecast.narrow + forecast.inside},
          {"alpha < 0 or alpha > 1", forecast.outside, forecast.narrow + forecast.outside},
          {"alpha = 0 or alpha = 1", forecast.border, forecast.narrow + forecast.border}};
}

// What the point with this inertia is, as far as second derivatives tell.
const char* kind(const Inertia& inertia, const Norms& gradient) {
  constexpr double kCritical = 1e-8;
  if (!(gradient.l1 <= kCritical)) return "not critical";
  if (inertia.negative > 0) return inertia.positive > 0 ? "strict saddle" : "no minimum";
  return inertia.zero > 0 ? "degenerate" : "minimum";
}

struct Result {
  SplitForecast forecast;
  std::vector<SplitCandidate> candidates;
  std::vector<double> alphas;
  std::vector<double> weights;
  double loss = 0;
  Norms gradient;
};

Json forecast_json(const Result& result, const Landscape& landscape, const ForecastArguments& arguments) {
  const SplitForecast& forecast = result.forecast;
  Json table = Json::array();
  for (const double alpha : result.alphas) {
    table.push_back({{"alpha", alpha}, {"inertia", describe(forecast.wide(alpha))}});
  }
  Json list = Json::array();
  for (const Phase& phase : phases(forecast)) {
    list.push_back({{"range", phase.range},
                    {"added", describe(phase.added)},
                    {"inertia", describe(phase.wide)},
                    {"kind", kind(phase.wide, result.gradient)}});
  }
  Json candidates = Json::array();
  for (const SplitCandidate& c : result.candidates) {
    candidates.push_back({{"layer", c.layer}, {"neuron", c.neuron}, {"smallest_eigenvalue", c.smallest_eigenvalue}});
  }
  Json json = {{"layer", arguments.neuron.layer},
               {"neuron", arguments.neuron.neuron},
               {"loss", result.loss},
               {"gradient_l1", result.gradient.l1},
               {"gradient_max", result.gradient.max},
               {"inertia", describe(forecast.narrow)},
               {"phases", list},
               {"forecast", table},
               {"b", rows(forecast.b, static_cast<std::size_t>(forecast.inputs))},
               {"d", rows(forecast.d, static_cast<std::size_t>(forecast.outputs))},
               {"b_eigenvalues", forecast.b_eigenvalues},
               {"gap", forecast.gap},
               {"candidates", candidates},
               {"remarks", remarks(landscape.network(), forecast.gap)},
               {"device", landscape.device().describe()}};
  if (!result.weights.empty()) {
    json.add("weights", {{"weights", result.weights}, {"inertia", describe(forecast.wide(result.weights))}});
  }
  return json;
}

void print_forecast(const Result& result, const Landscape& landscape) {
  const SplitForecast& forecast = result.forecast;
  print_point(landscape, result.loss, result.gradient);
  print_line("now       %s", counts(forecast.narrow).c_str());
  for (const Phase& phase : phases(forecast)) {
    print_line("%-22s  %s: %s", phase.range, counts(phase.wide).c_str(), kind(phase.wide, result.gradient));
  }
  if (!result.weights.empty()) {
    const Inertia wide = forecast.wide(result.weights);
    print_line("%-22s  %s: %s", "--weights", counts(wide).c_str(), kind(wide, result.gradient));
  }
  print_line("B         eigenvalues %.6g .. %.6g", forecast.b_eigenvalues.front(), forecast.b_eigenvalues.back());
  const SplitCandidate& best = result.candidates.front();
  print_line("steepest  layer %lld neuron %lld, smallest eigenvalue of B %.6g%s", static_cast<long long>(best.layer),
             static_cast<long long>(best.neuron), best.smallest_eigenvalue,
             best.smallest_eigenvalue < 0 ? "" : ": no split lowers the loss");
  print_line("gap       %.3g", forecast.gap);
}

// [[α(1−α)B, D], [Dᵀ, 0]], whose eigenvalues have the signs of those that the split adds.
std::vector<double> added_matrix(const SplitForecast& forecast, double alpha) {
  const std::int64_t inputs = forecast.inputs, outputs = forecast.outputs, n = inputs + outputs;
  std::vector<double> matrix(static_cast<std::size_t>(n * n), 0.0);
  const auto at = [&matrix, n](std::int64_t i, std::int64_t j) -> double& {
    return matrix[static_cast<std::size_t>(i * n + j)];
  };
  for (std::int64_t i = 0; i < inputs; ++i) {
    for (std::int64_t j = 0; j < inputs; ++j) {
      at(i, j) = alpha * (1 - alpha) * forecast.b[static_cast<std::size_t>(i * inputs + j)];
    }
    for (std::int64_t c = 0; c < outputs; ++c) {
      at(i, inputs + c) = at(inputs + c, i) = forecast.d[static_cast<std::size_t>(i * outputs + c)];
    }
  }
  return matrix;
}

Image draw_eigenvalues(const Result& result) {
  const std::int64_t n = result.forecast.inputs + result.forecast.outputs;
  std::vector<Curve> curves(static_cast<std::size_t>(n));
  for (const double alpha : result.alphas) {
    const Spectrum spectrum = symmetric_spectrum(added_matrix(result.forecast, alpha), n);
    for (std::size_t k = 0; k < curves.size(); ++k) {
      curves[k].x.push_back(alpha);
      curves[k].y.push_back(spectrum.eigenvalues[k]);
    }
  }
  return plot(curves, {.title = "eigenvalues of [[α(1−α)B, D], [D', 0]]", .x_label = "α", .y_label = "eigenvalues"});
}

// Draws the counts over α: lines over the open phases, dots at 0 and 1.
Image draw_counts(const Result& result, const NeuronOptions& neuron) {
  const double lo = result.alphas.front(), hi = result.alphas.back();
  const double edges[] = {lo, std::clamp(0.0, lo, hi), std::clamp(1.0, lo, hi), hi};
  std::vector<Curve> curves{{"positive", {}, {}}, {"zero", {}, {}}, {"negative", {}, {}}};
  const auto add = [&](double alpha, const Inertia& inertia) {
    const std::int64_t values[] = {inertia.positive, inertia.zero, inertia.negative};
    for (std::size_t k = 0; k < curves.size(); ++k) {
      curves[k].x.push_back(alpha);
      curves[k].y.push_back(static_cast<double>(values[k]));
    }
  };
  const auto end_piece = [&curves] {
    for (Curve& curve : curves) {
      curve.x.push_back(std::numeric_limits<double>::quiet_NaN());
      curve.y.push_back(0);
    }
  };
  for (std::size_t piece = 0; piece < 3; ++piece) {
    const Inertia inside = result.forecast.wide(edges[piece] / 2 + edges[piece + 1] / 2);
    if (edges[piece] < edges[piece + 1]) add(edges[piece], inside), add(edges[piece + 1], inside), end_piece();
  }
  for (const double alpha : {0.0, 1.0}) {
    if (alpha >= lo && alpha <= hi) add(alpha, result.forecast.wide(alpha)), end_piece();
  }
  if (lo == hi) add(lo, result.forecast.wide(lo));
  const Inertia half = result.forecast.wide(0.5);
  return plot(curves, {.title = "split of neuron " + std::to_string(neuron.neuron) + ", layer " +
                                std::to_string(neuron.layer) + "; at α = ½ " + counts(half),
                       .x_label = "α",
                       .y_label = "numbers of eigenvalues"});
}

Image draw(const Result& result, const NeuronOptions& neuron) {
  const Image images[] = {draw_counts(result, neuron), draw_eigenvalues(result)};
  return side_by_side(images);
}

void forecast(const ForecastArguments& arguments, Session& session) {
  read_loss(arguments.problem.loss);
  Result result;
  result.alphas = parse_alphas(arguments.alpha);
  if (!arguments.weights.empty()) {
    result.weights = parse_numbers("--weights", arguments.weights, ',');
    for_option("--weights", [&] { return result.forecast.wide(result.weights); });  // checks that they sum to 1
  }
  const Model model = arguments.model.read();
  arguments.neuron.check(model.network);
  std::vector<OutputFile> outputs;
  if (!arguments.png.empty()) outputs.push_back({"--png", arguments.png, ".png"});
  for (const OutputFile& output : outputs) check_output_file(output);
  check_hessian_memory("--model", model.network);
  const Landscape landscape = arguments.problem.landscape(model.network, arguments.device.select(session), session);
  check_apart(outputs, session);
  result.loss = landscape.evaluate(model.theta, session.control()).loss();
  result.gradient = norms(landscape.gradient(model.theta, session.control()));
  result.forecast = for_option("--model", [&] {
    return split_forecast(landscape, model.theta, arguments.neuron.layer, arguments.neuron.neuron,
                          {.zero_threshold = arguments.zero}, session.control());
  });
  result.candidates = rank_splits(landscape, model.theta, session.control());
  session.check();
  if (!arguments.png.empty()) write_png(arguments.png, draw(result, arguments.neuron));
  for (const std::string& line : remarks(model.network, result.forecast.gap)) session.note("note: " + line);
  session.finish();
  if (arguments.json) {
    print(forecast_json(result, landscape, arguments));
  } else {
    print_forecast(result, landscape);
  }
}

}  // namespace

void add_forecast(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("forecast", "What splitting a neuron would do to the spectrum of the Hessian");
  auto arguments = std::make_shared<ForecastArguments>();
  arguments->model.add_to(*command);
  arguments->problem.add_to(*command);
  arguments->neuron.add_to(*command);
  command->add_option("--alpha", arguments->alpha, "Shares to list in JSON and to draw")
      ->type_name("LO:HI:STEP")
      ->capture_default_str();
  command->add_option("--weights", arguments->weights, "A split into several copies with these shares, which sum to 1")
      ->type_name("LIST");
  add_real(*command, "--zero", arguments->zero, {.least = 0},
           "Largest |eigenvalue| that counts as zero (default: 1e-11, or ten times the rounding error if that is more)")
      ->type_name("T");
  command
      ->add_option("--png", arguments->png,
                   "The numbers of positive, zero and negative eigenvalues, and those added, against alpha")
      ->type_name("FILE");
  arguments->device.add_to(*command);
  command->add_flag("--json", arguments->json,
                    "Print JSON: inertia (now), phases, forecast (alpha and inertia), b, d, b_eigenvalues, candidates "
                    "(all neurons, the steepest first), gap");
  command->footer(
      std::string(
          "The spectrum of the wide network has the signs of the narrow one's and of [[alpha(1-alpha)B, D], [D', 0]],\n"
          "with B as large as the neuron's inputs and D their number by that of its outputs: no wide Hessian is "
          "formed.\n"
          "Three cases are all there are: alpha inside (0, 1), outside, and 0 or 1. A negative eigenvalue of B says\n"
          "that moving the two copies apart lowers the loss. Saddle and minimum are said of critical points\n"
          "(|gradient|_1 up to 1e-8) only; degenerate means neither, by second derivatives.\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas forecast --model points/critical-1.safetensors --data tanh3 --loss mse --layer 1 --neuron 0\n"
      "  lossatlas forecast --model points/critical-1.safetensors --data tanh3 --loss mse --layer 1 --neuron 0 "
      "--alpha -0.5:1.5:0.25 --weights 0.3,0.3,0.4 --png forecast.png --json\n");
  command->callback(
      [arguments, &chosen] { chosen = [arguments](Session& session) { forecast(*arguments, session); }; });
}

}  // namespace lossatlas::cli
