#include "fit_output.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace lossatlas::cli {
namespace {

namespace fs = std::filesystem;

Json transfer_json(const Other& other, const TransferReport& report, const std::string& picture) {
  const Range range = finite_range(report.surface.losses);
  return {{"name", report.name},
          {"role", other.role},
          {"picture", picture},
          {"rms_difference", report.rms_difference},
          {"predicted_rms_difference", report.predicted_rms_difference},
          {"max_disagreement", report.max_disagreement},
          {"loss_min", range.lo},
          {"loss_max", range.hi}};
}

constexpr const char* kModel = "model.safetensors";
constexpr const char* kDirections = "directions.npy";
constexpr const char* kSurface = "surface.npy";
constexpr const char* kTarget = "target.png";
constexpr const char* kTrain = "surface-train.png";
constexpr const char* kCompare = "compare.png";
constexpr const char* kReport = "report.json";

// surface-test.png and surface-transfer-NAME.png. NAME keeps the letters, digits, dots, dashes and underscores of a
// data set's name, as many as a file's name has room for, and gets a number if two are the same.
std::vector<std::string> picture_files(const std::vector<Other>& others) {
  constexpr std::size_t kLongest = 100;
  std::vector<std::string> files;
  for (const Other& other : others) {
    std::string stem = "surface-" + other.role;
    if (other.role == "transfer") {
      stem += "-";
      for (const char c : other.data.name().substr(0, kLongest)) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
        stem += plain ? c : '-';
      }
    }
    std::string file = stem + ".png";
    for (int copy = 2; std::find(files.begin(), files.end(), file) != files.end(); ++copy) {
      file = stem + "-" + std::to_string(copy) + ".png";
    }
    files.push_back(file);
  }
  return files;
}

// The same colours for the target and for every surface: three heads are red, green and blue above the offset;
// otherwise one range of the summed loss for all.
struct Colours {
  RenderOptions target;
  RenderOptions surface;
};

Range total_range(const Surface& surface) {
  std::vector<double> totals;
  for (std::int64_t g = 0; g < surface.size(); ++g) totals.push_back(surface.total(g));
  return finite_range(totals);
}

Colours colours(const FitResult& result) {
  Colours chosen;
  if (result.surface.heads == 3) {
    chosen.surface.offset = result.error.offset;
    return chosen;
  }
  Range range = total_range(result.surface);
  for (const TransferReport& report : result.reports) {
    const Range other = total_range(report.surface);
    range = {std::fmin(range.lo, other.lo), std::fmax(range.hi, other.hi)};
  }
  if (!(range.lo < range.hi)) return chosen;  // nothing finite, or one value: the figures choose for themselves
  const double shift = std::accumulate(result.error.offset.begin(), result.error.offset.end(), 0.0);
  chosen.surface.range = range;
  if (std::isfinite(shift)) chosen.target.range = Range{range.lo - shift, range.hi - shift};
  return chosen;
}

void write_pictures(const FitResult& result, const fs::path& folder) {
  Colours chosen = colours(result);
  std::vector<Image> images;
  const auto add = [&](Image image, const std::string& file) {
    write_png(folder / file, image);
    images.push_back(std::move(image));
  };
  chosen.target.title = "target";
  add(render(result.target, chosen.target), kTarget);
  chosen.surface.title = "train: " + result.train.name();
  add(render(result.surface, chosen.surface), kTrain);
  const auto files = picture_files(result.others);
  for (std::size_t i = 0; i < files.size(); ++i) {
    chosen.surface.title = result.others[i].role + ": " + result.reports[i].name;
    add(render(result.reports[i].surface, chosen.surface), files[i]);
  }
  write_png(folder / kCompare, side_by_side(images));
}

}  // namespace

std::vector<OutputFile> fit_files(const fs::path& folder, const std::vector<Other>& others) {
  std::vector<OutputFile> files;
  for (const char* name : {kModel, kDirections, kSurface, kTarget, kTrain, kCompare, kReport}) {
    files.push_back({"--out", folder / name, {}});
  }
  for (const std::string& name : picture_files(others)) files.push_back({"--out", folder / name, {}});
  return files;
}

Json fit_report(const FitResult& result) {
  const PatternFit& fit = result.fit;
  const Range range = finite_range(result.surface.losses);
  Json transfer = Json::array();
  const auto pictures = picture_files(result.others);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    transfer.push_back(transfer_json(result.others[i], result.reports[i], pictures[i]));
  }
  Json steps = Json::array();
  for (const FitStep& step : fit.steps) steps.push_back({{"seconds", step.seconds}, {"psnr_db", step.psnr_db}});
  return {{"psnr_db", result.error.psnr_db},
          {"rms_error", result.error.rms},
          {"max_error", result.error.max},
          {"offset", result.error.offset},
          {"offset_aimed", fit.offset},
          {"sigma_min", fit.sigma_minimum},
          {"loss_min", range.lo},
          {"loss_max", range.hi},
          {"nonfinite", result.surface.nonfinite},
          {"transfer", transfer},
          {"target",
           {{"name", result.target.name()},
            {"shape", result.target.shape()},
            {"channels", result.target.channels()},
            {"edge_fraction", result.target.edge_fraction()}}},
          {"train", describe(result.train)},
          {"network", describe(fit.network)},
          {"parameters", fit.network.parameter_count()},
          {"loss", name(result.options.loss)},
          {"method", name(result.options.method)},
          {"margin", result.options.margin},
          {"seed", result.options.seed},
          {"grid", describe(result.surface.grid)},
          {"device", result.surface.device},
          {"precision", name(result.surface.precision)},
          {"seconds",
           {{"features", fit.seconds.features},
            {"solve", fit.seconds.solve},
            {"refine", fit.seconds.refine},
            {"surface", result.surface.seconds},
            {"total", result.seconds}}},
          {"steps", steps},
          {"plan", plan_lines(result.surface.plan)},
          {"version", version()}};
}

void write_fitted_model(const PatternFit& fit, const fs::path& folder) {
  make_folder(folder);
  write_model(folder / kModel, fit.network, fit.section.origin);
  write_directions(folder / kDirections, fit.section);
}

void write_fit(const FitResult& result, const Json& report, const fs::path& folder) {
  write_surface_npy(folder / kSurface, result.surface);
  write_pictures(result, folder);
  write_json(folder / kReport, report);
}

void print_fit(const FitResult& result, const fs::path& folder) {
  const PatternFit& fit = result.fit;
  const Range range = finite_range(result.surface.losses);
  print_line("network   %s", fit.network.describe().c_str());
  print_line("train     %s, %lld samples, %s", result.train.name().c_str(), static_cast<long long>(result.train.size()),
             std::string(name(result.options.loss)).c_str());
  print_line("picture   PSNR %.2f dB, rms error %.3g, max error %.3g", result.error.psnr_db, result.error.rms,
             result.error.max);
  print_line("loss      %.6g .. %.6g, infimum %.6g", range.lo, range.hi, fit.sigma_minimum);
  for (std::size_t i = 0; i < result.others.size(); ++i) {
    const TransferReport& report = result.reports[i];
    print_line("%-9s %s: rms difference %.6g, predicted %.6g", result.others[i].role.c_str(), report.name.c_str(),
               report.rms_difference, report.predicted_rms_difference);
  }
  print_line("device    %s, %s", result.surface.device.c_str(), name(result.surface.precision));
  print_line("seconds   %.2f fit, %.2f surface, %.2f in all", fit.seconds.total, result.surface.seconds,
             result.seconds);
  print_line("written   %s", (folder / kCompare).string().c_str());
}

}  // namespace lossatlas::cli
