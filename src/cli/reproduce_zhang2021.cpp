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

// What the paper's panel shows. Its critical points are unpublished; where only the negative eigenvalues can be counted
// in the printed figure, `zero` and `positive` are absent (−1).
struct Panel {
  Inertia paper;
  std::string split;  ///< how it comes from the critical point of width 2
};

// One panel of ours: a network at a critical point, and what the small matrices say of it.
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
  std::vector<Image> images;
  make_folder(arguments.out);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    session.check();
    const Model& model = points[i].model;
    const std::string width = std::to_string(i + 2);
    const Landscape landscape(model.network, data, Loss::mean_squared_error, device);
    const Spectrum spectrum = hessian_spectrum(landscape, model.theta);
    std::string title = "width " + width + ": " + counts(spectrum.inertia);
    if (!same(spectrum.inertia, panels[i].paper)) {
      title += " (another critical point than the paper's: " + paper_text(panels[i].paper) + ")";
    }
    write_model(arguments.out / ("width-" + width + ".safetensors"), model.network, model.theta);
    images.push_back(plot_spectrum(spectrum, {.title = title}));
    reports.push_back(panel_json(panels[i], points[i], landscape, spectrum, title));
  }
  write_png(arguments.out / (name + ".png"), side_by_side(images));
  return {{"data", describe(data)}, {"panels", reports}};
}

// Many small problems: on the host, and so the same points for every device.
Device search_device(const Device& device) { return device.kind() == Device::Kind::cpu ? device : Device::cpu(); }

std::vector<CriticalClass> search(const Landscape& landscape, std::int64_t starts, Session& session) {
  return search_critical_points(landscape, {.starts = starts, .each = {.control = session.control()}}).classes;
}

[[noreturn]] void none_found(const Network& network) {
  throw InvalidArgument("--data: received data on which no critical point of " + network.describe() +
                        " was found, expected one; choose other data");
}

// The neuron of the first layer with the smallest input weight.
std::int64_t smallest_weight(const Model& model) {
  const auto weight = model.network.view(std::span<const double>(model.theta), 0).weight;
  std::int64_t best = 0;
  for (std::int64_t j = 1; j < weight.rows; ++j) {
    if (std::abs(weight(j, 0)) < std::abs(weight(best, 0))) best = j;
  }
  return best;
}

Json draw_figure3a(const ReproduceArguments& arguments, Session& session) {
  const Dataset data = arguments.data.empty() ? tanh3() : read_data("--data", arguments.data);
  const Device device = arguments.device.select(session);
  const Network network = for_option("--data", [&] {
    return mlp({data.features(), 2, data.outputs()}, Activation::tanh, {.bias = Bias::hidden});
  });
  const Landscape landscape(network, data, Loss::mean_squared_error, search_device(device));
  const auto found = search(landscape, 32, session);
  const auto minimum = std::find_if(found.begin(), found.end(),
                                    [](const CriticalClass& one) { return one.representative.inertia.negative == 0; });
  if (minimum == found.end()) none_found(network);

  const Model narrow{network, minimum->representative.theta};
  const std::int64_t first = smallest_weight(narrow);
  std::vector<Embedded> points{{narrow, minimum->representative.inertia}};
  points.push_back(embedded(narrow, data, device, first, kHalves));
  points.push_back(embedded(points.back().model, data, device, 1 - first, kHalves));
  const std::vector<Panel> panels{{{-1, -1, 0}, "the minimum"},
                                  {{-1, -1, 1}, "the neuron with the smaller input weight in halves"},
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

struct IrisPoint {
  Model model;
  std::int64_t neuron = 0;  ///< the one to split
};

// The critical point and neuron whose three inertias are nearest the paper's; the lowest loss of those alike.
IrisPoint nearest_to_paper(const Landscape& landscape, Session& session) {
  IrisPoint best;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const CriticalClass& found : search(landscape, 256, session)) {
    session.check();
    const std::vector<double>& theta = found.representative.theta;
    for (std::int64_t neuron = 0; neuron < 2; ++neuron) {
      const SplitForecast forecast = split_forecast(landscape, theta, 1, neuron);
      const std::int64_t far = distance(forecast.narrow, kIrisPanels[0].paper) +
                               distance(forecast.wide(kHalves), kIrisPanels[1].paper) +
                               distance(forecast.wide(kThirds), kIrisPanels[2].paper);
      if (far >= least) continue;
      least = far;
      best = {{landscape.network(), theta}, neuron};
    }
  }
  if (best.model.theta.empty()) none_found(landscape.network());
  return best;
}

Json draw_figure3b(const ReproduceArguments& arguments, Session& session) {
  const Dataset data = read_data("--data", arguments.data.empty() ? iris_spec() : arguments.data);
  const Device device = arguments.device.select(session);
  const Network network = mlp({data.features(), 2, data.outputs()}, Activation::sigmoid, {.bias = Bias::hidden});
  const Landscape landscape(network, data, Loss::mean_squared_error, search_device(device));
  const IrisPoint base = nearest_to_paper(landscape, session);
  std::vector<Embedded> points{{base.model, split_forecast(landscape, base.model.theta, 1, base.neuron).narrow}};
  points.push_back(embedded(base.model, data, device, base.neuron, kHalves));
  points.push_back(embedded(base.model, data, device, base.neuron, kThirds));
  return draw_panels("figure3b", kIrisPanels, points, data, device, arguments, session);
}

constexpr Figure kFigures[] = {
    {"zhang2021-fig3a", "Spectra of a minimum on one-dimensional data and of its embeddings in widths 3 and 4",
     draw_figure3a},
    {"zhang2021-fig3b", "Spectra of a critical point on Iris (iris.csv in LOSSATLAS_DATA) and of its embeddings",
     draw_figure3b},
};

}  // namespace

std::span<const Figure> zhang2021_figures() { return kFigures; }

}  // namespace lossatlas::cli
