// The line plot behind plot() and the figures of one-axis surfaces.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/image.hpp>

namespace lossatlas {

/// A curve whose points need not be in memory: points(visit) calls visit(x, y) for each, the same ones every time.
struct PlotCurve {
  std::string label;
  std::function<void(const std::function<void(double x, double y)>& visit)> points;
};

struct PlotDetails {
  std::string_view function = "plot";  ///< errors are thrown in its name
  std::optional<Range> y_range = {};   ///< by default that of the data and a little more
  /// nonfinite(mark) calls mark(x) for each place marked in magenta; may be empty.
  std::function<void(const std::function<void(double x)>& mark)> nonfinite = {};
  std::vector<std::string> caption = {};
};

Image draw_plot(std::span<const PlotCurve> curves, const PlotOptions& options, const PlotDetails& details);

}  // namespace lossatlas
