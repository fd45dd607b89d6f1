#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include <lossatlas/pattern.hpp>

#include "base/check.hpp"
#include "picture/canvas.hpp"
#include "picture/font.hpp"

namespace lossatlas {
namespace {

// The picture: an evening sky over mountains and, in front of them, a map of a loss surface with its contour lines.
// Coordinates are in the unit square, x to the right, y down.

using Rgb = std::array<double, 3>;

Rgb mix(const Rgb& a, const Rgb& b, double t) {
  return {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])};
}

double smooth_step(double t) {
  t = std::clamp(t, 0.0, 1.0);
  return t * t * (3 - 2 * t);
}

/// A zigzag of straight lines between −1 and 1, with period 1.
double zigzag(double t) { return 4 * std::abs(t - std::floor(t + 0.5)) - 1; }

struct Stop {
  double at;
  Rgb colour;
};

template <std::size_t K>
Rgb gradient(const std::array<Stop, K>& stops, double t) {
  for (std::size_t k = 1; k < K; ++k) {
    if (t < stops[k].at)
      return mix(stops[k - 1].colour, stops[k].colour,
                 smooth_step((t - stops[k - 1].at) / (stops[k].at - stops[k - 1].at)));
  }
  return stops.back().colour;
}

constexpr Point kSun{0.775, 0.215};
constexpr double kSunRadius = 0.092;
constexpr double kShore = 0.615;  ///< where the land ends and the map begins

Rgb sky(Point p) {
  constexpr std::array<Stop, 4> kSky{
      {{0, {0.10, 0.17, 0.38}}, {0.22, {0.27, 0.33, 0.57}}, {0.44, {0.87, 0.58, 0.52}}, {0.62, {1.0, 0.82, 0.56}}}};
  const double distance = std::hypot(p.x - kSun.x, p.y - kSun.y);
  if (distance < kSunRadius)
    return mix({1, 0.97, 0.80}, {1, 0.86, 0.52}, (p.y - kSun.y + kSunRadius) / (2 * kSunRadius));
  return mix(gradient(kSky, p.y), {1, 0.80, 0.55}, 0.62 * std::exp(-(distance - kSunRadius) / 0.10));
}

struct Peak {
  Point apex;
  double left, right;  ///< horizontal run of either slope per unit of height
  double lean;         ///< of the edge between the two faces
  double haze;         ///< 0 near, 1 lost in the sky
  double snow;         ///< height of the cap, 0 for none
};
constexpr std::array<Peak, 4> kPeaks{{{{0.70, 0.40}, 0.85, 0.95, 0.12, 0.55, 0.0},
                                      {{0.15, 0.41}, 1.05, 0.9, -0.15, 0.42, 0.0},
                                      {{0.43, 0.30}, 0.78, 0.82, 0.16, 0.12, 0.095},
                                      {{0.86, 0.50}, 1.5, 1.6, 0.3, 0.05, 0}}};

bool on_peak(const Peak& peak, Point p) {
  const double drop = p.y - peak.apex.y - 0.006 * (1 + zigzag(17 * p.x + peak.apex.x));
  return drop > 0 && p.x > peak.apex.x - peak.left * drop && p.x < peak.apex.x + peak.right * drop;
}

/// Colour of the haze between the mountains and of the mist on the shore.
Rgb air(double y) { return mix({0.62, 0.50, 0.60}, {0.95, 0.74, 0.58}, smooth_step((y - 0.40) / 0.25)); }

Rgb rock(const Peak& peak, Point p) {
  const double drop = p.y - peak.apex.y;
  const bool lit = p.x > peak.apex.x + peak.lean * drop + 0.018 * zigzag(9 * p.y) * std::min(1.0, 8 * drop);
  const bool white = drop < peak.snow * (1 + 0.38 * zigzag(11 * (p.x - peak.apex.x) + 0.25));
  Rgb colour = lit ? Rgb{0.47, 0.33, 0.36} : Rgb{0.17, 0.17, 0.30};
  if (white) colour = lit ? Rgb{1.0, 0.93, 0.86} : Rgb{0.60, 0.64, 0.80};
  const double mist = 0.85 * smooth_step((p.y - 0.42) / (kShore - 0.42));
  return mix(colour, air(p.y), peak.haze + (1 - peak.haze) * mist);
}

/// The loss drawn on the map, about 0..1.
double loss(Point p) {
  const auto hill = [p](double x, double y, double sx, double sy) {
    const double u = (p.x - x) / sx, v = (p.y - y) / sy;
    return std::exp(-(u * u + v * v) / 2);
  };
  return 0.50 - 0.50 * hill(0.60, 0.80, 0.13, 0.085) + 0.42 * hill(0.31, 0.71, 0.15, 0.085) +
         0.42 * hill(0.95, 0.67, 0.17, 0.09) - 0.33 * hill(0.10, 0.95, 0.20, 0.11) +
         0.20 * hill(0.80, 1.02, 0.16, 0.09);
}

Rgb map(Point p) {
  constexpr std::array<Stop, 4> kHeights{
      {{0.02, {0.05, 0.20, 0.33}}, {0.40, {0.08, 0.43, 0.47}}, {0.70, {0.33, 0.62, 0.44}}, {0.98, {0.88, 0.80, 0.43}}}};
  constexpr double kStep = 1e-4, kInterval = 0.095, kPen = 0.0075;
  const double height = loss(p);
  const double dx = (loss({p.x + kStep, p.y}) - height) / kStep, dy = (loss({p.x, p.y + kStep}) - height) / kStep;
  Rgb colour = gradient(kHeights, height);
  const double shade = 1 - 0.10 * (dx - dy) / std::sqrt(1 + 0.3 * (dx * dx + dy * dy));
  for (double& c : colour) c *= std::clamp(shade, 0.6, 1.25);
  const double level = std::abs(height / kInterval - std::round(height / kInterval)) * kInterval;
  if (level < kPen / 2 * std::hypot(dx, dy)) colour = mix(colour, {0.02, 0.12, 0.20}, 0.2);
  return mix(colour, air(p.y), 0.82 * smooth_step(1 - (p.y - kShore) / 0.12));
}

/// A compass star of eight points, each with a light and a dark half.
bool star(Point p, Rgb& colour) {
  constexpr Point kCentre{0.855, 0.855};
  constexpr double kTurn = std::numbers::pi / 4;
  const double x = p.x - kCentre.x, y = p.y - kCentre.y, radius = std::hypot(x, y);
  const double angle = std::atan2(y, x), nearest = std::round(angle / kTurn), off = angle - nearest * kTurn;
  const bool long_point = std::fmod(std::abs(nearest), 2) == 0;
  // A straight edge from the tip to the notch between two points, half a turn further.
  const double tip = long_point ? 0.105 : 0.058, notch = 0.030, half = kTurn / 2;
  const double along = radius * std::cos(off), across = radius * std::abs(std::sin(off));
  if (across > notch * std::sin(half) * (tip - along) / (tip - notch * std::cos(half))) return false;
  colour = off < 0 ? Rgb{0.99, 0.95, 0.84} : Rgb{0.80, 0.28, 0.20};
  if (!long_point) colour = off < 0 ? Rgb{0.93, 0.82, 0.60} : Rgb{0.10, 0.16, 0.28};
  return true;
}

struct Word {
  Point at;  ///< left end of the baseline
  double height, pen;
  const char* text;
};
constexpr std::array<Word, 2> kWords{{{{0.055, 0.185}, 0.114, 0.021, "loss"}, {{0.055, 0.93}, 0.114, 0.021, "atlas"}}};

/// Share of the pixel around p (in the unit square, `pixels` on a side) that the lettering covers.
class Lettering {
 public:
  Lettering() {
    for (const Word& word : kWords) {
      Part& part = parts_.emplace_back(Part{text_strokes(word.text, word.height), word});
      for (Polyline& line : part.lines) {
        for (Point& p : line) p = {word.at.x + p.x, word.at.y - p.y};
      }
    }
  }

  bool covers(Point p) const {
    for (const Part& part : parts_) {
      const double reach = part.word.pen / 2;
      if (p.y < part.word.at.y - part.word.height - reach || p.y > part.word.at.y + reach) continue;
      for (const Polyline& line : part.lines) {
        for (std::size_t k = 1; k < line.size(); ++k) {
          if (segment_distance(p, line[k - 1], line[k]) < reach) return true;
        }
      }
    }
    return false;
  }

 private:
  struct Part {
    std::vector<Polyline> lines;
    Word word;
  };
  std::vector<Part> parts_;
};

Rgb colour_at(Point p, const Lettering& lettering) {
  Rgb colour;
  if (lettering.covers(p)) return {0.99, 0.96, 0.88};
  if (p.y > kShore + 0.012 * std::sin(9 * p.x + 0.6)) return star(p, colour) ? colour : map(p);
  colour = sky(p);
  for (const Peak& peak : kPeaks) {
    if (on_peak(peak, p)) colour = rock(peak, p);
  }
  return colour;
}

}  // namespace

Pattern demo_picture(std::int64_t size) {
  constexpr std::int64_t kSmallest = 16, kLargest = 4096;
  constexpr int kSamples = 4;  // per pixel in each direction: smooths the edges
  require(size >= kSmallest && size <= kLargest, "demo_picture", "received size ", size, ", expected ", kSmallest,
          " to ", kLargest, "; choose the side of the picture in pixels");
  const Lettering lettering;
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(3 * size * size));
  const double spacing = 1.0 / static_cast<double>(size * kSamples);
  for (std::int64_t row = 0; row < size; ++row) {
    for (std::int64_t column = 0; column < size; ++column) {
      Rgb sum{};
      for (int sample = 0; sample < kSamples * kSamples; ++sample) {
        const auto x = static_cast<double>(column * kSamples + sample % kSamples) + 0.5;
        const auto y = static_cast<double>(row * kSamples + sample / kSamples) + 0.5;
        const Rgb colour = colour_at({x * spacing, y * spacing}, lettering);
        for (std::size_t k = 0; k < 3; ++k) sum[k] += colour[k];
      }
      for (const double channel : sum) values.push_back(std::clamp(channel / (kSamples * kSamples), 0.0, 1.0));
    }
  }
  return Pattern({size, size}, 3, std::move(values), "demo");
}

}  // namespace lossatlas
