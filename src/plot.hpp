// The line plot behind plot() and the figures of one-axis surfaces.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/image.hpp>

namespace lossatlas {

struct PlotDetails {
  std::string_view function = "plot";  ///< in whose name errors are thrown
  std::optional<Range> y_range = {};   ///< absent: that of the data and a little more
  std::vector<double> nonfinite = {};  ///< x of the places marked in magenta
  std::vector<std::string> caption = {};
};

Image draw_plot(std::span<const Curve> curves, const PlotOptions& options, const PlotDetails& details);

}  // namespace lossatlas
