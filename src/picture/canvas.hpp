// Drawing on an RGB raster: filled rectangles, anti-aliased lines and text. Pixel (i, j) covers [j, j+1] × [i, i+1], so
// that a line of odd width is sharp at half-integer coordinates.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <lossatlas/image.hpp>

#include "picture/colormap.hpp"
#include "picture/font.hpp"

namespace lossatlas {

inline constexpr std::int64_t kLargestSide = 16384;  ///< of an image, in pixels

enum class Align : std::uint8_t { left, centre, right };

struct TextStyle {
  double height = 9;   ///< of a capital letter, pixels
  double pen = 0.115;  ///< width of the strokes relative to height
  Align align = Align::left;
  bool upward = false;  ///< turned a quarter to the left: reads from bottom to top
  Colour colour = kInk;
};

/// The share of a pixel covered by a line of the given width whose middle passes `distance` from the pixel's centre.
double pen_coverage(double distance, double width);
/// Distance of p from the segment a b.
double segment_distance(Point p, Point a, Point b);

/// Pixels left..left + width − 1, top..top + height − 1.
struct Rectangle {
  std::int64_t left = 0, top = 0, width = 0, height = 0;

  std::int64_t right() const { return left + width; }
  std::int64_t bottom() const { return top + height; }
};

/// The largest pen_coverage of each pixel by any of some lines.
class Mask {
 public:
  /// A mask of the lines; its area is theirs plus half the pen around them, cut to `clip`.
  Mask(std::span<const Polyline> lines, double pen, const Rectangle& clip);
  /// An empty mask with the area `clip`.
  explicit Mask(const Rectangle& clip);

  /// Adds a line from a to b, or a dot if they coincide.
  void add(Point a, Point b, double pen);

  const Rectangle& area() const { return area_; }
  double at(std::int64_t x, std::int64_t y) const { return coverage_[index(x, y)]; }

 private:
  std::size_t index(std::int64_t x, std::int64_t y) const {
    return static_cast<std::size_t>((y - area_.top) * area_.width + x - area_.left);
  }

  Rectangle area_;
  std::vector<float> coverage_;
};

class Canvas {
 public:
  /// Throws InvalidArgument, in the name of `function`, unless both sides are in 1..kLargestSide.
  Canvas(std::int64_t width, std::int64_t height, std::string_view function);
  /// Keeps only pixel rows top..top + rows − 1; drawing elsewhere leaves no trace.
  Canvas(std::int64_t width, std::int64_t height, std::int64_t top, std::int64_t rows, std::string_view function);

  Rectangle area() const { return {0, 0, image_.width, height_}; }
  Rectangle kept() const { return {0, top_, image_.width, image_.height}; }

  /// Fills the rectangle, cut to the canvas.
  void fill(const Rectangle& area, Colour colour, double opacity = 1);
  /// Draws lines of `thickness` pixels just outside the rectangle.
  void frame(const Rectangle& area, std::int64_t thickness, Colour colour);
  /// Draws lines as one shape inside `clip`: crossings are no darker.
  void stroke(std::span<const Polyline> lines, double pen, Colour colour, const Rectangle& clip);
  void stroke(const Mask& mask, Colour colour);
  /// Draws text; `at` is the baseline's left end, middle or right end.
  void text(Point at, std::string_view text, const TextStyle& style);

  /// The rows kept.
  Image take() && { return std::move(image_); }

 private:
  void blend(std::int64_t x, std::int64_t y, Colour colour, double opacity);

  std::int64_t height_, top_;
  Image image_;
};

}  // namespace lossatlas
