#include "picture/heat_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "picture/axes.hpp"
#include "picture/canvas.hpp"
#include "picture/colormap.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kPlotSide = 512;  ///< of a plot whose scale is chosen here, approximately
constexpr std::int64_t kMostSlices = 16;
constexpr std::int64_t kShortestBar = 96;  ///< of the colour bar, with room for its numbers

/// "red, green, blue: heads 1, 2, 3, 0 to 1 above 2.3, 2.29, 2.31".
std::string heads_caption(std::span<const double> offset, bool sigmoid) {
  std::string result = offset.size() == 3 ? "red, green, blue: heads 1, 2, 3, " : "black to white: ";
  result += sigmoid ? "sigmoid of the loss minus " : "0 to 1 above ";
  for (std::size_t k = 0; k < offset.size(); ++k) result += (k > 0 ? ", " : "") + number_label(offset[k]);
  return result;
}

double total(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

/// Turns the values of a point into a colour, after one look at all values.
class Paint {
 public:
  Paint(const Field& field, const RenderOptions& options)
      : by_head_(drawn_as_heads(field, options)), sigmoid_(options.sigmoid) {
    const auto heads = static_cast<std::size_t>(field.heads);
    std::vector<double> smallest(heads, std::numeric_limits<double>::infinity());
    Range range = finite_range({});
    std::int64_t nonfinite = 0;
    for_each_point(field, [&](std::span<const double> values) {
      for (std::size_t k = 0; k < heads; ++k) {
        if (std::isfinite(values[k])) smallest[k] = std::min(smallest[k], values[k]);
      }
      const double sum = total(values);
      nonfinite += by_head_ ? !all_finite(values) : !std::isfinite(sum);
      if (!std::isfinite(sum)) return;
      if (!(range.lo <= sum)) range.lo = sum;
      if (!(range.hi >= sum)) range.hi = sum;
    });
    if (by_head_) {
      choose_offset(field, options, smallest);
    } else {
      range_ = options.range ? *options.range : range;
      if (range_.lo <= range_.hi) bar_ = range_;
    }
    if (nonfinite > 0) {
      caption_.push_back(std::to_string(nonfinite) + " of " + std::to_string(field.grid.size()) +
                         " points not finite (magenta)");
    }
  }

  /// Values at the ends of the colour bar, if there is one.
  const std::optional<Range>& bar() const { return bar_; }
  const std::vector<std::string>& caption() const { return caption_; }

  Colour colour(std::span<const double> values) const {
    if (by_head_) return colour_of_heads(values);
    const double sum = total(values);
    return std::isfinite(sum) ? viridis(position(sum, range_.lo, range_.hi)) : kNonFinite;
  }

 private:
  void choose_offset(const Field& field, const RenderOptions& options, std::span<const double> smallest) {
    offset_ = options.offset;
    if (offset_.empty()) {
      for (const double value : smallest) offset_.push_back(!field.pattern && std::isfinite(value) ? value : 0);
    }
    if (!field.pattern) caption_.push_back(heads_caption(offset_, sigmoid_));
  }

  Colour colour_of_heads(std::span<const double> values) const {
    if (!all_finite(values)) return kNonFinite;
    std::array<std::uint8_t, 3> bytes{};
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double above = values[k] - offset_[k];
      bytes[k] = to_byte(sigmoid_ ? 1 / (1 + std::exp(-above)) : above);
    }
    if (values.size() == 1) bytes[1] = bytes[2] = bytes[0];
    return {bytes[0], bytes[1], bytes[2]};
  }

  bool by_head_, sigmoid_;
  std::vector<double> offset_;
  Range range_ = finite_range({});
  std::optional<Range> bar_;
  std::vector<std::string> caption_;
};

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

Panels panels_of(const Grid& grid) {
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
  require(longest <= kLargestSide && longest * scale <= kLargestSide / panels.columns, kRender, "received ",
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

  Layout(const Panels& panels, const Paint& paint, const RenderOptions& options);
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

Layout::Layout(const Panels& panels, const Paint& paint, const RenderOptions& options)
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
  if (paint.bar()) {
    bar_area.height = std::max(all.height, kShortestBar);
    const auto length = static_cast<double>(bar_area.height);
    bar = fitting_ticks(paint.bar()->lo, paint.bar()->hi, length, style.label.height, true);
  }
  place(panels, paint.bar().has_value());
  const auto text_space = static_cast<double>(width - 2 * style.margin);
  title = wrap(options.title, text_space, style.title.height);
  for (const std::string& line : paint.caption()) {
    for (std::string& part : wrap(line, text_space, style.label.height)) caption.push_back(std::move(part));
  }
  all.top += style.margin + style.title_height(title.size());
  bar_area.top = all.top;
  const std::int64_t axis_height =
      style.tick + 3 * style.gap + ceiling(style.label.height + 1.3 * style.name.height) + style.line;
  caption_top = std::max(all.bottom() + axis_height, bar_area.bottom());
  height = caption_top + style.caption_height(caption.size()) + style.margin;
}

/// Places everything from left to right.
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

/// Draws the blocks of a panel in the rows that the canvas keeps.
void draw_blocks(Canvas& canvas, const Field& field, const Panels& panels, const Layout& layout, std::int64_t k,
                 const Paint& paint) {
  const Rectangle area = layout.panel(k, panels.columns);
  const std::int64_t width = panels.across.points, heads = field.heads;
  const std::int64_t from = std::max<std::int64_t>(0, canvas.kept().top - area.top) / layout.scale;
  const std::int64_t below = canvas.kept().bottom() - area.top + layout.scale - 1;
  const std::int64_t to = std::min(panels.down.points, std::max<std::int64_t>(0, below) / layout.scale);
  std::vector<double> row(static_cast<std::size_t>(width * heads));
  for (std::int64_t i = from; i < to; ++i) {
    field.read(panels.first[static_cast<std::size_t>(k)] + i * width, row);
    for (std::int64_t j = 0; j < width; ++j) {
      const auto values =
          std::span<const double>(row).subspan(static_cast<std::size_t>(j * heads), static_cast<std::size_t>(heads));
      canvas.fill({area.left + j * layout.scale, area.top + i * layout.scale, layout.scale, layout.scale},
                  paint.colour(values));
    }
  }
  canvas.frame(area, layout.style.line, kInk);
}

void draw_panel(Canvas& canvas, const Panels& panels, const Layout& layout, std::int64_t k) {
  const Style& style = layout.style;
  const Rectangle area = layout.panel(k, panels.columns);
  if (!panels.labels.empty()) {
    canvas.text({static_cast<double>(area.left), static_cast<double>(area.top - style.line - style.gap)},
                panels.labels[static_cast<std::size_t>(k)], style.label);
  }
  // Only the panels at the left and at the bottom of the figure get numbers.
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

}  // namespace

bool drawn_as_heads(const Field& field, const RenderOptions& options) {
  return options.colouring == Colouring::heads || (options.colouring == Colouring::automatic && field.heads == 3);
}

struct HeatMaps::Figure {
  Figure(Field field_, const RenderOptions& options)
      : field(std::move(field_)),
        panels(panels_of(field.grid)),
        scale(pixels_per_point(panels, options.scale)),
        paint(field, options),
        layout(panels, paint, options) {}

  Field field;
  Panels panels;
  std::int64_t scale;  ///< checked first, before the values are read
  Paint paint;
  Layout layout;
};

HeatMaps::HeatMaps(Field field, const RenderOptions& options)
    : figure_(std::make_unique<const Figure>(std::move(field), options)) {}
HeatMaps::~HeatMaps() = default;

std::int64_t HeatMaps::width() const { return figure_->layout.width; }
std::int64_t HeatMaps::height() const { return figure_->layout.height; }

Image HeatMaps::rows(std::int64_t first, std::int64_t count) const {
  const auto& [field, panels, scale, paint, layout] = *figure_;
  Canvas canvas(layout.width, layout.height, first, count, kRender);
  for (std::int64_t k = 0; k < panels.count(); ++k) {
    draw_blocks(canvas, field, panels, layout, k, paint);
    draw_panel(canvas, panels, layout, k);
  }
  if (paint.bar()) draw_bar(canvas, layout, *paint.bar());
  draw_names(canvas, panels, layout);
  return std::move(canvas).take();
}

}  // namespace lossatlas
