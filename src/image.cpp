#include <lossatlas/image.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "axes.hpp"
#include "canvas.hpp"
#include "check.hpp"
#include "colormap.hpp"
#include "plot.hpp"

namespace lossatlas {
namespace {

constexpr const char* kFunction = "render";
constexpr std::int64_t kPlotSide = 512;  ///< of a plot whose scale is chosen here, about
constexpr std::int64_t kMostSlices = 16;
constexpr std::int64_t kShortestBar = 96;  ///< of the colour bar, so that its numbers fit

/// What a surface and a pattern have in common.
struct Field {
  const Grid& grid;
  std::int64_t heads;
  std::span<const double> values;  ///< (G, H)
  bool pattern;

  double at(std::int64_t g, std::int64_t head) const { return values[static_cast<std::size_t>(g * heads + head)]; }
  double total(std::int64_t g) const {
    double sum = 0;
    for (std::int64_t k = 0; k < heads; ++k) sum += at(g, k);
    return sum;
  }
};

bool as_heads(const Field& field, const RenderOptions& options) {
  return options.colouring == Colouring::heads || (options.colouring == Colouring::automatic && field.heads == 3);
}

void check_arguments(const Field& field, const RenderOptions& options) {
  require(field.grid.rank() >= 1 && field.grid.rank() <= 3, kFunction, "received ", field.grid.rank(),
          " axes, expected 1 to 3; draw a slice of the surface, or write it with write_vti or write_npy");
  require(field.heads >= 1 && static_cast<std::int64_t>(field.values.size()) == field.grid.size() * field.heads,
          kFunction, "received ", field.values.size(), " values for ", field.grid.size(), " points of ", field.heads,
          " heads, expected one value for each; fill the surface first");
  require(options.scale >= 0 && options.scale <= kLargestSide, kFunction, "received scale ", options.scale,
          ", expected 0 to ", kLargestSide, "; pass the pixels per grid point, or 0");
  if (options.range) {
    require(
        std::isfinite(options.range->lo) && std::isfinite(options.range->hi) && options.range->lo < options.range->hi,
        kFunction, "received range [", options.range->lo, ", ", options.range->hi,
        "], expected finite ends in rising order; change or omit it");
  }
  if (!as_heads(field, options)) return;
  require(field.heads == 1 || field.heads == 3, kFunction, "received Colouring::heads for ", field.heads,
          " heads, expected 3 (red, green, blue) or 1 (grey); use Colouring::viridis");
  require(options.offset.empty() || static_cast<std::int64_t>(options.offset.size()) == field.heads, kFunction,
          "received ", options.offset.size(), " offsets for ", field.heads,
          " heads, expected one per head; change or omit them");
  require_finite(options.offset, kFunction, "offset");
}

/// A field turned into colours.
struct Colours {
  std::vector<Colour> points;     ///< (G)
  std::optional<Range> bar = {};  ///< values at the ends of the colour bar
  std::int64_t nonfinite = 0;     ///< points drawn as such
  std::vector<std::string> caption = {};
};

std::vector<double> head_offsets(const Field& field, const RenderOptions& options) {
  if (!options.offset.empty()) return options.offset;
  std::vector<double> result(static_cast<std::size_t>(field.heads), 0.0);
  for (std::int64_t k = 0; k < field.heads && !field.pattern; ++k) {
    double smallest = std::numeric_limits<double>::infinity();
    for (std::int64_t g = 0; g < field.grid.size(); ++g) {
      if (std::isfinite(field.at(g, k))) smallest = std::min(smallest, field.at(g, k));
    }
    result[static_cast<std::size_t>(k)] = std::isfinite(smallest) ? smallest : 0;
  }
  return result;
}

/// "red, green, blue: heads 1, 2, 3, 0 to 1 above 2.3, 2.29, 2.31".
std::string heads_caption(std::span<const double> offset, bool sigmoid) {
  std::string result = offset.size() == 3 ? "red, green, blue: heads 1, 2, 3, " : "black to white: ";
  result += sigmoid ? "sigmoid of the loss minus " : "0 to 1 above ";
  for (std::size_t k = 0; k < offset.size(); ++k) result += (k > 0 ? ", " : "") + number_label(offset[k]);
  return result;
}

Colours colours_by_head(const Field& field, const RenderOptions& options) {
  Colours result{std::vector<Colour>(static_cast<std::size_t>(field.grid.size()))};
  const std::vector<double> offset = head_offsets(field, options);
  for (std::int64_t g = 0; g < field.grid.size(); ++g) {
    std::array<std::uint8_t, 3> bytes{};
    bool finite = true;
    for (std::int64_t k = 0; k < field.heads; ++k) {
      const double value = field.at(g, k), above = value - offset[static_cast<std::size_t>(k)];
      finite = finite && std::isfinite(value);
      bytes[static_cast<std::size_t>(k)] = to_byte(options.sigmoid ? 1 / (1 + std::exp(-above)) : above);
    }
    if (field.heads == 1) bytes[1] = bytes[2] = bytes[0];
    result.points[static_cast<std::size_t>(g)] = finite ? Colour{bytes[0], bytes[1], bytes[2]} : kNonFinite;
    result.nonfinite += finite ? 0 : 1;
  }
  if (!field.pattern) result.caption.push_back(heads_caption(offset, options.sigmoid));
  return result;
}

Colours colours_by_total(const Field& field, const RenderOptions& options) {
  std::vector<double> totals(static_cast<std::size_t>(field.grid.size()));
  for (std::int64_t g = 0; g < field.grid.size(); ++g) totals[static_cast<std::size_t>(g)] = field.total(g);
  const Range range = options.range ? *options.range : finite_range(totals);
  Colours result{std::vector<Colour>(totals.size())};
  for (std::size_t g = 0; g < totals.size(); ++g) {
    const bool finite = std::isfinite(totals[g]);
    result.points[g] = finite ? viridis(position(totals[g], range.lo, range.hi)) : kNonFinite;
    result.nonfinite += finite ? 0 : 1;
  }
  if (range.lo <= range.hi) result.bar = range;
  return result;
}

Colours colours(const Field& field, const RenderOptions& options) {
  Colours result = as_heads(field, options) ? colours_by_head(field, options) : colours_by_total(field, options);
  if (result.nonfinite > 0) {
    result.caption.push_back(std::to_string(result.nonfinite) + " of " + std::to_string(field.grid.size()) +
                             " points not finite (magenta)");
  }
  return result;
}

/// One heat map, or several of the same axes in rows of `columns`.
struct Panels {
  Axis down, across;
  std::string down_name, across_name;
  std::vector<std::string> labels;  ///< of each panel, if it has one
  std::vector<std::int64_t> first;  ///< grid point of each panel's first row and column
  std::int64_t columns = 1;

  std::int64_t count() const { return static_cast<std::int64_t>(first.size()); }
  std::int64_t rows() const { return (count() + columns - 1) / columns; }
};

const char* axis_name(std::size_t axis) {
  constexpr std::array<const char*, 3> kNames{"α₁", "α₂", "α₃"};
  return kNames[axis];
}

Panels panels(const Grid& grid) {
  const auto axes = grid.axes();
  if (grid.rank() == 2) return {axes[0], axes[1], axis_name(0), axis_name(1), {}, {0}, 1};
  Panels result{axes[1], axes[2], axis_name(1), axis_name(2), {}, {}, 1};
  const std::int64_t slices = std::min(axes[0].points, kMostSlices);
  for (std::int64_t k = 0; k < slices; ++k) {
    const std::int64_t slice = slices == 1 ? 0 : (k * (axes[0].points - 1) + (slices - 1) / 2) / (slices - 1);
    result.labels.push_back(std::string(axis_name(0)) + " = " + number_label(axes[0].at(slice), 3));
    result.first.push_back(slice * axes[1].points * axes[2].points);
  }
  while (result.columns * result.columns < slices) ++result.columns;
  return result;
}

/// Pixels per grid point, checked before anything is allocated for the picture.
std::int64_t pixels_per_point(const Panels& panels, std::int64_t asked) {
  const std::int64_t longest = std::max(panels.across.points, panels.down.points);
  const std::int64_t scale = asked > 0 ? asked : std::max<std::int64_t>(1, kPlotSide / panels.columns / longest);
  require(longest <= kLargestSide && longest * scale <= kLargestSide / panels.columns, kFunction, "received ",
          panels.down.points, " × ", panels.across.points, " grid points at scale ", scale, " in ", panels.columns,
          " columns, expected a figure of at most ", kLargestSide,
          " pixels on a side; choose a smaller scale or a coarser grid");
  return scale;
}

/// Middle of the block of the grid point at `value`, in pixels from the start of the axis.
double block_middle(const Axis& axis, double value, std::int64_t scale) {
  const double k = axis.points == 1 ? 0 : position(value, axis.lo, axis.hi) * static_cast<double>(axis.points - 1);
  return (k + 0.5) * static_cast<double>(scale);
}

/// Where everything in a figure of heat maps is.
struct Layout {
  Style style;
  std::int64_t scale;
  std::int64_t panel_width, panel_height;
  std::int64_t step_across, step_down;  ///< from one panel to the next
  Ticks across, down, bar;
  std::vector<std::string> title, caption;
  Rectangle all;       ///< of the panels together
  Rectangle bar_area;  ///< empty without a bar
  std::int64_t width = 0, height = 0, caption_top = 0;

  Layout(const Panels& panels, const Colours& colours, const RenderOptions& options);
  Rectangle panel(std::int64_t k, std::int64_t columns) const {
    return {all.left + k % columns * step_across, all.top + k / columns * step_down, panel_width, panel_height};
  }

 private:
  void place(const Panels& panels, bool with_bar);
};

Ticks axis_ticks(const Axis& axis, std::int64_t pixels, std::int64_t scale, const Style& style, bool stacked) {
  if (axis.points == 1) return round_ticks(axis.lo, axis.lo, 1);
  return fitting_ticks(axis.lo, axis.hi, static_cast<double>(pixels - scale), style.label.height, stacked);
}

std::int64_t ceiling(double value) { return static_cast<std::int64_t>(std::ceil(value)); }

Layout::Layout(const Panels& panels, const Colours& colours, const RenderOptions& options)
    : style(0), scale(pixels_per_point(panels, options.scale)) {
  panel_width = panels.across.points * scale;
  panel_height = panels.down.points * scale;
  style = Style(panels.columns * std::max(panel_width, panel_height));
  const std::int64_t label_height = panels.labels.empty() ? 0 : ceiling(style.label.height) + 2 * style.gap;
  step_down = panel_height + label_height + (panels.labels.empty() ? 0 : style.gap);
  all.height = (panels.rows() - 1) * step_down + panel_height;
  all.top = label_height;
  across = axis_ticks(panels.across, panel_width, scale, style, false);
  step_across = panel_width + ceiling(across.widest(style.label.height)) + style.gap;
  all.width = (panels.columns - 1) * step_across + panel_width;
  down = axis_ticks(panels.down, panel_height, scale, style, true);
  if (colours.bar) {
    bar_area.height = std::max(all.height, kShortestBar);
    const auto length = static_cast<double>(bar_area.height);
    bar = fitting_ticks(colours.bar->lo, colours.bar->hi, length, style.label.height, true);
  }
  place(panels, colours.bar.has_value());
  const auto text_space = static_cast<double>(width - 2 * style.margin);
  title = wrap(options.title, text_space, style.title.height);
  for (const std::string& line : colours.caption) {
    for (std::string& part : wrap(line, text_space, style.label.height)) caption.push_back(std::move(part));
  }
  all.top += style.margin + style.title_height(title.size());
  bar_area.top = all.top;
  const std::int64_t axis_height =
      style.tick + 3 * style.gap + ceiling(style.label.height + 1.3 * style.name.height) + style.line;
  caption_top = std::max(all.bottom() + axis_height, bar_area.bottom());
  height = caption_top + style.caption_height(caption.size()) + style.margin;
}

/// Positions from left to right.
void Layout::place(const Panels& panels, bool with_bar) {
  const double name = text_width(panels.down_name, style.name.height);
  all.left =
      style.margin + ceiling(name) + style.gap + ceiling(down.widest(style.label.height)) + style.tick + style.line;
  std::int64_t right = all.right() + ceiling(across.widest(style.label.height) / 2);
  if (with_bar) {
    bar_area.left = all.right() + 3 * style.gap;
    bar_area.width = 2 * style.gap + style.tick;
    right = bar_area.right() + style.line + style.tick + ceiling(bar.widest(style.label.height)) + style.gap;
  }
  constexpr std::int64_t kNarrowest = 200;  // a title and a caption need some room
  width = std::max(right + style.margin, kNarrowest);
}

void draw_blocks(Canvas& canvas, const Panels& panels, const Layout& layout, std::int64_t k, const Colours& colours) {
  const Rectangle area = layout.panel(k, panels.columns);
  for (std::int64_t i = 0; i < panels.down.points; ++i) {
    for (std::int64_t j = 0; j < panels.across.points; ++j) {
      const std::int64_t g = panels.first[static_cast<std::size_t>(k)] + i * panels.across.points + j;
      canvas.fill({area.left + j * layout.scale, area.top + i * layout.scale, layout.scale, layout.scale},
                  colours.points[static_cast<std::size_t>(g)]);
    }
  }
  canvas.frame(area, layout.style.line, kInk);
}

void draw_panel(Canvas& canvas, const Panels& panels, const Layout& layout, std::int64_t k, const Colours& colours) {
  const Style& style = layout.style;
  const Rectangle area = layout.panel(k, panels.columns);
  draw_blocks(canvas, panels, layout, k, colours);
  if (!panels.labels.empty()) {
    canvas.text({static_cast<double>(area.left), static_cast<double>(area.top - style.line - style.gap)},
                panels.labels[static_cast<std::size_t>(k)], style.label);
  }
  // Numbers stand at the left and at the bottom of the whole figure only.
  if (k + panels.columns >= panels.count()) {
    for (std::size_t t = 0; t < layout.across.values.size(); ++t) {
      const double x = block_middle(panels.across, layout.across.values[t], layout.scale);
      draw_tick_below(canvas, area, static_cast<double>(area.left) + x, layout.across.labels[t], style);
    }
  }
  if (k % panels.columns == 0) {
    for (std::size_t t = 0; t < layout.down.values.size(); ++t) {
      const double y = block_middle(panels.down, layout.down.values[t], layout.scale);
      draw_tick_left(canvas, area, static_cast<double>(area.top) + y, layout.down.labels[t], style);
    }
  }
}

void draw_names(Canvas& canvas, const Panels& panels, const Layout& layout) {
  const Style& style = layout.style;
  const double middle_x = static_cast<double>(layout.all.left) + static_cast<double>(layout.all.width) / 2;
  const double middle_y = static_cast<double>(layout.all.top) + static_cast<double>(layout.all.height) / 2;
  TextStyle text = style.name;
  canvas.text({static_cast<double>(style.margin), std::round(middle_y + text.height / 2)}, panels.down_name, text);
  text.align = Align::centre;
  const std::int64_t below =
      layout.all.bottom() + style.line + style.tick + 2 * style.gap + ceiling(style.label.height);
  canvas.text({middle_x, std::round(static_cast<double>(below) + text.height)}, panels.across_name, text);
  draw_title(canvas, layout.title, middle_x, style);
  draw_caption(canvas, layout.caption, layout.caption_top, style);
}

void draw_bar(Canvas& canvas, const Layout& layout, const Range& range) {
  const Rectangle& area = layout.bar_area;
  for (std::int64_t y = 0; y < area.height; ++y) {
    const double t = 1 - (static_cast<double>(y) + 0.5) / static_cast<double>(area.height);
    canvas.fill({area.left, area.top + y, area.width, 1}, viridis(range.lo == range.hi ? 0.5 : t));
  }
  canvas.frame(area, layout.style.line, kInk);
  for (std::size_t k = 0; k < layout.bar.values.size(); ++k) {
    const double t = position(layout.bar.values[k], range.lo, range.hi);
    draw_tick_right(canvas, area, static_cast<double>(area.bottom()) - t * static_cast<double>(area.height),
                    layout.bar.labels[k], layout.style);
  }
}

Image heat_maps(const Field& field, const RenderOptions& options) {
  const Panels parts = panels(field.grid);
  pixels_per_point(parts, options.scale);
  const Colours painted = colours(field, options);
  const Layout layout(parts, painted, options);
  Canvas canvas(layout.width, layout.height, kFunction);
  for (std::int64_t k = 0; k < parts.count(); ++k) draw_panel(canvas, parts, layout, k, painted);
  if (painted.bar) draw_bar(canvas, layout, *painted.bar);
  draw_names(canvas, parts, layout);
  return std::move(canvas).take();
}

/// A line per head and, of several, their sum.
Image lines(const Field& field, const RenderOptions& options) {
  const Axis axis = field.grid.axes()[0];
  std::vector<Curve> curves(static_cast<std::size_t>(field.heads + (field.heads > 1 ? 1 : 0)));
  PlotDetails details{.function = kFunction, .y_range = options.range};
  for (std::int64_t g = 0; g < axis.points; ++g) {
    bool finite = true;
    for (std::size_t k = 0; k < curves.size(); ++k) {
      const bool sum = static_cast<std::int64_t>(k) == field.heads;
      const double value = sum ? field.total(g) : field.at(g, static_cast<std::int64_t>(k));
      curves[k].x.push_back(axis.at(g));
      curves[k].y.push_back(value);
      finite = finite && std::isfinite(value);
    }
    if (!finite) details.nonfinite.push_back(axis.at(g));
  }
  for (std::size_t k = 0; k < curves.size() && curves.size() > 1; ++k) {
    curves[k].label = k + 1 == curves.size() ? "sum" : "head " + std::to_string(k + 1);
  }
  if (!details.nonfinite.empty()) {
    details.caption.push_back(std::to_string(details.nonfinite.size()) + " of " + std::to_string(axis.points) +
                              " points not finite (magenta)");
  }
  PlotOptions plot{.title = options.title, .x_label = "α", .y_label = field.pattern ? "value" : "loss"};
  constexpr std::int64_t kRoom = 80;  // beside the axes, for numbers and margins
  require(options.scale == 0 || axis.points <= (kLargestSide - kRoom) / options.scale, kFunction, "received ",
          axis.points, " grid points at scale ", options.scale, ", expected a figure of at most ", kLargestSide,
          " pixels on a side; choose a smaller scale or a coarser grid");
  if (options.scale > 0) plot.width = std::max(plot.width, axis.points * options.scale + kRoom);
  return draw_plot(curves, plot, details);
}

Image render(const Field& field, const RenderOptions& options) {
  check_arguments(field, options);
  return field.grid.rank() == 1 ? lines(field, options) : heat_maps(field, options);
}

}  // namespace

Image render(const Surface& surface, const RenderOptions& options) {
  require(surface.points.empty(), kFunction,
          "received a surface of a list of points, expected one of a grid; evaluate the section on a Grid");
  return render(Field{surface.grid, surface.heads, surface.losses, false}, options);
}

Image render(const Pattern& pattern, const RenderOptions& options) {
  const Grid grid = pattern.grid();
  return render(Field{grid, pattern.channels(), pattern.values(), true}, options);
}

void write_png(const std::filesystem::path& file, const Surface& surface, const RenderOptions& options) {
  write_png(file, render(surface, options));
}

Image side_by_side(std::span<const Image> images) {
  constexpr std::int64_t kGap = 12;
  constexpr const char* kName = "side_by_side";
  require(!images.empty(), kName, "received no images, expected at least one; pass figures");
  std::int64_t width = -kGap, height = 0;
  for (const Image& image : images) {
    require(image.width >= 1 && image.height >= 1 && image.width <= kLargestSide && image.height <= kLargestSide &&
                static_cast<std::int64_t>(image.rgb.size()) == 3 * image.width * image.height,
            kName, "received an image of ", image.width, " × ", image.height, " pixels with ", image.rgb.size(),
            " bytes, expected 1 to ", kLargestSide, " on a side and three bytes each; pass what render() returns");
    width += image.width + kGap;
    height = std::max(height, image.height);
  }
  Canvas canvas(width, height, kName);
  Image result = std::move(canvas).take();
  std::int64_t left = 0;
  for (const Image& image : images) {
    for (std::int64_t y = 0; y < image.height; ++y) {
      std::copy_n(image.rgb.begin() + 3 * y * image.width, 3 * image.width,
                  result.rgb.begin() + 3 * (y * width + left));
    }
    left += image.width + kGap;
  }
  return result;
}

}  // namespace lossatlas
