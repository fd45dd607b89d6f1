#include <algorithm>
#include <cmath>

#include <lossatlas/transfer.hpp>

#include "base/check.hpp"

namespace lossatlas {
namespace {

/// L_b − L_a predicted for outputs p (C) of one head.
double predicted_difference(Loss loss, const LabelStatistics& a, const LabelStatistics& b, std::span<const double> p) {
  double sum = 0;
  for (std::size_t c = 0; c < p.size(); ++c) sum += (a.mean[c] - b.mean[c]) * p[c];
  return loss == Loss::cross_entropy ? sum : 2 * sum + b.mean_square - a.mean_square;
}

}  // namespace

TransferReport transfer_report(const Landscape& home, const Section& section, const Surface& reference,
                               const Dataset& other, const EvaluateOptions& options) {
  require(reference.points.empty(), "transfer_report", "received a reference at a list of points, expected a grid");
  require(reference.heads == home.network().heads() &&
              static_cast<std::int64_t>(reference.losses.size()) == reference.size() * reference.heads,
          "transfer_report", "received a reference of ", reference.losses.size(), " losses at ", reference.size(),
          " points, ", reference.heads, " heads, expected the surface of a network with ", home.network().heads(),
          " heads");
  const Landscape away(home.network(), other, home.loss(), home.device());
  TransferReport report;
  report.name = other.name();
  report.surface = away.evaluate(section, reference.grid, options);

  const LabelStatistics a = label_statistics(home.data()), b = label_statistics(away.data());
  const std::int64_t points = reference.size(), heads = reference.heads;
  const auto classes = static_cast<std::size_t>(home.network().outputs_per_head());
  const auto z = static_cast<std::size_t>(section.rank());
  std::vector<double> alphas(static_cast<std::size_t>(points) * z);
  for (std::int64_t g = 0; g < points; ++g) {
    reference.grid.point(g, std::span(alphas).subspan(static_cast<std::size_t>(g) * z, z));
  }
  const std::vector<double> outputs = home.outputs(section, alphas, options.control);

  double measured_square = 0, predicted_square = 0;
  for (std::size_t i = 0; i < reference.losses.size(); ++i) {
    const double measured = report.surface.losses[i] - reference.losses[i];
    const double predicted = predicted_difference(home.loss(), a, b, std::span(outputs).subspan(i * classes, classes));
    measured_square += measured * measured;
    predicted_square += predicted * predicted;
    const double disagreement = std::abs(measured - predicted);
    if (std::isnan(disagreement) || disagreement > report.max_disagreement) report.max_disagreement = disagreement;
  }
  const auto count = static_cast<double>(points * heads);
  report.rms_difference = std::sqrt(measured_square / count);
  report.predicted_rms_difference = std::sqrt(predicted_square / count);
  return report;
}

}  // namespace lossatlas
