// Figures of Czarnecki, Osindero, Pascanu, Jaderberg: "A Deep Neural Network's Loss Surface Contains Every
// Low-dimensional Pattern", arXiv 1912.07559.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "reproduce.hpp"

namespace lossatlas::cli {
namespace {

constexpr double kClip = 0.02;  // the logits of black and white are infinite

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double clipped(double colour) { return std::clamp(colour, kClip, 1 - kClip); }

Pattern logits(const Pattern& picture) {
  std::vector<double> values(picture.values().begin(), picture.values().end());
  for (double& value : values) value = std::log(clipped(value) / (1 - clipped(value)));
  return Pattern(picture.shape(), picture.channels(), std::move(values), picture.name());
}

// PSNR of the drawn colours sigmoid(L − a) against the clipped picture.
double colour_psnr(const Surface& surface, const std::vector<double>& offset, const Pattern& picture) {
  double sum = 0;
  for (std::int64_t g = 0; g < surface.size(); ++g) {
    for (std::int64_t k = 0; k < surface.heads; ++k) {
      const double drawn = sigmoid(surface.at(g, k) - offset[static_cast<std::size_t>(k)]);
      sum += std::pow(drawn - clipped(picture.at(g, k)), 2);
    }
  }
  return -10 * std::log10(sum / static_cast<double>(surface.size() * surface.heads));
}

Json draw_figure1(const ReproduceArguments& arguments, Session& session) {
  const Dataset train = read_data("--data", arguments.data.empty() ? "glyphs:5000" : arguments.data, session);
  check_apart(arguments.outputs, session);
  const Pattern picture = demo_picture();
  const Pattern target = logits(picture);
  const Device device = arguments.device.select(session);
  const PatternFit fit =
      fit_pattern(target, train, {.hidden = {64, 64, 2048}, .device = device, .control = session.control()});
  const Landscape landscape(fit.network, train, Loss::cross_entropy, device);
  const Surface surface = landscape.evaluate(fit.section, target.grid(), {.control = session.control()});
  const PatternError error = pattern_error(surface, target);

  make_folder(arguments.out);
  const Image images[] = {
      render(picture, {.title = "target"}),
      render(surface, {.title = "sigmoid(L - a), " + train.name(), .offset = error.offset, .sigmoid = true})};
  write_png(arguments.out / "figure1.png", side_by_side(images));
  return {{"network", describe(fit.network)},
          {"train", describe(train)},
          {"colour_psnr_db", colour_psnr(surface, error.offset, picture)},
          {"rms_error", error.rms},
          {"max_error", error.max},
          {"offset", error.offset},
          {"sigma_min", fit.sigma_minimum},
          {"device", surface.device},
          {"precision", name(surface.precision)},
          {"seconds", {{"fit", fit.seconds.total}, {"surface", surface.seconds}}}};
}

struct Case {
  std::string label;
  ImplicitActivation sigma;
};

// Two targets −1 and +1, the second with frequency `share`.
Case signs(double share, std::string label) {
  const double mean = 2 * share - 1;
  return {std::move(label), ImplicitActivation(Loss::mean_squared_error, {{mean}, 1.0, 1 - mean * mean})};
}

// The first class has frequency `first`; the others share the rest equally.
Case classes(std::size_t count, double first, std::string label) {
  std::vector<double> shares(count, (1 - first) / static_cast<double>(count - 1));
  shares[0] = first;
  double square = 0;
  for (double share : shares) square += share * share;
  return {std::move(label), ImplicitActivation(Loss::cross_entropy, {shares, 1.0, 1 - square})};
}

std::vector<Case> cases(Loss loss, const std::string& data) {
  std::vector<Case> list;
  if (loss == Loss::mean_squared_error) {
    list = {signs(0.5, "balanced"), signs(0.75, "75 : 25"), signs(0.95, "95 : 5")};
  } else {
    list = {classes(2, 0.5, "2 balanced"), classes(10, 0.1, "10 balanced"), classes(2, 0.9, "2, first 90 %"),
            classes(10, 0.55, "10, first 55 %")};
  }
  if (data.empty()) return list;
  const Dataset set = for_option("--data", [&] { return read_dataset(data); });
  if (set.has_labels() == (loss == Loss::cross_entropy)) list.push_back({set.name(), ImplicitActivation(loss, set)});
  return list;
}

// σ along its path, and s as a function of σ; a negative s lies on the other branch, so the inverse starts at 0.
struct Curves {
  std::vector<Curve> sigma;
  std::vector<Curve> inverse;
};

Curves tabulate(Loss loss, const std::vector<Case>& list, std::string& table) {
  constexpr int kSteps = 200;
  constexpr double kReach = 4;
  Curves curves;
  for (const Case& entry : list) {
    Curve sigma{entry.label, {}, {}};
    Curve inverse{entry.label, {}, {}};
    for (int i = -kSteps; i <= kSteps; ++i) {
      const double s = kReach * i / kSteps;
      const double t = entry.sigma.along_path(s);
      sigma.x.push_back(s);
      sigma.y.push_back(t);
      const bool inverted = i >= 0;
      if (inverted) {
        inverse.x.push_back(t);
        inverse.y.push_back(entry.sigma.inverse(t));
      }
      char row[160];
      std::snprintf(row, sizeof row, "%.17g,%.17g,%.17g,", s, t, entry.sigma.path_derivative(s));
      table += std::string(name(loss)) + ",\"" + entry.label + "\"," + row;
      if (inverted) {
        std::snprintf(row, sizeof row, "%.17g", inverse.y.back());
        table += row;
      }
      table += '\n';
    }
    curves.sigma.push_back(std::move(sigma));
    curves.inverse.push_back(std::move(inverse));
  }
  return curves;
}

Json draw_figure3(const ReproduceArguments& arguments, Session& session) {
  std::string table = "loss,case,s,sigma,derivative,inverse\n";
  std::vector<Image> figures;
  Json minima = Json::array();
  for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
    const bool squared = loss == Loss::mean_squared_error;
    const auto list = cases(loss, arguments.data);
    check_apart(arguments.outputs, session);
    const Curves curves = tabulate(loss, list, table);
    const std::string title = squared ? "squared error, targets -1 and +1" : "cross entropy";
    figures.push_back(plot(curves.sigma, {.title = title, .x_label = "s along the path", .y_label = "sigma"}));
    figures.push_back(plot(curves.inverse, {.title = title + ": inverse", .x_label = "loss t", .y_label = "s"}));
    for (const Case& entry : list) {
      minima.push_back({{"loss", name(loss)}, {"case", entry.label}, {"sigma_min", entry.sigma.minimum()}});
    }
  }
  make_folder(arguments.out);
  write_png(arguments.out / "figure3-mse.png", side_by_side(std::span(figures).first(2)));
  write_png(arguments.out / "figure3-ce.png", side_by_side(std::span(figures).last(2)));
  write_text(arguments.out / "figure3.csv", table);
  return {{"cases", minima}};
}

constexpr Figure kCzarnecki2019[] = {
    {"czarnecki2019-fig1",
     "A picture in the loss surfaces of a network with three hidden layers and three heads (one a colour)",
     {"figure1.png"},
     draw_figure1},
    {"czarnecki2019-fig3",
     "The implicit activation of both losses and its inverse, for several label frequencies",
     {"figure3-mse.png", "figure3-ce.png", "figure3.csv"},
     draw_figure3},
};

}  // namespace

std::span<const Figure> czarnecki2019_figures() { return kCzarnecki2019; }

}  // namespace lossatlas::cli
