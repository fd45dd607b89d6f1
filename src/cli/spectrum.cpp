// lossatlas spectrum: all eigenvalues of the Hessian of the loss at a model.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "commands.hpp"
#include "common.hpp"
#include "outputs.hpp"
#include "problem.hpp"
#include "report.hpp"

namespace lossatlas::cli {
namespace {

struct SpectrumArguments {
  ModelOptions model;
  ProblemOptions problem;
  DeviceOptions device;
  std::optional<double> zero;
  std::string part = "full";
  std::string vectors;
  std::string png;
  bool explain = false;
  bool json = false;
};

// What is known of the point besides its spectrum.
struct Point {
  double loss = 0;
  Norms gradient;
};

std::vector<OutputFile> output_files(const SpectrumArguments& arguments) {
  std::vector<OutputFile> files;
  if (!arguments.vectors.empty()) files.push_back({"--vectors", arguments.vectors, ".npy"});
  if (!arguments.png.empty()) files.push_back({"--png", arguments.png, ".png"});
  return files;
}

void check_outputs(const SpectrumArguments& arguments) {
  for (const OutputFile& output : output_files(arguments)) check_output_file(output);
}

Json spectrum_json(const Spectrum& spectrum, const Point& point, const Landscape& landscape,
                   const SpectrumArguments& arguments) {
  Json json = {{"parameters", landscape.network().parameter_count()},
               {"loss", point.loss},
               {"gradient_l1", point.gradient.l1},
               {"gradient_max", point.gradient.max},
               {"eigenvalues", spectrum.eigenvalues},
               {"inertia", describe(spectrum.inertia)},
               {"zero_threshold", spectrum.zero.threshold},
               {"largest_zero", spectrum.zero.largest_zero},
               {"smallest_nonzero", spectrum.zero.smallest_nonzero},
               {"gap", spectrum.zero.gap},
               {"part", arguments.part},
               {"remarks", remarks(landscape.network(), spectrum.zero.gap)},
               {"device", spectrum.device}};
  if (!spectrum.eigenvectors.empty()) json.add("residual", spectrum.residual);
  return json;
}

void print_spectrum(const Spectrum& spectrum, const Point& point, const Landscape& landscape) {
  print_point(landscape, point.loss, point.gradient);
  print_line("spectrum  %s", counts(spectrum.inertia).c_str());
  print_line("extremes  %.10g .. %.10g", spectrum.eigenvalues.front(), spectrum.eigenvalues.back());
  print_line("zero      up to %.3g: largest zero %.3g, smallest other %.3g, gap %.3g", spectrum.zero.threshold,
             spectrum.zero.largest_zero, spectrum.zero.smallest_nonzero, spectrum.zero.gap);
  if (!spectrum.eigenvectors.empty()) print_line("residual  %.3g", spectrum.residual);
  print_line("device    %s", spectrum.device.c_str());
}

void write_pictures(const Spectrum& spectrum, const Landscape& landscape, const SpectrumArguments& arguments) {
  const std::int64_t parameters = landscape.network().parameter_count();
  if (!arguments.vectors.empty()) {
    const std::int64_t shape[] = {parameters, parameters};
    write_npy(arguments.vectors, shape, spectrum.eigenvectors);
  }
  if (!arguments.png.empty()) {
    write_png(arguments.png,
              plot_spectrum(spectrum, {.title = landscape.data().name() + ": " + counts(spectrum.inertia)}));
  }
}

HessianPart part_of(const SpectrumArguments& arguments) {
  return arguments.part == "full" ? HessianPart::full : HessianPart::gauss_newton;
}

// Prints what the spectrum would take.
void explain(const Landscape& landscape, const SpectrumArguments& arguments) {
  const SpectrumCost cost = spectrum_cost(landscape, {.vectors = !arguments.vectors.empty()}, part_of(arguments));
  if (arguments.json) {
    print({{"parameters", landscape.network().parameter_count()},
           {"assembly_flop", cost.assembly_flop},
           {"eigen_flop", cost.eigen_flop},
           {"bytes", cost.bytes},
           {"device", landscape.device().describe()}});
    return;
  }
  print_line("parameters  %lld", static_cast<long long>(landscape.network().parameter_count()));
  print_line("assembly    %.3g FLOP", cost.assembly_flop);
  print_line("eigenvalues %.3g FLOP%s", cost.eigen_flop, arguments.vectors.empty() ? "" : " with vectors");
  print_line("memory      %.3g bytes on %s", cost.bytes, landscape.device().describe().c_str());
}

void analyse(const SpectrumArguments& arguments, Session& session) {
  read_loss(arguments.problem.loss);
  const Model model = arguments.model.read();
  check_outputs(arguments);
  const bool vectors = !arguments.vectors.empty();
  if (!arguments.explain) check_hessian_memory("--model", model.network, vectors ? 4 : 1);
  const Landscape landscape = arguments.problem.landscape(model.network, arguments.device.select(session), session);
  check_apart(output_files(arguments), session);
  if (arguments.explain) return explain(landscape, arguments);
  const Point point{landscape.evaluate(model.theta, session.control()).loss(),
                    norms(landscape.gradient(model.theta, session.control()))};
  const HessianOptions hessian{.part = part_of(arguments), .control = session.control()};
  const Spectrum spectrum = for_option("--model", [&] {
    return hessian_spectrum(landscape, model.theta, {.vectors = vectors, .zero_threshold = arguments.zero}, hessian);
  });
  session.check();
  write_pictures(spectrum, landscape, arguments);
  for (const std::string& line : remarks(model.network, spectrum.zero.gap)) session.note("note: " + line);
  session.finish();
  if (arguments.json) {
    print(spectrum_json(spectrum, point, landscape, arguments));
  } else {
    print_spectrum(spectrum, point, landscape);
  }
}

void add_options(CLI::App& command, SpectrumArguments& arguments) {
  arguments.model.add_to(command);
  arguments.problem.add_to(command);
  add_real(command, "--zero", arguments.zero, {.least = 0},
           "Largest |eigenvalue| that counts as zero (default: 1e-11, or ten times the rounding error if that is more)")
      ->type_name("T");
  command
      .add_option("--part", arguments.part,
                  "full, or the Gauss-Newton part alone, which leaves out the network's second derivatives")
      ->check(CLI::IsMember({"full", "gauss-newton"}))
      ->type_name("PART")
      ->capture_default_str();
  command.add_option("--vectors", arguments.vectors, "Eigenvectors, an .npy array (M, M), row i for eigenvalue i")
      ->type_name("FILE");
  command.add_option("--png", arguments.png, "Magnitudes on a logarithmic axis, coloured by sign")->type_name("FILE");
  arguments.device.add_to(command);
  command.add_flag("--explain", arguments.explain, "Print what it would take, FLOP and bytes, and do nothing");
  command.add_flag("--json", arguments.json,
                   "Print JSON: parameters, loss, gradient_l1, gradient_max, eigenvalues (ascending), inertia "
                   "(positive, zero, negative), zero_threshold, gap, device");
}

}  // namespace

void add_spectrum(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("spectrum", "All eigenvalues of the Hessian of the loss at a model");
  auto arguments = std::make_shared<SpectrumArguments>();
  add_options(*command, *arguments);
  command->footer(
      std::string(
          "The Hessian is exact and in double precision; it takes 8 M^2 bytes for M parameters. Squared error is\n"
          "without a half: its eigenvalues are twice those of half the squared error. The gap is the ratio of the\n"
          "smallest eigenvalue that counts as non-zero to the largest that does not; below 1000 the counts may be "
          "off.\n"
          "The second derivative of relu counts as 0.\n\n") +
      kSpecHelp +
      "\nExamples:\n"
      "  lossatlas find --layers 1,1,1 --bias hidden --data tanh3 --loss mse --starts 8 --out points\n"
      "  lossatlas spectrum --model points/critical-1.safetensors --data tanh3 --loss mse --png spectrum.png\n"
      "  lossatlas spectrum --model points/critical-1.safetensors --data tanh3 --loss mse --zero 1e-9 "
      "--vectors vectors.npy --json\n");
  command->callback([arguments, &chosen] { chosen = [arguments](Session& session) { analyse(*arguments, session); }; });
}

}  // namespace lossatlas::cli
