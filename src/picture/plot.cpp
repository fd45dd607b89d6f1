#include "picture/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.hpp"
#include "picture/axes.hpp"
#include "picture/canvas.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kSmallestWidth = 160, kSmallestHeight = 120;
constexpr double kPen = 2;      ///< of the curves
constexpr double kSample = 24;  ///< length of a line in the legend

void check_size(const PlotOptions& options, std::string_view function) {
  require(options.width >= kSmallestWidth && options.height >= kSmallestHeight && options.width <= kLargestSide &&
              options.height <= kLargestSide,
          function, "received a plot of ", options.width, " × ", options.height, " pixels, expected ", kSmallestWidth,
          " × ", kSmallestHeight, " to ", kLargestSide, " on a side; change width or height");
}

/// The ranges of the finite points, first of x, then of y; marked places count as x.
std::array<Range, 2> extents(std::span<const PlotCurve> curves, const PlotDetails& details) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Range x{kInfinity, -kInfinity}, y = x;
  if (details.nonfinite) {
    details.nonfinite([&x](double place) { x = {std::min(x.lo, place), std::max(x.hi, place)}; });
  }
  for (const PlotCurve& curve : curves) {
    curve.points([&](double px, double py) {
      if (!std::isfinite(px) || !std::isfinite(py)) return;
      x = {std::min(x.lo, px), std::max(x.hi, px)};
      y = {std::min(y.lo, py), std::max(y.hi, py)};
    });
  }
  require(x.lo <= x.hi, details.function, "received ", curves.size(),
          " curves without a finite point, expected at least one; check the values");
  return {x, y.lo <= y.hi ? y : Range{0, 1}};
}

/// The range with `share` of its length added on either side; a single value gets room on both.
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
    // Brings a point far outside nearer, so that coordinates stay representable; its line is cut off outside the plot.
    const double u = std::clamp(position(px, x.lo, x.hi), -8.0, 9.0),
                 v = std::clamp(position(py, y.lo, y.hi), -8.0, 9.0);
    return {static_cast<double>(area.left) + u * static_cast<double>(area.width),
            static_cast<double>(area.bottom()) - v * static_cast<double>(area.height)};
  }
};

/// Calls segment(a, b, first of its piece) for lines of a curve's unbroken pieces, lone(p) for pieces of one point.
template <class Segment, class Lone>
void for_each_segment(const PlotCurve& curve, const Frame& frame, Segment&& segment, Lone&& lone) {
  Point last;
  std::int64_t length = 0;  // points of the piece so far
  curve.points([&](double x, double y) {
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (length == 1) lone(last);
      length = 0;
      return;
    }
    const Point p = frame.at(x, y);
    if (length > 0) segment(last, p, length == 1);
    last = p;
    ++length;
  });
  if (length == 1) lone(last);
}

/// Draws the k-th curve in its colour, as one shape: dashed once the colours repeat, lone points as dots.
class CurvePen {
 public:
  CurvePen(std::int64_t k, double unit, const Rectangle& clip)
      : k_(k), unit_(unit), drawn_(clip), dots_(clip), left_(kOn * unit) {}

  void segment(Point a, Point b, bool first) {
    if (k_ < kCurveColours) return drawn_.add(a, b, kPen * unit_);
    if (first) {
      begin(a);
      left_ = kOn * unit_;
      down_ = true;
    }
    Point from = a;
    double length = std::hypot(b.x - from.x, b.y - from.y);
    for (; length > left_; length -= std::exchange(left_, (down_ ? kOn : kOff) * unit_)) {
      from = {from.x + (b.x - from.x) * left_ / length, from.y + (b.y - from.y) * left_ / length};
      if (down_) extend(from);
      if (!down_) begin(from);
      down_ = !down_;
    }
    left_ -= length;
    if (down_) extend(b);
  }
  void lone(Point p) { dots_.add(p, p, 3 * kPen * unit_); }

  void draw(Canvas& canvas) {
    finish();
    canvas.stroke(drawn_, curve_colour(k_));
    canvas.stroke(dots_, curve_colour(k_));
  }

 private:
  static constexpr double kOn = 6, kOff = 5;  ///< of dashes

  void begin(Point p) {
    finish();
    tip_ = p;
    alone_ = true;
  }
  void extend(Point p) {
    drawn_.add(tip_, p, kPen * unit_);
    tip_ = p;
    alone_ = false;
  }
  /// Draws a dash that is only a point.
  void finish() {
    if (std::exchange(alone_, false)) drawn_.add(tip_, tip_, kPen * unit_);
  }

  std::int64_t k_;
  double unit_;
  Mask drawn_, dots_;
  Point tip_;
  double left_;  ///< of the dash or of the gap
  bool down_ = true, alone_ = false;
};

struct Legend {
  std::int64_t width = 0, height = 0;  ///< 0: nothing to show
  double row = 0;
};

Legend measure_legend(std::span<const PlotCurve> curves, const Style& style) {
  Legend legend{0, 0, 2 * style.label.height};
  double widest = 0;
  std::int64_t rows = 0;
  for (const PlotCurve& curve : curves) {
    if (curve.label.empty()) continue;
    widest = std::max(widest, text_width(curve.label, style.label.height));
    ++rows;
  }
  if (rows == 0) return legend;
  legend.width = static_cast<std::int64_t>(std::ceil(widest + kSample * style.unit)) + 3 * style.gap;
  legend.height = static_cast<std::int64_t>(std::ceil(legend.row * static_cast<double>(rows))) + style.gap;
  return legend;
}

/// A place for the legend, and the length of the curves that it would hide, in pixels.
struct LegendPlace {
  Rectangle box;
  double hidden = 0;

  bool holds(double x, double y) const {
    return x >= static_cast<double>(box.left) && x <= static_cast<double>(box.right()) &&
           y >= static_cast<double>(box.top) && y <= static_cast<double>(box.bottom());
  }
  void add(Point a, Point b) {
    const double length = std::hypot(b.x - a.x, b.y - a.y);
    const int parts = 1 + static_cast<int>(length / 3);
    for (int p = 0; p < parts; ++p) {
      const double t = (p + 0.5) / parts;
      hidden += holds(a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)) ? length / parts : 0;
    }
  }
};

/// Picks the corner or side of the plot that hides the least of the curves, trying the corners on the right first.
LegendPlace place_legend(const Legend& legend, std::span<const PlotCurve> curves, const Frame& frame,
                         const Style& style) {
  const Rectangle& area = frame.area;
  const std::int64_t room = area.width - legend.width - 2 * style.gap,
                     drop = area.height - legend.height - 2 * style.gap;
  std::vector<LegendPlace> places;
  for (const std::int64_t down : {0, 2, 1}) {
    for (const std::int64_t across : {2, 0, 1}) {
      places.push_back({{area.left + style.gap + across * room / 2, area.top + style.gap + down * drop / 2,
                         legend.width, legend.height}});
    }
  }
  for (const PlotCurve& curve : curves) {
    for_each_segment(
        curve, frame,
        [&](Point a, Point b, bool) {
          for (LegendPlace& place : places) place.add(a, b);
        },
        [&](Point p) {
          for (LegendPlace& place : places) place.hidden += place.holds(p.x, p.y) ? 1 : 0;
        });
  }
  return *std::ranges::min_element(places, {}, &LegendPlace::hidden);
}

void draw_legend(Canvas& canvas, std::span<const PlotCurve> curves, const Legend& legend, const Rectangle& box,
                 const Style& style) {
  canvas.fill(box, kWhite, 0.85);
  double y = static_cast<double>(box.top) + static_cast<double>(style.gap) / 2 + legend.row / 2;
  for (std::size_t k = 0; k < curves.size(); ++k) {
    if (curves[k].label.empty()) continue;
    const double left = static_cast<double>(box.left + style.gap), right = left + kSample * style.unit;
    const double middle = std::floor(y) + 0.5;
    CurvePen pen(static_cast<std::int64_t>(k), style.unit, canvas.area());
    pen.segment({left, middle}, {right, middle}, true);
    pen.draw(canvas);
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
  constexpr double kShare = 0.7;  // of the figure, approximately, that the axes take
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

void draw_marks(Canvas& canvas, const Layout& layout, const PlotDetails& details) {
  if (!details.nonfinite) return;
  const std::int64_t line = layout.style.line, tick = layout.style.tick;
  details.nonfinite([&](double place) {
    const std::int64_t mark = std::llround(layout.frame.at(place, layout.frame.y.lo).x);
    canvas.fill({mark - line, layout.frame.area.bottom() - 2 * tick, 2 * line, 2 * tick}, kNonFinite);
  });
}

void draw_curve(Canvas& canvas, const Layout& layout, const PlotCurve& curve, std::int64_t k) {
  CurvePen pen(k, layout.style.unit, layout.frame.area);
  for_each_segment(
      curve, layout.frame, [&](Point a, Point b, bool first) { pen.segment(a, b, first); },
      [&](Point p) { pen.lone(p); });
  pen.draw(canvas);
}

}  // namespace

Image draw_plot(std::span<const PlotCurve> curves, const PlotOptions& options, const PlotDetails& details) {
  check_size(options, details.function);
  auto [x, y] = extents(curves, details);
  if (x.lo == x.hi) x = widened(x, 0);
  Canvas canvas(options.width, options.height, details.function);
  Layout layout(options, details, x, details.y_range.value_or(widened(y, 0.05)));
  Rectangle& area = layout.frame.area;

  const Legend legend = measure_legend(curves, layout.style);
  auto [box, hidden] = place_legend(legend, curves, layout.frame, layout.style);
  // If every place hides something, the legend goes beside the plot, provided enough of the plot is left.
  if (hidden > 0 && area.width - legend.width > options.width / 3) {
    area.width -= legend.width;
    box = {area.right() + layout.style.gap, area.top, legend.width, legend.height};
  }

  draw_ticks(canvas, layout);
  draw_names(canvas, layout, options);
  draw_marks(canvas, layout, details);
  for (std::size_t k = 0; k < curves.size(); ++k) {
    draw_curve(canvas, layout, curves[k], static_cast<std::int64_t>(k));
  }
  if (legend.width > 0) draw_legend(canvas, curves, legend, box, layout.style);
  return std::move(canvas).take();
}

Image plot(std::span<const Curve> curves, const PlotOptions& options) {
  const PlotDetails details;
  std::vector<PlotCurve> sources;
  for (const Curve& curve : curves) {
    require(curve.x.size() == curve.y.size(), details.function, "received a curve '", curve.label, "' with ",
            curve.x.size(), " x and ", curve.y.size(), " y, expected as many of one as of the other; pass points");
    sources.push_back({curve.label, [&curve](const auto& visit) {
                         for (std::size_t k = 0; k < curve.x.size(); ++k) visit(curve.x[k], curve.y[k]);
                       }});
  }
  return draw_plot(sources, options, details);
}

}  // namespace lossatlas
