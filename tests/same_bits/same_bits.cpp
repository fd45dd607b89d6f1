// Numbers of a build to compare with another build's: same_bits dump FOLDER DEVICE writes them, each result in a file
// of doubles; same_bits compare A B reports what differs. Only the public API is used, so that older commits compile
// it.
#include <lossatlas/lossatlas.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace lossatlas;
namespace fs = std::filesystem;

class Output {
 public:
  explicit Output(fs::path folder) : folder_(std::move(folder)) { fs::create_directories(folder_); }

  void put(const std::string& name, std::span<const double> values) const {
    std::ofstream file(folder_ / (name + ".f64"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  }
  void put(const std::string& name, const Inertia& inertia) const {
    put(name, std::vector<double>{static_cast<double>(inertia.positive), static_cast<double>(inertia.zero),
                                  static_cast<double>(inertia.negative)});
  }
  fs::path file(const std::string& name) const { return folder_ / name; }

 private:
  fs::path folder_;
};

/// Uniform in (-1, 1), the same on every machine.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : engine_(seed) {}
  double next() { return 0x1p-52 * static_cast<double>(engine_() >> 11) - 1; }
  std::vector<double> many(std::int64_t count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = next();
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

Dataset data_for(const Network& network, Loss loss, std::int64_t samples, std::uint64_t seed) {
  Numbers numbers(seed);
  std::vector<double> inputs = numbers.many(samples * network.inputs());
  const std::int64_t outputs = network.outputs_per_head();
  if (loss == Loss::mean_squared_error) {
    return Dataset::regression(std::move(inputs), network.inputs(), numbers.many(samples * outputs), outputs);
  }
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (auto& label : labels) {
    label = std::min(static_cast<std::int32_t>(outputs - 1),
                     static_cast<std::int32_t>((numbers.next() + 1) / 2 * static_cast<double>(outputs)));
  }
  return Dataset::classification(std::move(inputs), network.inputs(), std::move(labels), outputs);
}

// --- R, its derivatives and its spectra

void dump_derivatives(const Output& output, const std::string& name, const Landscape& landscape,
                      std::span<const double> theta) {
  const auto m = static_cast<std::int64_t>(theta.size());
  const Evaluation evaluation = landscape.evaluate(theta);
  output.put(name + "_losses", evaluation.losses);
  output.put(name + "_accuracy", evaluation.accuracy);
  output.put(name + "_gradient", landscape.gradient(theta));
  for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    const std::string which = part == HessianPart::full ? "_full" : "_gauss_newton";
    output.put(name + "_hessian" + which, hessian(landscape, theta, {.part = part}));
    output.put(name + "_products" + which,
               HessianOperator(landscape, {theta.begin(), theta.end()}, part).multiply(Numbers(7).many(3 * m)));
    const Spectrum spectrum = hessian_spectrum(landscape, theta, {.vectors = true}, {.part = part});
    output.put(name + "_eigenvalues" + which, spectrum.eigenvalues);
    output.put(name + "_eigenvectors" + which, spectrum.eigenvectors);
    output.put(name + "_residual" + which, std::vector<double>{spectrum.residual});
    const CurvatureTest test = test_curvature(landscape, theta, {.part = part});
    output.put(name + "_curvature" + which,
               std::vector<double>{static_cast<double>(test.curvature), test.below, test.rounding});
  }
  std::vector<double> thetas(theta.begin(), theta.end());
  for (const double value : theta) thetas.push_back(0.5 * value);
  std::vector<double> all;
  for (const Spectrum& spectrum : hessian_spectra(landscape, thetas))
    all.insert(all.end(), spectrum.eigenvalues.begin(), spectrum.eigenvalues.end());
  output.put(name + "_spectra", all);
}

void dump_all_derivatives(const Output& output, const Device& device) {
  struct Shape {
    std::vector<std::int64_t> widths;
    std::int64_t heads, samples;
    Bias bias;
  };
  const Shape shapes[] = {
      {{3, 5, 4}, 1, 37, Bias::all},  {{2, 7, 6, 4}, 2, 300, Bias::hidden},
      {{1, 9, 1}, 1, 129, Bias::all}, {{5, 33, 17, 9, 6}, 3, 64, Bias::none},
      {{4, 3}, 1, 1, Bias::all},      {{3, 5, 4}, 1, 4700, Bias::all}};  // more than a chunk of any sum
  int index = 0;
  for (const Shape& shape : shapes) {
    for (const Activation activation : {Activation::tanh, Activation::relu, Activation::gelu, Activation::softplus,
                                        Activation::sine, Activation::sigmoid, Activation::leaky_relu}) {
      for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
        if (loss == Loss::cross_entropy && shape.widths.back() / shape.heads < 2) continue;
        const bool large = shape.widths.size() > 4 || shape.samples > 1000;
        if (large && activation != Activation::tanh && activation != Activation::relu) continue;
        const Network network = mlp(shape.widths, activation, {.bias = shape.bias, .heads = shape.heads});
        const Landscape landscape(network, data_for(network, loss, shape.samples, 11), loss, device);
        dump_derivatives(output, "derivatives" + std::to_string(index++), landscape,
                         random_parameters(network, {.seed = 3}));
      }
    }
  }
}

// --- sections

/// A section of each kind of plan that a network has.
std::vector<std::pair<std::string, Section>> sections_of(const Network& network) {
  const std::vector<double> theta = random_parameters(network, {.seed = 5});
  const auto m = theta.size();
  Numbers numbers(23);
  const auto directions = [&](std::int64_t count, const std::function<bool(const ParameterBlock&)>& moved) {
    std::vector<double> result(static_cast<std::size_t>(count) * m);
    for (std::int64_t i = 0; i < count; ++i) {
      for (const ParameterBlock& block : network.blocks()) {
        if (!moved(block)) continue;
        for (std::int64_t k = 0; k < block.size(); ++k)
          result[static_cast<std::size_t>(i) * m + static_cast<std::size_t>(block.offset + k)] = 0.3 * numbers.next();
      }
    }
    return result;
  };
  const auto cut_off = [&](std::int64_t units) {
    std::vector<double> origin = theta;
    const auto weight = network.view(std::span(origin), 0).weight;
    for (std::int64_t j = 0; j < std::min(units, weight.out); ++j) std::ranges::fill(weight.row(j), 0.0);
    return origin;
  };
  const auto biases_of_units = [&](std::int64_t units) {
    std::vector<double> result(2 * m);
    for (std::size_t i = 0; i < 2; ++i) {
      const auto bias = network.view(std::span(result).subspan(i * m, m), 0).bias;
      for (std::int64_t j = 0; j < std::min<std::int64_t>(units, std::ssize(bias)); ++j)
        bias[static_cast<std::size_t>(j)] = numbers.next();
    }
    return result;
  };
  const std::int64_t last = network.depth() - 1;
  std::vector<std::pair<std::string, Section>> sections;
  const auto add = [&](const std::string& name, std::vector<double> origin, std::vector<double> moves) {
    sections.emplace_back(name, make_section(network, std::move(origin), std::move(moves)));
  };
  add("all", theta, directions(2, [](const auto&) { return true; }));
  add("three", theta, directions(3, [](const auto&) { return true; }));
  add("filter", theta, random_directions(network, theta, {.count = 2, .seed = 9, .bias = BiasDirection::scaled}));
  add("upper", theta, directions(2, [](const auto& block) { return block.layer >= 1; }));
  add("first", theta, directions(2, [](const auto& block) { return block.layer == 0; }));
  add("last", theta, directions(2, [&](const auto& block) { return block.layer == last; }));
  if (!network.view(std::span<const double>(theta), 0).bias.empty()) {
    add("free", cut_off(1 << 20), biases_of_units(1 << 20));
    add("mixed", cut_off(2), biases_of_units(2));
  }
  sections.emplace_back("line", line_section(network, theta, random_parameters(network, {.seed = 6})));
  return sections;
}

void dump_sections(const Output& output, const Device& device) {
  struct Shape {
    std::vector<std::int64_t> widths;
    Activation activation;
    std::int64_t heads, samples;
  };
  const Shape shapes[] = {{{3, 9, 6, 4}, Activation::tanh, 2, 131},
                          {{5, 40, 33, 10}, Activation::relu, 1, 70},
                          {{2, 17, 3}, Activation::gelu, 1, 5},
                          {{2, 4, 3}, Activation::tanh, 1, 2500}};
  for (std::size_t s = 0; s < std::size(shapes); ++s) {
    const Network network = mlp(shapes[s].widths, shapes[s].activation, {.heads = shapes[s].heads});
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
      const Landscape landscape(network, data_for(network, loss, shapes[s].samples, 31), loss, device);
      for (const auto& [name, section] : sections_of(network)) {
        const std::string label = "section" + std::to_string(s) + '_' + std::string(lossatlas::name(loss)) + '_' + name;
        const Grid grid = Grid::box(-0.9, 1, std::vector<std::int64_t>(static_cast<std::size_t>(section.rank()), 5));
        for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
          const std::string text = label + '_' + lossatlas::name(precision);
          output.put(text, landscape.evaluate(section, grid, {.precision = precision}).losses);
          output.put(text + "_list",
                     landscape.evaluate(section, Numbers(4).many(7 * section.rank()), {.precision = precision}).losses);
          output.put(text + "_direct",
                     landscape.evaluate(section, grid, {.precision = precision, .plan = Plan::direct}).losses);
        }
        for (const double hi : {0.2, 1.0}) {  // with 1 the ends of a line are among the points
          const Surface interpolated =
              landscape.evaluate(section, Grid::box(0, hi, std::vector<std::int64_t>(grid.rank(), 25)),
                                 {.method = Method::chebyshev, .tolerance = 1e-4});
          const std::string text = label + "_chebyshev_" + (hi < 1 ? "near" : "far");
          output.put(text, interpolated.losses);
          output.put(text + "_report", std::vector<double>{interpolated.chebyshev->estimate,
                                                           static_cast<double>(interpolated.chebyshev->evaluations)});
        }
        if (name == "free") output.put(label + "_outputs", landscape.outputs(section, Numbers(5).many(8)));
      }
    }
  }
}

// --- fits, searches and embeddings

void dump_fits(const Output& output, const Device& device) {
  const Dataset data = glyphs(60);
  const Pattern picture = demo_picture(40);
  const auto fit = [&](const std::string& name, FitOptions options) {
    options.device = device;
    const PatternFit fitted = fit_pattern(picture, data, options);
    output.put("fit_" + name + "_origin", fitted.section.origin);
    output.put("fit_" + name + "_directions", fitted.section.directions);
    output.put("fit_" + name + "_error", std::vector<double>{fitted.error.rms, fitted.error.max});
    return fitted;
  };
  const PatternFit placed = fit("placed", {.hidden = {24, 80}});
  fit("even", {.hidden = {24, 80}, .placed_share = 0});
  fit("gelu", {.hidden = {20, 20, 60}, .activation = Activation::gelu, .loss = Loss::mean_squared_error});
  fit("refine", {.hidden = {16, 40}, .method = FitMethod::refine, .iterations = 3});
  fit("adam", {.hidden = {16, 40}, .method = FitMethod::adam, .iterations = 30});
  const Landscape home(placed.network, data, Loss::cross_entropy, device);
  const Surface surface = home.evaluate(placed.section, picture.grid());
  const TransferReport report = transfer_report(home, placed.section, surface, glyphs(70, {.seed = 2}));
  output.put("transfer", report.surface.losses);
  output.put("transfer_report",
             std::vector<double>{report.rms_difference, report.predicted_rms_difference, report.max_disagreement});
}

void dump_optimisers(const Output& output, const Device& device) {
  const Network network = mlp({1, 3, 1}, Activation::tanh, {.bias = Bias::hidden});
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error, device);
  const std::vector<double> start = random_parameters(network, {.seed = 2});
  const auto put = [&](const std::string& name, const OptimiserResult& result) {
    output.put("optimise_" + name, result.theta);
    output.put("optimise_" + name + "_numbers",
               std::vector<double>{result.loss, result.gradient_l1, result.gradient_max,
                                   static_cast<double>(result.iterations), static_cast<double>(result.reason)});
  };
  put("descent", optimise(landscape, start, GradientDescent{}, {.iterations = 40}));
  put("adam", optimise(landscape, start, Adam{}, {.iterations = 40}));
  put("levenberg_marquardt", optimise(landscape, start, LevenbergMarquardt{}, {.iterations = 20}));
  put("newton", optimise(landscape, start, Newton{}, {.iterations = 20}));
}

void dump_search(const Output& output, const Device& device, const std::string& name, const Network& network,
                 const Dataset& data, Loss loss, std::int64_t starts) {
  const Landscape landscape(network, data, loss, device);
  CriticalSearchOptions options;
  options.starts = starts;
  options.each.descent_iterations = 2000;
  const CriticalSearch search = search_critical_points(landscape, options);
  output.put(name,
             std::vector<double>{static_cast<double>(search.classes.size()), static_cast<double>(search.found),
                                 static_cast<double>(search.not_converged), static_cast<double>(search.at_infinity),
                                 static_cast<double>(search.vanishing_output)});
  for (std::size_t i = 0; i < search.classes.size(); ++i) {
    const CriticalPoint& point = search.classes[i].representative;
    const std::string label = name + '_' + std::to_string(i);
    output.put(label + "_theta", point.theta);
    output.put(label + "_inertia", point.inertia);
    const CriticalPoint certified = certify_critical_point(landscape, point.theta);
    output.put(label + "_certified", std::vector<double>{certified.loss, certified.gradient_l1, certified.gradient_max,
                                                         certified.critical ? 1.0 : 0.0, certified.finite ? 1.0 : 0.0});
  }
}

void dump_embeddings(const Output& output, const Device& device) {
  const Network network = mlp({2, 4, 3, 3}, Activation::tanh);
  const Landscape landscape(network, data_for(network, Loss::cross_entropy, 1300, 3), Loss::cross_entropy, device);
  const std::vector<double> theta = random_parameters(network, {.seed = 8});
  const auto put = [&](const std::string& name, const Embedding& embedding) {
    output.put("embed_" + name, embedding.theta);
    const EmbeddingCertificate certificate = certify(landscape, theta, embedding);
    output.put("embed_" + name + "_certificate",
               std::vector<double>{certificate.output_change, certificate.loss_change, certificate.gradient_residual,
                                   certificate.narrow_gradient_l1, certificate.wide_gradient_l1});
  };
  put("split", split_neuron(network, theta, {.layer = 2, .neuron = 1, .alpha = 0.3}));
  put("widths", embed(network, theta, std::vector<std::int64_t>{7, 5}));
  put("null", null_embedding(network, theta, 1, 2, 0.5));
  for (std::int64_t layer = 1; layer <= 2; ++layer) {
    const SplitForecast forecast = split_forecast(landscape, theta, layer, 1);
    const std::string label = "forecast_" + std::to_string(layer);
    output.put(label + "_b", forecast.b);
    output.put(label + "_d", forecast.d);
    output.put(label + "_eigenvalues", forecast.b_eigenvalues);
    output.put(label + "_wide", forecast.wide(0.5));
  }
  std::vector<double> ranked;
  for (const SplitCandidate& candidate : rank_splits(landscape, theta)) {
    ranked.insert(ranked.end(), {static_cast<double>(candidate.layer), static_cast<double>(candidate.neuron),
                                 candidate.smallest_eigenvalue});
  }
  output.put("rank_splits", ranked);
}

void dump_files(const Output& output, const Device& device) {
  const Network network = mlp({3, 8, 4}, Activation::tanh);
  const Landscape landscape(network, data_for(network, Loss::cross_entropy, 50, 1), Loss::cross_entropy, device);
  const std::vector<double> theta = random_parameters(network, {.seed = 1});
  const Section section = make_section(network, theta, random_directions(network, theta, {.seed = 2}));
  const Grid grid = Grid::box(-1, 1, {20, 13});
  write_model(output.file("model.safetensors"), network, theta);
  write_section(output.file("losses.npy"), landscape, section, grid);
  std::vector<fs::path> shards;
  for (std::int64_t index = 1; index <= 2; ++index) {
    shards.push_back(output.file("losses" + std::to_string(index) + ".shard"));
    SectionFileOptions options;
    options.shard = Shard{index, 2};
    write_section(shards.back(), landscape, section, grid, options);
  }
  merge_sections(output.file("merged.npy"), shards);
  for (const fs::path& shard : shards) fs::remove(shard);  // they name the version that wrote them
  const Section line = line_section(network, theta, random_parameters(network, {.seed = 3}));
  SectionFileOptions interpolated;
  interpolated.evaluate.method = Method::chebyshev;
  write_section(output.file("line.npy"), landscape, line, Grid::box(0, 1, {400}), interpolated);
  const Surface surface = landscape.evaluate(section, grid);
  write_png(output.file("surface.png"), surface);
  write_vti(output.file("surface.vti"), surface);
  write_png(output.file("spectrum.png"), plot_spectrum(hessian_spectrum(landscape, theta)));
}

void dump(const fs::path& folder, const std::string& kind) {
  const bool on_cuda = kind == "cuda";
  const Device device = on_cuda ? Device::cuda() : Device::cpu({.threads = 2});
  const Output output(folder);
  dump_all_derivatives(output, device);
  dump_sections(output, device);
  dump_embeddings(output, device);
  dump_files(output, device);
  if (on_cuda) return;  // what follows is host code over the same operations, and slow on an emulated device
  dump_fits(output, device);
  dump_optimisers(output, device);
  dump_search(output, device, "find_tanh3", mlp({1, 2, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3(),
              Loss::mean_squared_error, 6);
  const Network classes = mlp({2, 2, 3}, Activation::relu);
  dump_search(output, device, "find_relu", classes, data_for(classes, Loss::cross_entropy, 12, 2), Loss::cross_entropy,
              6);
}

// --- compare

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// The largest difference of two results, relative to their largest entry.
std::string difference(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return std::to_string(a.size()) + " and " + std::to_string(b.size()) + " bytes";
  std::vector<double> x(a.size() / sizeof(double)), y(x.size());
  std::memcpy(x.data(), a.data(), x.size() * sizeof(double));
  std::memcpy(y.data(), b.data(), y.size() * sizeof(double));
  double scale = 0, worst = 0;
  std::size_t differing = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::memcmp(&x[i], &y[i], sizeof(double)) == 0) continue;
    ++differing;
    if (!(std::abs(x[i] - y[i]) <= worst)) worst = std::abs(x[i] - y[i]);
  }
  for (const double value : x) scale = std::max(scale, std::abs(value));
  std::ostringstream text;
  text << differing << " of " << x.size() << " numbers, at most by " << worst / scale << " of the largest";
  return text.str();
}

int compare(const fs::path& a, const fs::path& b) {
  std::set<std::string> names;
  for (const fs::path& folder : {a, b}) {
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  }
  std::int64_t same = 0, other = 0;
  for (const std::string& name : names) {
    const std::string in_a = read(a / name), in_b = read(b / name);
    if (fs::exists(a / name) && fs::exists(b / name) && in_a == in_b) {
      ++same;
      continue;
    }
    ++other;
    const bool missing = !fs::exists(a / name) || !fs::exists(b / name);
    std::cout << name << ": "
              << (missing                  ? "in one of them"
                  : name.ends_with(".f64") ? difference(in_a, in_b)
                                           : "other bytes")
              << '\n';
  }
  std::cout << same << " results are the same to the bit, " << other << " differ\n";
  return other == 0 && same > 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  try {
    if (given.size() == 3 && given[0] == "dump" && (given[2] == "cpu" || given[2] == "cuda")) {
      dump(given[1], given[2]);
      return 0;
    }
    if (given.size() == 3 && given[0] == "compare") return compare(given[1], given[2]);
  } catch (const std::exception& error) {
    std::cerr << "same_bits: " << error.what() << '\n';
    return 1;
  }
  std::cerr << "usage: same_bits dump FOLDER cpu|cuda\n       same_bits compare A B\n";
  return 2;
}
