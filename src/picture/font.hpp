// The library's stroke font: every character is a few lines and arcs, so it can be drawn at any size, rotated, and with
// a pen of any width (figures, the demo picture, the glyph data set).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lossatlas {

struct Point {
  double x = 0;
  double y = 0;
};
using Polyline = std::vector<Point>;

/// A character in units of the height of a capital letter: x from 0 to width, y up from the baseline.
struct Character {
  double width = 0;
  std::vector<Polyline> strokes;
};

/// ASCII 32..126, α θ σ π λ δ Σ Π × ½ − ± · – … ≤ ≥ → ∞ °, super- and subscript digits; anything else is a box.
const Character& character(char32_t code);

/// Code points of UTF-8 text; each malformed byte becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);

/// Length of a line of text whose capitals are `height` high.
double text_width(std::string_view text, double height);

/// The strokes of a line of text whose capitals are `height` high: from x = 0, y up from the baseline.
std::vector<Polyline> text_strokes(std::string_view text, double height);

}  // namespace lossatlas
