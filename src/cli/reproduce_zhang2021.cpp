// Figures of Zhang, Zhang, Luo, Xu: "Embedding Principle of Loss Landscape of Deep Neural Networks", arXiv 2105.14573.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "reproduce.hpp"

namespace lossatlas::cli {
namespace {

// What the paper's panel shows. Its critical points are unpublished; if only the negative eigenvalues can be counted in
// the printed figure, `zero` and `positive` are absent (−1).
struct Panel {
  Inertia paper;
  std::string split;      ///< how it comes from the critical point of width 2
  std::string note = {};  ///< for its title
};

// One of our panels: a network at a critical point, and the inertia that the small matrices predict.
struct Embedded {
  Model model;
  Inertia predicted;
};

const std::vector<double> kHalves(2, 1.0 / 2), kThirds(3, 1.0 / 3);

bool same(const Inertia& ours, const Inertia& paper) {
  return ours.negative == paper.negative && (paper.zero < 0 || ours == paper);
}

std::string paper_text(const Inertia& paper) {
  return paper.zero < 0 ? std::to_string(paper.negative) + " negative" : counts(paper);
}

// The end of a panel's title. Equal counts do not prove that it is the paper's point.
std::string comparison(const Inertia& ours, const Panel& panel) {
  const std::string paper = paper_text(panel.paper), note = panel.note.empty() ? "" : "; " + panel.note;
  if (!same(ours, panel.paper)) return "(another critical point than the paper's: " + paper + note + ")";
  return (panel.paper.zero < 0 ? "(paper: " + paper : "(counts as in the paper") + note + ")";
}

Model wide_model(const Model& narrow, std::int64_t neuron, const std::vector<double>& weights) {
  Embedding wide = split_neuron(narrow.network, narrow.theta, 1, neuron, weights);
  return {std::move(wide.network), std::move(wide.theta)};
}

// The network after a split, and its predicted inertia.
Embedded embedded(const Model& narrow, const Dataset& data, const Device& device, std::int64_t neuron,
                  const std::vector<double>& weights) {
  const Landscape landscape(narrow.network, data, Loss::mean_squared_error, device);
  return {wide_model(narrow, neuron, weights), split_forecast(landscape, narrow.theta, 1, neuron).wide(weights)};
}

Json panel_json(const Panel& panel, const Embedded& point, const Landscape& landscape, const Spectrum& spectrum,
                const std::string& title) {
  const Norms gradient = norms(landscape.gradient(point.model.theta));
  Json paper = {{"negative", panel.paper.negative}};
  if (panel.paper.zero >= 0) paper = describe(panel.paper);
  return {{"title", title},
          {"network", describe(landscape.network())},
          {"split", panel.split},
          {"parameters", landscape.network().parameter_count()},
          {"loss", landscape.evaluate(point.model.theta).loss()},
          {"gradient_l1", gradient.l1},
          {"gradient_max", gradient.max},
          {"eigenvalues", spectrum.eigenvalues},
          {"inertia", describe(spectrum.inertia)},
          {"predicted", describe(point.predicted)},
          {"paper", paper},
          {"zero_threshold", spectrum.zero.threshold},
          {"gap", spectrum.zero.gap},
          {"device", spectrum.device}};
}

Json draw_panels(const std::string& name, const std::vector<Panel>& panels, const std::vector<Embedded>& points,
                 const Dataset& data, const Device& device, const ReproduceArguments& arguments, Session& session) {
  Json reports = Json::array();
  std::vector<Spectrum> spectra;
  std::vector<std::string> titles;
  make_folder(arguments.out);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    session.check();
    const Model& model = points[i].model;
    const std::string width = std::to_string(i + 2);
    const Landscape landscape(model.network, data, Loss::mean_squared_error, device);
    const Spectrum& spectrum = spectra.emplace_back(hessian_spectrum(landscape, model.theta));
    const std::string own = "width " + width + ": " + counts(spectrum.inertia);
    const std::string paper = comparison(spectrum.inertia, panels[i]);
    write_model(arguments.out / ("width-" + width + ".safetensors"), model.network, model.theta);
    titles.push_back(own + '\n' + paper);
    reports.push_back(panel_json(panels[i], points[i], landscape, spectrum, own + ' ' + paper));
  }
  write_png(arguments.out / (name + ".png"), plot_spectra(spectra, titles));
  return {{"data", describe(data)}, {"panels", reports}};
}

// There are many small problems: solves them on the host, and so finds the same points for every device.
Device search_device(const Device& device) { return device.kind() == Device::Kind::cpu ? device : Device::cpu(); }

std::vector<CriticalClass> search(const Landscape& landscape, std::int64_t starts, std::int64_t descent,
                                  Session& session) {
  CriticalSearchOptions options{.starts = starts};
  options.each.descent_iterations = descent;
  options.each.control = session.control();
  return search_critical_points(landscape, options).classes;
}

[[noreturn]] void none_found(const Network& network) {
  throw InvalidArgument("--data: received data on which no critical point of " + network.describe() +
                        " was found, expected one; choose other data");
}

// The neuron of the first layer with the smallest input weights, in the Euclidean norm.
std::int64_t smallest_weights(const Model& model) {
  const auto weight = model.network.view(std::span<const double>(model.theta), 0).weight;
  const auto size = [&](std::int64_t j) {
    double sum = 0;
    for (std::int64_t i = 0; i < weight.in; ++i) sum += weight(j, i) * weight(j, i);
    return sum;
  };
  std::int64_t best = 0;
  for (std::int64_t j = 1; j < weight.out; ++j) {
    if (size(j) < size(best)) best = j;
  }
  return best;
}

Json draw_figure3a(const ReproduceArguments& arguments, Session& session) {
  const Dataset data = arguments.data.empty() ? tanh3() : read_data("--data", arguments.data, session);
  check_apart(arguments.outputs, session);
  const Device device = arguments.device.select(session);
  const Network network = for_option("--data", [&] {
    return mlp({data.features(), 2, data.outputs()}, Activation::tanh, {.bias = Bias::hidden});
  });
  const Landscape landscape(network, data, Loss::mean_squared_error, search_device(device));
  const auto found = search(landscape, 32, 20000, session);
  const auto minimum = std::find_if(found.begin(), found.end(),
                                    [](const CriticalClass& one) { return one.representative.inertia.negative == 0; });
  if (minimum == found.end()) none_found(network);

  const Model narrow{network, minimum->representative.theta};
  const std::int64_t first = smallest_weights(narrow);
  std::vector<Embedded> points{{narrow, minimum->representative.inertia}};
  points.push_back(embedded(narrow, data, device, first, kHalves));
  points.push_back(embedded(points.back().model, data, device, 1 - first, kHalves));
  const std::vector<Panel> panels{{{-1, -1, 0}, "the minimum"},
                                  {{-1, -1, 1}, "the neuron with the smaller input weights in halves"},
                                  {{-1, -1, 2}, "each neuron in halves"}};
  return draw_panels("figure3a", panels, points, data, device, arguments, session);
}

std::string iris_spec() {
  const char* folder = std::getenv("LOSSATLAS_DATA");
  if (folder == nullptr || *folder == '\0') {
    throw InvalidArgument(
        "LOSSATLAS_DATA: received nothing, expected the folder of iris.csv; set it, or pass --data csv:iris.csv");
  }
  return std::string("csv:") + folder + "/iris.csv,standardise";
}

const std::vector<Panel> kIrisPanels{{{12, 1, 3}, "the critical point"},
                                     {{17, 2, 5}, "one neuron in halves"},
                                     {{22, 3, 7}, "the same neuron in thirds"}};

std::int64_t distance(const Inertia& ours, const Inertia& paper) {
  return std::abs(ours.positive - paper.positive) + std::abs(ours.zero - paper.zero) +
         std::abs(ours.negative - paper.negative);
}

// A critical point of width 2 and the neuron to split.
struct IrisPoint {
  Model model;
  std::int64_t neuron = 0;
  std::string origin;
  bool halves = false;                                          ///< from width 1, its neuron split
  std::int64_t far = std::numeric_limits<std::int64_t>::max();  ///< sum of distances from the paper's three inertias
};

constexpr std::int64_t kIrisStarts = 128, kIrisDescent = 200;

// Replaces `best` by θ if one of its neurons comes nearer to the paper.
void consider(const Landscape& landscape, const std::vector<double>& theta, const std::string& origin, bool halves,
              IrisPoint& best) {
  for (std::int64_t neuron = 0; neuron < 2; ++neuron) {
    const SplitForecast forecast = split_forecast(landscape, theta, 1, neuron);
    const std::int64_t far = distance(forecast.narrow, kIrisPanels[0].paper) +
                             distance(forecast.wide(kHalves), kIrisPanels[1].paper) +
                             distance(forecast.wide(kThirds), kIrisPanels[2].paper);
    if (far < best.far) best = {{landscape.network(), theta}, neuron, origin, halves, far};
  }
}

Network iris_network(const Dataset& data, std::int64_t width) {
  return mlp({data.features(), width, data.outputs()}, Activation::sigmoid, {.bias = Bias::hidden});
}

// The critical point and neuron whose three inertias are nearest to the paper's; among equals, the lowest loss. The
// paper's point has a zero eigenvalue, as every embedded point does: so halved points of width 1 come first.
IrisPoint nearest_to_paper(const Dataset& data, const Device& device, Session& session) {
  IrisPoint best;
  const Landscape landscape(iris_network(data, 2), data, Loss::mean_squared_error, device);
  const Landscape narrow(iris_network(data, 1), data, Loss::mean_squared_error, device);
  for (const CriticalClass& found : search(narrow, kIrisStarts, kIrisDescent, session)) {
    const Model half = wide_model({narrow.network(), found.representative.theta}, 0, kHalves);
    consider(landscape, half.theta, "a critical point of width 1, its neuron in halves", true, best);
  }
  if (best.far == 0) return best;
  for (const CriticalClass& found : search(landscape, kIrisStarts, kIrisDescent, session)) {
    consider(landscape, found.representative.theta, "a critical point of width 2", false, best);
  }
  if (best.model.theta.empty()) none_found(landscape.network());
  return best;
}

Json draw_figure3b(const ReproduceArguments& arguments, Session& session) {
  const Dataset data = read_data("--data", arguments.data.empty() ? iris_spec() : arguments.data, session);
  check_apart(arguments.outputs, session);
  const Device device = arguments.device.select(session);
  const IrisPoint base = nearest_to_paper(data, search_device(device), session);
  const Landscape landscape(base.model.network, data, Loss::mean_squared_error, search_device(device));
  const CriticalPoint point = certify_critical_point(landscape, base.model.theta);
  std::vector<Embedded> points{{base.model, point.inertia}};
  points.push_back(embedded(base.model, data, device, base.neuron, kHalves));
  points.push_back(embedded(base.model, data, device, base.neuron, kThirds));
  std::vector<Panel> panels = kIrisPanels;
  if (base.halves) panels[0].note = "a point of width 1 in halves";
  Json report = draw_panels("figure3b", panels, points, data, device, arguments, session);
  report.add("counts_as_in_paper", base.far == 0);
  report.add("critical_point", {{"origin", base.origin},
                                {"neuron", base.neuron},
                                {"loss", point.loss},
                                {"gradient_l1", point.gradient_l1},
                                {"critical", point.critical},
                                {"finite", point.finite},
                                {"theta", point.theta}});
  return report;
}

constexpr Figure kZhang2021[] = {
    {"zhang2021-fig3a",
     "Spectra of a minimum on one-dimensional data and of its embeddings in widths 3 and 4",
     {"figure3a.png", "width-2.safetensors", "width-3.safetensors", "width-4.safetensors"},
     draw_figure3a},
    {"zhang2021-fig3b",
     "Spectra of a critical point on Iris (iris.csv in LOSSATLAS_DATA) and of its embeddings",
     {"figure3b.png", "width-2.safetensors", "width-3.safetensors", "width-4.safetensors"},
     draw_figure3b},
};

}  // namespace

std::span<const Figure> zhang2021_figures() { return kZhang2021; }

}  // namespace lossatlas::cli
