#include "picture/canvas.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.hpp"

namespace lossatlas {
namespace {

struct Box {
  double left = std::numeric_limits<double>::infinity(), top = left, right = -left, bottom = -left;

  void add(Point p) {
    left = std::min(left, p.x);
    right = std::max(right, p.x);
    top = std::min(top, p.y);
    bottom = std::max(bottom, p.y);
  }
};

/// ⌊x⌋ inside [first, last].
std::int64_t pixel(double x, std::int64_t first, std::int64_t last) {
  return static_cast<std::int64_t>(std::clamp(std::floor(x), static_cast<double>(first), static_cast<double>(last)));
}

Rectangle intersection(const Rectangle& a, const Rectangle& b) {
  const std::int64_t left = std::max(a.left, b.left), top = std::max(a.top, b.top);
  return {left, top, std::max<std::int64_t>(0, std::min(a.right(), b.right()) - left),
          std::max<std::int64_t>(0, std::min(a.bottom(), b.bottom()) - top)};
}

/// The pixels inside `clip` that a pen can touch while it moves inside `box`.
Rectangle touched(const Box& box, double pen, const Rectangle& clip) {
  const double reach = pen / 2 + 1;
  const std::int64_t left = pixel(box.left - reach, clip.left, clip.right());
  const std::int64_t top = pixel(box.top - reach, clip.top, clip.bottom());
  return {left, top, pixel(box.right + reach + 1, clip.left, clip.right()) - left,
          pixel(box.bottom + reach + 1, clip.top, clip.bottom()) - top};
}

}  // namespace

double pen_coverage(double distance, double width) {
  return std::clamp(width / 2 + 0.5 - distance, 0.0, std::min(1.0, width));
}

double segment_distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
  const double t = square > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / square, 0.0, 1.0) : 0;
  const double x = p.x - a.x - t * dx, y = p.y - a.y - t * dy;
  return std::sqrt(x * x + y * y);
}

Mask::Mask(std::span<const Polyline> lines, double pen, const Rectangle& clip) {
  Box box;
  for (const Polyline& line : lines) {
    for (const Point p : line) box.add(p);
  }
  if (!(box.left <= box.right)) return;
  area_ = touched(box, pen, clip);
  coverage_.assign(static_cast<std::size_t>(area_.width * area_.height), 0.0F);
  for (const Polyline& line : lines) {
    if (line.size() == 1) add(line[0], line[0], pen);
    for (std::size_t k = 1; k < line.size(); ++k) add(line[k - 1], line[k], pen);
  }
}

Mask::Mask(const Rectangle& clip) : area_(clip), coverage_(static_cast<std::size_t>(clip.width * clip.height), 0.0F) {}

void Mask::add(Point a, Point b, double pen) {
  Box box;
  box.add(a);
  box.add(b);
  const Rectangle near = touched(box, pen, area_);
  for (std::int64_t y = near.top; y < near.bottom(); ++y) {
    for (std::int64_t x = near.left; x < near.right(); ++x) {
      const Point centre{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5};
      float& old = coverage_[index(x, y)];
      old = std::max(old, static_cast<float>(pen_coverage(segment_distance(centre, a, b), pen)));
    }
  }
}

Canvas::Canvas(std::int64_t width, std::int64_t height, std::string_view function)
    : Canvas(width, height, 0, height, function) {}

Canvas::Canvas(std::int64_t width, std::int64_t height, std::int64_t top, std::int64_t rows, std::string_view function)
    : height_(height), top_(top) {
  require(width >= 1 && height >= 1 && width <= kLargestSide && height <= kLargestSide, function,
          "received a figure of ", width, " × ", height, " pixels, expected 1 to ", kLargestSide,
          " on a side; choose a smaller scale or a coarser grid");
  image_ = {width, rows, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * rows), 255)};
}

void Canvas::blend(std::int64_t x, std::int64_t y, Colour colour, double opacity) {
  std::uint8_t* const old = &image_.rgb[static_cast<std::size_t>(3 * ((y - top_) * image_.width + x))];
  const auto mix = [opacity](std::uint8_t from, std::uint8_t to) {
    return static_cast<std::uint8_t>(from + opacity * (to - from) + 0.5);
  };
  old[0] = mix(old[0], colour.r);
  old[1] = mix(old[1], colour.g);
  old[2] = mix(old[2], colour.b);
}

void Canvas::fill(const Rectangle& area, Colour colour, double opacity) {
  const Rectangle cut = intersection(area, kept());
  for (std::int64_t y = cut.top; y < cut.bottom(); ++y) {
    for (std::int64_t x = cut.left; x < cut.right(); ++x) blend(x, y, colour, opacity);
  }
}

void Canvas::frame(const Rectangle& area, std::int64_t thickness, Colour colour) {
  const std::int64_t left = area.left - thickness, width = area.width + 2 * thickness;
  fill({left, area.top - thickness, width, thickness}, colour);
  fill({left, area.bottom(), width, thickness}, colour);
  fill({left, area.top, thickness, area.height}, colour);
  fill({area.right(), area.top, thickness, area.height}, colour);
}

void Canvas::stroke(std::span<const Polyline> lines, double pen, Colour colour, const Rectangle& clip) {
  stroke(Mask(lines, pen, intersection(clip, kept())), colour);
}

void Canvas::stroke(const Mask& mask, Colour colour) {
  const Rectangle cut = intersection(mask.area(), kept());
  for (std::int64_t y = cut.top; y < cut.bottom(); ++y) {
    for (std::int64_t x = cut.left; x < cut.right(); ++x) {
      if (const double coverage = mask.at(x, y); coverage > 0) blend(x, y, colour, coverage);
    }
  }
}

void Canvas::text(Point at, std::string_view text, const TextStyle& style) {
  const double share = style.align == Align::left ? 0 : style.align == Align::centre ? 0.5 : 1;
  const double back = share * text_width(text, style.height);
  std::vector<Polyline> lines = text_strokes(text, style.height);
  for (Polyline& line : lines) {
    for (Point& p : line) {
      const double along = p.x - back, up = p.y;
      p = style.upward ? Point{at.x - up, at.y - along} : Point{at.x + along, at.y - up};
    }
  }
  stroke(lines, style.pen * style.height, style.colour, area());
}

}  // namespace lossatlas
