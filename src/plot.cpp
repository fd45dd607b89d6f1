#include "plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "axes.hpp"
#include "canvas.hpp"
#include "check.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kSmallestWidth = 160, kSmallestHeight = 120;
constexpr double kPen = 2;      ///< of the curves
constexpr double kSample = 24;  ///< length of a line in the legend

bool finite(const Curve& curve, std::size_t k) { return std::isfinite(curve.x[k]) && std::isfinite(curve.y[k]); }

void check_arguments(std::span<const Curve> curves, const PlotOptions& options, std::string_view function) {
  require(options.width >= kSmallestWidth && options.height >= kSmallestHeight && options.width <= kLargestSide &&
              options.height <= kLargestSide,
          function, "received a plot of ", options.width, " × ", options.height, " pixels, expected ", kSmallestWidth,
          " × ", kSmallestHeight, " to ", kLargestSide, " on a side; change width or height");
  for (const Curve& curve : curves) {
    require(curve.x.size() == curve.y.size(), function, "received a curve '", curve.label, "' with ", curve.x.size(),
            " x and ", curve.y.size(), " y, expected as many of one as of the other; pass points");
  }
}

/// The ranges of the finite points, x in the first; the marked places count as x.
std::array<Range, 2> extents(std::span<const Curve> curves, const PlotDetails& details) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Range x{kInfinity, -kInfinity}, y = x;
  for (const double place : details.nonfinite) x = {std::min(x.lo, place), std::max(x.hi, place)};
  for (const Curve& curve : curves) {
    for (std::size_t k = 0; k < curve.x.size(); ++k) {
      if (!finite(curve, k)) continue;
      x = {std::min(x.lo, curve.x[k]), std::max(x.hi, curve.x[k])};
      y = {std::min(y.lo, curve.y[k]), std::max(y.hi, curve.y[k])};
    }
  }
  require(x.lo <= x.hi, details.function, "received ", curves.size(),
          " curves without a finite point, expected at least one; check the values");
  return {x, y.lo <= y.hi ? y : Range{0, 1}};
}

/// The range and `share` of its length more on either side; a single value gets room on both.
Range widened(Range range, double share) {
  const double largest = std::numeric_limits<double>::max();
  double more = share * (range.hi / 2 - range.lo / 2) * 2;
  if (range.lo == range.hi) more = range.lo == 0 ? 1 : std::abs(range.lo) / 2;
  return {std::max(range.lo - more, -largest), std::min(range.hi + more, largest)};
}

/// Where the axes are on the canvas and what they show.
struct Frame {
  Rectangle area;
  Range x, y;

  Point at(double px, double py) const {
    // A point far outside is brought near, so that coordinates stay representable; what is drawn of its line is cut
    // off.
    const double u = std::clamp(position(px, x.lo, x.hi), -8.0, 9.0),
                 v = std::clamp(position(py, y.lo, y.hi), -8.0, 9.0);
    return {static_cast<double>(area.left) + u * static_cast<double>(area.width),
            static_cast<double>(area.bottom()) - v * static_cast<double>(area.height)};
  }
};

/// The unbroken pieces of a curve.
std::vector<Polyline> pieces(const Curve& curve, const Frame& frame) {
  std::vector<Polyline> result;
  bool open = false;
  for (std::size_t k = 0; k < curve.x.size(); ++k) {
    if (!finite(curve, k)) {
      open = false;
      continue;
    }
    if (!open) result.emplace_back();
    result.back().push_back(frame.at(curve.x[k], curve.y[k]));
    open = true;
  }
  return result;
}

/// The line cut into dashes.
void dash(const Polyline& line, double on, double off, std::vector<Polyline>& result) {
  double left = on;
  bool drawing = true;
  result.push_back({line.front()});
  for (std::size_t k = 1; k < line.size(); ++k) {
    Point from = line[k - 1];
    double length = std::hypot(line[k].x - from.x, line[k].y - from.y);
    for (; length > left; length -= std::exchange(left, drawing ? on : off)) {
      from = {from.x + (line[k].x - from.x) * left / length, from.y + (line[k].y - from.y) * left / length};
      if (drawing) result.back().push_back(from);
      if (!drawing) result.push_back({from});
      drawing = !drawing;
    }
    left -= length;
    if (drawing) result.back().push_back(line[k]);
  }
}

/// Draws the pieces in the k-th curve's colour; after the last colour dashed, and lone points as dots.
void draw_curve(Canvas& canvas, const std::vector<Polyline>& lines, std::int64_t k, double unit,
                const Rectangle& clip) {
  std::vector<Polyline> drawn, dots;
  for (const Polyline& line : lines) {
    if (line.size() == 1) {
      dots.push_back(line);
    } else if (k < kCurveColours) {
      drawn.push_back(line);
    } else {
      dash(line, 6 * unit, 5 * unit, drawn);
    }
  }
  canvas.stroke(drawn, kPen * unit, curve_colour(k), clip);
  canvas.stroke(dots, 3 * kPen * unit, curve_colour(k), clip);
}

struct Legend {
  std::int64_t width = 0, height = 0;  ///< nothing to show: 0
  double row = 0;
};

Legend measure_legend(std::span<const Curve> curves, const Style& style) {
  Legend legend{0, 0, 2 * style.label.height};
  double widest = 0;
  std::int64_t rows = 0;
  for (const Curve& curve : curves) {
    if (curve.label.empty()) continue;
    widest = std::max(widest, text_width(curve.label, style.label.height));
    ++rows;
  }
  if (rows == 0) return legend;
  legend.width = static_cast<std::int64_t>(std::ceil(widest + kSample * style.unit)) + 3 * style.gap;
  legend.height = static_cast<std::int64_t>(std::ceil(legend.row * static_cast<double>(rows))) + style.gap;
  return legend;
}

/// Length of the lines inside the box, in pixels.
double covered(const std::vector<std::vector<Polyline>>& curves, const Rectangle& box) {
  const auto inside = [&box](double x, double y) {
    return x >= static_cast<double>(box.left) && x <= static_cast<double>(box.right()) &&
           y >= static_cast<double>(box.top) && y <= static_cast<double>(box.bottom());
  };
  double total = 0;
  for (const auto& lines : curves) {
    for (const Polyline& line : lines) {
      if (line.size() == 1 && inside(line[0].x, line[0].y)) ++total;
      for (std::size_t k = 1; k < line.size(); ++k) {
        const double length = std::hypot(line[k].x - line[k - 1].x, line[k].y - line[k - 1].y);
        const int parts = 1 + static_cast<int>(length / 3);
        for (int p = 0; p < parts; ++p) {
          const double t = (p + 0.5) / parts;
          total +=
              inside(line[k - 1].x + t * (line[k].x - line[k - 1].x), line[k - 1].y + t * (line[k].y - line[k - 1].y))
                  ? length / parts
                  : 0;
        }
      }
    }
  }
  return total;
}

/// The corner or side of the plot that covers the least of the curves, the corners on the right first.
Rectangle place_legend(const Legend& legend, const std::vector<std::vector<Polyline>>& curves, const Rectangle& area,
                       const Style& style, double& hidden) {
  Rectangle best;
  hidden = std::numeric_limits<double>::infinity();
  const std::int64_t room = area.width - legend.width - 2 * style.gap,
                     drop = area.height - legend.height - 2 * style.gap;
  for (const std::int64_t down : {0, 2, 1}) {
    for (const std::int64_t across : {2, 0, 1}) {
      const Rectangle box{area.left + style.gap + across * room / 2, area.top + style.gap + down * drop / 2,
                          legend.width, legend.height};
      const double loss = covered(curves, box);
      if (loss < hidden) {
        hidden = loss;
        best = box;
      }
    }
  }
  return best;
}

void draw_legend(Canvas& canvas, std::span<const Curve> curves, const Legend& legend, const Rectangle& box,
                 const Style& style) {
  canvas.fill(box, kWhite, 0.85);
  double y = static_cast<double>(box.top) + static_cast<double>(style.gap) / 2 + legend.row / 2;
  for (std::size_t k = 0; k < curves.size(); ++k) {
    if (curves[k].label.empty()) continue;
    const double left = static_cast<double>(box.left + style.gap), right = left + kSample * style.unit;
    const double middle = std::floor(y) + 0.5;
    draw_curve(canvas, {{{left, middle}, {right, middle}}}, static_cast<std::int64_t>(k), style.unit, canvas.area());
    canvas.text({right + static_cast<double>(style.gap), std::round(y + style.label.height / 2)}, curves[k].label,
                style.label);
    y += legend.row;
  }
}

struct Layout {
  Style style;
  std::vector<std::string> title, caption;
  Ticks x_ticks, y_ticks;
  Frame frame;

  Layout(const PlotOptions& options, const PlotDetails& details, const Range& x, const Range& y);
};

Layout::Layout(const PlotOptions& options, const PlotDetails& details, const Range& x, const Range& y)
    : style(options.height), frame{{}, x, y} {
  const auto height = static_cast<double>(options.height), width = static_cast<double>(options.width);
  const double text_space = width - 2 * static_cast<double>(style.margin);
  title = wrap(options.title, text_space, style.title.height);
  for (const std::string& line : details.caption) {
    for (std::string& part : wrap(line, text_space, style.label.height)) caption.push_back(std::move(part));
  }
  constexpr double kShare = 0.7;  // of the figure that the axes take, about
  y_ticks = fitting_ticks(y.lo, y.hi, kShare * height, style.label.height, true);
  x_ticks = fitting_ticks(x.lo, x.hi, kShare * width, style.label.height, false);

  const auto length = [](double pixels) { return static_cast<std::int64_t>(std::ceil(pixels)); };
  const std::int64_t left = style.margin + (options.y_label.empty() ? 0 : length(style.name.height) + 2 * style.gap) +
                            length(y_ticks.widest(style.label.height)) + style.tick + 2 * style.line;
  const std::int64_t below = style.tick + style.gap + length(style.label.height) + style.margin +
                             (options.x_label.empty() ? 0 : length(1.3 * style.name.height) + style.gap) +
                             style.caption_height(caption.size());
  const std::int64_t top = style.margin + style.title_height(title.size());
  const std::int64_t right = style.margin + style.gap;
  frame.area = {left, top, options.width - left - right, options.height - top - below};
  constexpr std::int64_t kLeast = 20;
  require(frame.area.width >= kLeast && frame.area.height >= kLeast, details.function, "received a plot of ",
          options.width, " × ", options.height,
          " pixels, which its labels fill, expected room for the curves; enlarge it");
}

void draw_ticks(Canvas& canvas, const Layout& layout) {
  const Frame& frame = layout.frame;
  const Rectangle& area = frame.area;
  const std::int64_t line = layout.style.line;
  const auto edge = [line](double middle) { return std::llround(middle - static_cast<double>(line) / 2); };
  for (const double value : layout.x_ticks.values) {
    canvas.fill({edge(frame.at(value, frame.y.lo).x), area.top, line, area.height}, kGridLine);
  }
  for (const double value : layout.y_ticks.values) {
    canvas.fill({area.left, edge(frame.at(frame.x.lo, value).y), area.width, line}, kGridLine);
  }
  canvas.fill({area.left - line, area.top, line, area.height + line}, kInk);
  canvas.fill({area.left - line, area.bottom(), area.width + line, line}, kInk);
  for (std::size_t k = 0; k < layout.x_ticks.values.size(); ++k) {
    const double x = frame.at(layout.x_ticks.values[k], frame.y.lo).x;
    draw_tick_below(canvas, area, x, layout.x_ticks.labels[k], layout.style);
  }
  for (std::size_t k = 0; k < layout.y_ticks.values.size(); ++k) {
    const double y = frame.at(frame.x.lo, layout.y_ticks.values[k]).y;
    draw_tick_left(canvas, area, y, layout.y_ticks.labels[k], layout.style);
  }
}

void draw_names(Canvas& canvas, const Layout& layout, const PlotOptions& options) {
  const Style& style = layout.style;
  const Rectangle& area = layout.frame.area;
  const double middle_x = static_cast<double>(area.left) + static_cast<double>(area.width) / 2;
  const double middle_y = static_cast<double>(area.top) + static_cast<double>(area.height) / 2;
  const double below = static_cast<double>(area.bottom() + style.tick + 2 * style.gap) + style.label.height;
  TextStyle name = style.name;
  name.align = Align::centre;
  canvas.text({middle_x, std::round(below + 1.3 * name.height)}, options.x_label, name);
  name.upward = true;
  canvas.text({static_cast<double>(style.margin) + name.height, middle_y}, options.y_label, name);
  draw_title(canvas, layout.title, middle_x, style);
  draw_caption(canvas, layout.caption, options.height - style.margin - style.caption_height(layout.caption.size()),
               style);
}

std::vector<std::vector<Polyline>> all_pieces(std::span<const Curve> curves, const Frame& frame) {
  std::vector<std::vector<Polyline>> result;
  for (const Curve& curve : curves) result.push_back(pieces(curve, frame));
  return result;
}

}  // namespace

Image draw_plot(std::span<const Curve> curves, const PlotOptions& options, const PlotDetails& details) {
  check_arguments(curves, options, details.function);
  auto [x, y] = extents(curves, details);
  if (x.lo == x.hi) x = widened(x, 0);
  Canvas canvas(options.width, options.height, details.function);
  Layout layout(options, details, x, details.y_range.value_or(widened(y, 0.05)));
  Rectangle& area = layout.frame.area;

  const Legend legend = measure_legend(curves, layout.style);
  double hidden = 0;
  Rectangle box = place_legend(legend, all_pieces(curves, layout.frame), area, layout.style, hidden);
  // Where every place hides something, the legend goes beside the plot if enough of that is left.
  if (hidden > 0 && area.width - legend.width > options.width / 3) {
    area.width -= legend.width;
    box = {area.right() + layout.style.gap, area.top, legend.width, legend.height};
  }

  draw_ticks(canvas, layout);
  draw_names(canvas, layout, options);
  for (const double place : details.nonfinite) {
    const std::int64_t mark = std::llround(layout.frame.at(place, layout.frame.y.lo).x);
    canvas.fill(
        {mark - layout.style.line, area.bottom() - 2 * layout.style.tick, 2 * layout.style.line, 2 * layout.style.tick},
        kNonFinite);
  }
  const auto lines = all_pieces(curves, layout.frame);
  for (std::size_t k = 0; k < lines.size(); ++k) {
    draw_curve(canvas, lines[k], static_cast<std::int64_t>(k), layout.style.unit, area);
  }
  if (legend.width > 0) draw_legend(canvas, curves, legend, box, layout.style);
  return std::move(canvas).take();
}

Image plot(std::span<const Curve> curves, const PlotOptions& options) { return draw_plot(curves, options, {}); }

}  // namespace lossatlas
