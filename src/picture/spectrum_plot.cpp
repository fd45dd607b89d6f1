// Draws a spectrum: magnitudes on a logarithmic axis, sorted, coloured by sign, with the line of the zero rule.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include <lossatlas/image.hpp>

#include "base/check.hpp"
#include "picture/axes.hpp"
#include "picture/canvas.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kSmallestWidth = 160, kSmallestHeight = 120;
constexpr double kDepth = 8;  ///< decades shown below the line of the zero rule

enum class Sign : std::uint8_t { positive, zero, negative };
constexpr std::array kSigns{Sign::positive, Sign::zero, Sign::negative};
constexpr std::array<const char*, 3> kNames{"positive", "zero", "negative"};
constexpr std::array<Colour, 3> kColours{Colour{204, 37, 41}, Colour{108, 112, 122}, Colour{0, 100, 180}};

std::size_t index(Sign sign) { return static_cast<std::size_t>(sign); }

/// Eigenvalues by descending magnitude.
struct Sorted {
  std::vector<double> magnitudes;
  std::vector<Sign> signs;
};

Sorted sorted(const Spectrum& spectrum) {
  std::vector<double> values = spectrum.eigenvalues;
  std::stable_sort(values.begin(), values.end(), [](double a, double b) { return std::abs(a) > std::abs(b); });
  Sorted result;
  for (const double value : values) {
    result.magnitudes.push_back(std::abs(value));
    const bool zero = std::abs(value) <= spectrum.zero.threshold;
    result.signs.push_back(zero ? Sign::zero : value > 0 ? Sign::positive : Sign::negative);
  }
  return result;
}

void check_arguments(const Spectrum& spectrum, const PlotOptions& options) {
  require(options.width >= kSmallestWidth && options.height >= kSmallestHeight && options.width <= kLargestSide &&
              options.height <= kLargestSide,
          "plot_spectrum", "received a plot of ", options.width, " × ", options.height, " pixels, expected ",
          kSmallestWidth, " × ", kSmallestHeight, " to ", kLargestSide, " on a side; change width or height");
  require(!spectrum.eigenvalues.empty(), "plot_spectrum", "received no eigenvalues, expected at least one; ",
          "compute the spectrum first");
  require_finite(spectrum.eigenvalues, "plot_spectrum", "eigenvalues");
  require(std::isfinite(spectrum.zero.threshold) && spectrum.zero.threshold >= 0, "plot_spectrum",
          "received a zero threshold of ", spectrum.zero.threshold, ", expected a finite one, 0 or more; set zero");
}

/// Powers of ten from `lo` to `hi`; values below `least`, exact zeros included, sit in a row of their own below.
struct Decades {
  double lo = 0, hi = 1, least = 0;
  bool row_below = false;
};

constexpr double kRowBelow = 0.9;  ///< decades between the lowest power of ten and the row below it

Decades decades(const std::vector<double>& magnitudes, double threshold) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  const auto count = [&low, &high](double value) {
    if (value > 0) low = std::min(low, value), high = std::max(high, value);
  };
  for (const double value : magnitudes) count(value);
  count(threshold);
  if (high == 0) low = high = 1;
  Decades axis{std::floor(std::log10(low)), std::ceil(std::log10(high))};
  if (threshold > 0) axis.lo = std::max(axis.lo, std::floor(std::log10(threshold)) - kDepth);
  if (axis.lo >= axis.hi) axis.hi = axis.lo + 1;
  axis.least = std::pow(10, axis.lo) * (1 - 1e-12);
  axis.row_below = *std::min_element(magnitudes.begin(), magnitudes.end()) < axis.least;
  return axis;
}

std::string power_of_ten(double exponent) {
  constexpr std::array<const char*, 10> kSuper{"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "10⁻" : "10";
  for (const char digit : std::to_string(std::llround(std::abs(exponent)))) {
    text += kSuper[static_cast<std::size_t>(digit - '0')];
  }
  return text;
}

/// Places the marks: ranks 1..M from the left, magnitudes upwards.
struct Frame {
  Rectangle area;
  std::int64_t count;
  Decades decades;

  double x(double rank) const {
    return static_cast<double>(area.left) +
           (rank - 0.25) / (static_cast<double>(count) + 0.5) * static_cast<double>(area.width);
  }
  double y(double power) const {
    const double room = 0.4 + 0.03 * (decades.hi - decades.lo);
    const double lowest = decades.lo - room - (decades.row_below ? kRowBelow : 0);
    return static_cast<double>(area.bottom()) -
           position(power, lowest, decades.hi + room) * static_cast<double>(area.height);
  }
  double row_below() const { return y(decades.lo - kRowBelow); }
  Point at(std::int64_t rank, double magnitude) const {
    return {x(static_cast<double>(rank)), magnitude < decades.least ? row_below() : y(std::log10(magnitude))};
  }
};

/// Whole powers of ten, as many as fit above one another.
std::vector<double> powers(const Frame& frame, double label_height) {
  const Decades& axis = frame.decades;
  for (const double step : {1, 2, 3, 5, 10, 20, 50, 100, 200}) {
    std::vector<double> values;
    for (double power = step * std::ceil(axis.lo / step); power <= axis.hi; power += step) {
      // Leaves room for the label of the row below.
      if (axis.row_below && frame.row_below() - frame.y(power) < 1.5 * label_height) continue;
      values.push_back(power);
    }
    if (frame.y(0) - frame.y(step) >= 2.5 * label_height) return values;
  }
  return {axis.hi};
}

std::vector<double> ranks(const Frame& frame, double label_height) {
  std::vector<double> values;
  const auto last = static_cast<double>(frame.count);
  for (const double rank :
       fitting_ticks(1, last, 0.8 * static_cast<double>(frame.area.width), label_height, false).values) {
    if (rank == std::floor(rank)) values.push_back(rank);
  }
  return values;
}

struct Marks {
  double radius;
  double unit;

  /// Positive: discs; negative: squares; zero: rings, so that the signs differ in black and white too.
  void draw(Canvas& canvas, std::span<const Point> points, Sign sign, const Rectangle& clip) const {
    const Colour colour = kColours[index(sign)];
    std::vector<Polyline> lines;
    for (const Point p : points) {
      if (sign == Sign::negative) {
        const auto side = std::max<std::int64_t>(2, std::llround(1.8 * radius));
        canvas.fill({std::llround(p.x - static_cast<double>(side) / 2),
                     std::llround(p.y - static_cast<double>(side) / 2), side, side},
                    colour);
      } else {
        lines.push_back(sign == Sign::positive ? Polyline{p} : ring(p));
      }
    }
    canvas.stroke(lines, sign == Sign::positive ? 2 * radius : 1.3 * unit, colour, clip);
  }

 private:
  Polyline ring(Point centre) const {
    constexpr int kCorners = 24;
    Polyline line;
    for (int k = 0; k <= kCorners; ++k) {
      const double angle = 2 * std::numbers::pi * k / kCorners, r = radius - 0.4 * unit;
      line.push_back({centre.x + r * std::cos(angle), centre.y + r * std::sin(angle)});
    }
    return line;
  }
};

double mark_radius(const Frame& frame, double unit) {
  const double apart = static_cast<double>(frame.area.width) / static_cast<double>(frame.count);
  return std::clamp(0.4 * apart, 1.2 * unit, 3.4 * unit);
}

/// Draws the names of the signs that occur, with their marks, in a row that ends at the right edge of the plot.
void draw_legend(Canvas& canvas, const Frame& frame, const Sorted& data, const Style& style) {
  const Marks marks{3.4 * style.unit, style.unit};
  const double height = style.label.height, gap = static_cast<double>(style.gap), sample = 2 * marks.radius + gap;
  const double y = static_cast<double>(frame.area.top) - gap - height / 2;
  double x = static_cast<double>(frame.area.right());
  for (auto sign = kSigns.rbegin(); sign != kSigns.rend(); ++sign) {
    if (std::find(data.signs.begin(), data.signs.end(), *sign) == data.signs.end()) continue;
    const char* const name = kNames[index(*sign)];
    x -= text_width(name, height) + sample;
    const Point middle{std::round(x + marks.radius), std::round(y)};
    marks.draw(canvas, std::span(&middle, 1), *sign, canvas.area());
    canvas.text({x + sample, std::round(y + height / 2)}, name, style.label);
    x -= 2 * gap;
  }
}

void draw_zero_line(Canvas& canvas, const Frame& frame, double threshold, const Style& style) {
  if (!(threshold > 0)) return;
  const double y = frame.y(std::log10(threshold));
  const std::int64_t top = std::llround(y - static_cast<double>(style.line) / 2);
  const std::int64_t dash = std::llround(6 * style.unit);
  for (std::int64_t x = frame.area.left; x < frame.area.right(); x += 2 * dash) {
    canvas.fill({x, top, std::min(dash, frame.area.right() - x), style.line}, kInk);
  }
  // At the left above the line, which is free: large magnitudes there are far up, small ones are far to the right.
  const double power = std::round(std::log10(threshold));
  const bool exact = std::abs(threshold / std::pow(10, power) - 1) < 1e-9;
  const std::string text = "zero: |λ| ≤ " + (exact ? power_of_ten(power) : number_label(threshold, 2));
  const double left = static_cast<double>(frame.area.left + style.gap), base = std::round(y - style.gap);
  const std::int64_t upper = std::llround(base - 1.2 * style.label.height);
  // Keeps grid lines from crossing the words out.
  canvas.fill({std::llround(left), std::max(upper, frame.area.top), std::llround(text_width(text, style.label.height)),
               std::max<std::int64_t>(0, top - 1 - std::max(upper, frame.area.top))},
              kWhite);
  canvas.text({left, base}, text, style.label);
}

void draw_axes(Canvas& canvas, const Frame& frame, const std::vector<double>& tick_powers, const std::string& below,
               const Style& style) {
  const Rectangle& area = frame.area;
  for (const double power : tick_powers) {
    const auto y = std::llround(frame.y(power) - static_cast<double>(style.line) / 2);
    canvas.fill({area.left, y, area.width, style.line}, kGridLine);
  }
  canvas.fill({area.left - style.line, area.top, style.line, area.height + style.line}, kInk);
  canvas.fill({area.left - style.line, area.bottom(), area.width + style.line, style.line}, kInk);
  for (const double power : tick_powers) draw_tick_left(canvas, area, frame.y(power), power_of_ten(power), style);
  if (frame.decades.row_below) draw_tick_left(canvas, area, frame.row_below(), below, style);
  for (const double rank : ranks(frame, style.label.height)) {
    draw_tick_below(canvas, area, frame.x(rank), number_label(rank, 9), style);
  }
}

void draw_names(Canvas& canvas, const Frame& frame, const PlotOptions& options, const Style& style) {
  TextStyle name = style.name;
  name.align = Align::centre;
  const double middle_x = static_cast<double>(frame.area.left) + static_cast<double>(frame.area.width) / 2;
  const double middle_y = static_cast<double>(frame.area.top) + static_cast<double>(frame.area.height) / 2;
  const double below = static_cast<double>(frame.area.bottom() + style.tick + 2 * style.gap) + style.label.height;
  canvas.text({middle_x, std::round(below + 1.3 * name.height)},
              options.x_label.empty() ? "eigenvalues, largest magnitude first" : options.x_label, name);
  name.upward = true;
  canvas.text({static_cast<double>(style.margin) + name.height, middle_y},
              options.y_label.empty() ? "|λ|" : options.y_label, name);
}

/// The label of the row of magnitudes too small for the axis; empty without one.
std::string row_label(const std::vector<double>& magnitudes, const Decades& axis) {
  if (!axis.row_below) return {};
  const bool exact = std::all_of(magnitudes.begin(), magnitudes.end(),
                                 [&axis](double value) { return value == 0 || value >= axis.least; });
  return exact ? "0" : "< " + power_of_ten(axis.lo);
}

Rectangle plot_area(const PlotOptions& options, std::size_t title_lines, double widest_label, const Style& style) {
  const auto length = [](double pixels) { return static_cast<std::int64_t>(std::ceil(pixels)); };
  const std::int64_t left =
      style.margin + length(style.name.height) + 2 * style.gap + length(widest_label) + style.tick + 2 * style.line;
  const std::int64_t below =
      style.tick + 2 * style.gap + length(style.label.height + 1.3 * style.name.height) + style.margin;
  const std::int64_t top = style.margin + style.title_height(title_lines) + length(style.label.height) + 2 * style.gap;
  const Rectangle area{left, top, options.width - left - style.margin - style.gap, options.height - top - below};
  constexpr std::int64_t kLeast = 20;
  require(area.width >= kLeast && area.height >= kLeast, "plot_spectrum", "received a plot of ", options.width, " × ",
          options.height, " pixels, which its labels fill, expected room for the eigenvalues; enlarge it");
  return area;
}

/// What figures side by side share.
struct Shared {
  Decades decades;
  std::string below;            ///< label of the row below the axis
  std::size_t title_lines = 0;  ///< of the highest title
};

using Title = std::vector<std::string>;

// Narrower than the figure, because the title is centred over the plot, which lies right of the figure's middle.
Title title_of(const std::string& text, const PlotOptions& options) {
  return wrap(text, 0.85 * static_cast<double>(options.width), Style(options.height).title.height);
}

Image draw(const Spectrum& spectrum, const Title& title, const Shared& shared, const PlotOptions& options) {
  const Sorted data = sorted(spectrum);
  const Style style(options.height);
  Frame frame{{}, static_cast<std::int64_t>(data.magnitudes.size()), shared.decades};
  double widest = text_width(shared.below, style.label.height);
  for (const double power : {frame.decades.lo, frame.decades.hi}) {
    widest = std::max(widest, text_width(power_of_ten(power), style.label.height));
  }
  frame.area = plot_area(options, shared.title_lines, widest, style);

  Canvas canvas(options.width, options.height, "plot_spectrum");
  draw_axes(canvas, frame, powers(frame, style.label.height), shared.below, style);
  draw_names(canvas, frame, options, style);
  draw_title(canvas, title, static_cast<double>(frame.area.left) + static_cast<double>(frame.area.width) / 2, style);
  draw_zero_line(canvas, frame, spectrum.zero.threshold, style);
  draw_legend(canvas, frame, data, style);
  const Marks marks{mark_radius(frame, style.unit), style.unit};
  for (const Sign sign : kSigns) {
    std::vector<Point> points;
    for (std::size_t k = 0; k < data.signs.size(); ++k) {
      if (data.signs[k] == sign) points.push_back(frame.at(static_cast<std::int64_t>(k) + 1, data.magnitudes[k]));
    }
    marks.draw(canvas, points, sign, frame.area);
  }
  return std::move(canvas).take();
}

}  // namespace

Image plot_spectrum(const Spectrum& spectrum, const PlotOptions& options) {
  return plot_spectra({&spectrum, 1}, {&options.title, 1}, options);
}

Image plot_spectra(std::span<const Spectrum> spectra, std::span<const std::string> titles, const PlotOptions& options) {
  require(!spectra.empty() && titles.size() == spectra.size(), "plot_spectra", "received ", spectra.size(),
          " spectra and ", titles.size(), " titles, expected at least one spectrum and a title for each");
  std::vector<double> magnitudes;
  double threshold = std::numeric_limits<double>::infinity();
  for (const Spectrum& spectrum : spectra) {
    check_arguments(spectrum, options);
    for (const double value : spectrum.eigenvalues) magnitudes.push_back(std::abs(value));
    threshold = std::min(threshold, spectrum.zero.threshold);
  }
  Shared shared{decades(magnitudes, threshold), {}};
  shared.below = row_label(magnitudes, shared.decades);
  for (const std::string& title : titles) {
    shared.title_lines = std::max(shared.title_lines, title_of(title, options).size());
  }
  std::vector<Image> images;
  for (std::size_t i = 0; i < spectra.size(); ++i) {
    images.push_back(draw(spectra[i], title_of(titles[i], options), shared, options));
  }
  return images.size() == 1 ? std::move(images.front()) : side_by_side(images);
}

}  // namespace lossatlas
