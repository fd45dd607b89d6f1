// What the figures share: round tick values and their labels, wrapped titles, and sizes that grow with the figure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "picture/canvas.hpp"

namespace lossatlas {

/// Values on an axis with their labels.
struct Ticks {
  std::vector<double> values;
  std::vector<std::string> labels;

  double widest(double height) const;  ///< length of the longest label whose capitals are `height` high
};

/// At most `most` ≥ 1 multiples of 1, 2 or 5 · 10ᵏ in [lo, hi]; both ends if fewer than two of these fit, lo alone if
/// there is room for only one.
Ticks round_ticks(double lo, double hi, std::int64_t most);
/// The most round_ticks() that fit side by side (or, if `stacked`, one above the other) in a length of `pixels`.
Ticks fitting_ticks(double lo, double hi, double pixels, double label_height, bool stacked);

/// "−0.25", "1.2×10⁻⁷": a number with at most `digits` significant digits.
std::string number_label(double value, int digits = 4);

/// (value − lo)/(hi − lo) without overflow; ½ when lo = hi.
double position(double value, double lo, double hi);

/// Breaks words into lines no longer than `width`; cuts a longer word.
std::vector<std::string> wrap(std::string_view text, double width, double height);

/// Sizes in pixels for a figure whose plot has a side of `side` pixels.
struct Style {
  explicit Style(std::int64_t side);

  double unit;                   ///< 1 in a figure of ordinary size
  std::int64_t line;             ///< thickness of axes and ticks
  std::int64_t tick;             ///< length of a tick
  std::int64_t gap;              ///< between things that belong together
  std::int64_t margin;           ///< around the figure
  TextStyle label, name, title;  ///< of ticks, axes and the figure

  std::int64_t title_height(std::size_t lines) const;
  std::int64_t caption_height(std::size_t lines) const;
};

/// Draws title lines at the top, centred at x = middle if they fit there, else on the canvas.
void draw_title(Canvas& canvas, std::span<const std::string> lines, double middle, const Style& style);
/// Draws caption lines from the left, with the top of the first one at `top`.
void draw_caption(Canvas& canvas, std::span<const std::string> lines, std::int64_t top, const Style& style);
/// Draws a tick and its label below the bottom edge of `area` at x.
void draw_tick_below(Canvas& canvas, const Rectangle& area, double x, std::string_view label, const Style& style);
/// Draws a tick and its label left of the left edge of `area` at y.
void draw_tick_left(Canvas& canvas, const Rectangle& area, double y, std::string_view label, const Style& style);
/// Draws a tick and its label right of the right edge of `area` at y.
void draw_tick_right(Canvas& canvas, const Rectangle& area, double y, std::string_view label, const Style& style);

}  // namespace lossatlas
