#include "direction_options.hpp"

#include <utility>

#include "numbers.hpp"

namespace lossatlas::cli {
namespace {

std::vector<double> draw_directions(const DirectionOptions& from, const Model& model) {
  check_memory("--count", 16.0 * static_cast<double>(from.count) * static_cast<double>(model.theta.size()));
  const std::string& kind = from.normalise.empty() ? from.source : from.normalise;
  RandomDirectionOptions options{.count = from.count, .seed = from.seed};
  options.normalisation = kind == "filter"  ? Normalisation::filter
                          : kind == "layer" ? Normalisation::layer
                                            : Normalisation::none;
  options.bias = from.bias == "copy"     ? BiasDirection::copy
                 : from.bias == "scaled" ? BiasDirection::scaled
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

Section build_section(const DirectionOptions& from, const Model& model) {
  auto directions = from.drawn_at_random() ? draw_directions(from, model)
                                           : read_directions(from.source, model.network.parameter_count());
  auto origin = from.origin == "zero" ? std::vector<double>(model.theta.size(), 0.0) : model.theta;
  Section section =
      for_option("--directions", [&] { return make_section(model.network, std::move(origin), std::move(directions)); });
  if (!from.orthogonal) return section;
  return for_option("--orthogonalise", [&] { return orthogonalised(section); });
}

/// The line or plane through models of one network.
Section section_through(const std::vector<std::string>& files, const ModelOptions& options, const Model& first) {
  std::vector<Model> models = {first};
  for (std::size_t i = 1; i < files.size(); ++i) {
    models.push_back(options.read("--through", files[i]));
    if (models[i].network == first.network) continue;
    throw InvalidArgument("--through: received " + files[0] + ", a network of " + first.network.describe() + ", and " +
                          files[i] + ", one of " + models[i].network.describe() + ", expected models of one network");
  }
  return for_option("--through", [&] {
    if (models.size() == 2) return line_section(first.network, first.theta, models[1].theta);
    return plane_section(first.network, first.theta, models[1].theta, models[2].theta);
  });
}

}  // namespace

void DirectionOptions::add_to(CLI::App& command) {
  command
      .add_option("--through", through,
                  "The line through two models of one network, or the plane through three, instead of --model and "
                  "--directions: alpha = 0 is the first, alpha_i = 1 alone the next ones, exactly")
      ->delimiter(',')
      ->type_name("FILE,FILE[,FILE]");
  command.add_option("--origin", origin, "Parameters at alpha = 0")
      ->check(CLI::IsMember({"model", "zero"}))
      ->type_name("WHERE")
      ->capture_default_str();
  command
      .add_option("--directions", source,
                  "FILE.npy of shape (z, M), or random (Gaussian), or filter (Gaussian, each row of a weight matrix "
                  "scaled to the norm of the model's row)")
      ->type_name("FILE|random|filter");
  command
      .add_option("--normalise", normalise,
                  "What --directions random is scaled by: rows of the model, layers, or nothing (default: none)")
      ->check(CLI::IsMember({"filter", "layer", "none"}))
      ->type_name("HOW");
  command
      .add_option("--bias-directions", bias,
                  "Biases of random directions: zero, a copy of the model's, or random and scaled to the model's norm")
      ->check(CLI::IsMember({"zero", "copy", "scaled"}))
      ->type_name("HOW")
      ->capture_default_str();
  add_whole<std::int64_t>(command, "--count", count, 1, kMostWhole, "Number z of random directions")->type_name("Z");
  add_seed(command, seed, "Seed of random directions");
  command.add_flag("--orthogonalise", orthogonal, "Make the directions orthogonal, in order, lengths kept");
}

void DirectionOptions::check_usage(const CLI::App& command) const {
  if (!through.empty()) {
    if (through.size() < 2 || through.size() > 3) {
      throw CLI::ValidationError("--through", "received " + std::to_string(through.size()) +
                                                  (through.size() == 1 ? " model" : " models") +
                                                  ", expected two or three");
    }
    for (const char* option : {"--model", "--origin", "--directions", "--normalise", "--bias-directions", "--count",
                               "--seed", "--orthogonalise"}) {
      if (command.count(option) > 0) throw CLI::ExcludesError(option, "--through");
    }
    return;
  }
  for (const char* option : {"--model", "--directions"}) {
    if (command.count(option) == 0) throw CLI::RequiredError(std::string(option) + " (or --through)");
  }
  if (drawn_at_random()) {
    if (source == "filter" && !normalise.empty()) throw CLI::ExcludesError("--normalise", "--directions filter");
    return;
  }
  for (const char* option : {"--normalise", "--bias-directions", "--count", "--seed"}) {
    if (command.count(option) > 0) throw CLI::ExcludesError(option, "--directions FILE");
  }
}

Model DirectionOptions::read_origin(const ModelOptions& models) const {
  return through.empty() ? models.read() : models.read("--through", through.front());
}

Section DirectionOptions::section(const ModelOptions& models, const Model& origin_model) const {
  return through.empty() ? build_section(*this, origin_model) : section_through(through, models, origin_model);
}

}  // namespace lossatlas::cli
