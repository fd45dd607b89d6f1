#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <lossatlas/dataset.hpp>

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/random.hpp"
#include "picture/canvas.hpp"
#include "picture/font.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kSide = 28;
constexpr std::int64_t kClasses = 10;

/// How one sample is drawn.
struct Hand {
  double size;     ///< height of the digit, pixels
  double stretch;  ///< width relative to the font's
  double turn;     ///< radians
  Point shift;     ///< pixels
  double pen;      ///< pixels
  double noise;    ///< standard deviation
};

Hand draw_hand(Random& random) {
  return {.size = random.uniform(15, 20),
          .stretch = random.uniform(0.8, 1.15),
          .turn = random.uniform(-0.25, 0.25),
          .shift = {random.uniform(-2.5, 2.5), random.uniform(-2.5, 2.5)},
          .pen = random.uniform(1.4, 3.2),
          .noise = random.uniform(0.02, 0.12)};
}

/// The digit's strokes in pixels, turned about the middle of the image.
std::vector<Polyline> place(std::int64_t digit, const Hand& hand) {
  const Character& shape = character(U'0' + static_cast<char32_t>(digit));
  const double cosine = std::cos(hand.turn), sine = std::sin(hand.turn), middle = kSide / 2.0;
  std::vector<Polyline> lines = shape.strokes;
  for (Polyline& line : lines) {
    for (Point& p : line) {
      const double x = (p.x - shape.width / 2) * hand.size * hand.stretch, y = (0.5 - p.y) * hand.size;
      p = {middle + hand.shift.x + cosine * x - sine * y, middle + hand.shift.y + sine * x + cosine * y};
    }
  }
  return lines;
}

/// Draws grey values in steps of 1/255, as in a file of bytes: no machine's last bit of a sine reaches the data.
void draw_sample(std::int64_t digit, Random& random, double* pixels) {
  const Hand hand = draw_hand(random);
  const Mask mask(place(digit, hand), hand.pen, {0, 0, kSide, kSide});
  const Rectangle& area = mask.area();
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x) {
      const bool near = x >= area.left && x < area.right() && y >= area.top && y < area.bottom();
      const double value = (near ? mask.at(x, y) : 0) + hand.noise * random.normal();
      pixels[y * kSide + x] = std::round(std::clamp(value, 0.0, 1.0) * 255) / 255;
    }
  }
}

}  // namespace

Dataset glyphs(std::int64_t samples, GlyphOptions options) {
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  require(samples >= 1 && samples <= kMost, "glyphs", "received ", samples, " samples, expected 1 to ", kMost,
          "; choose how many digits to draw");
  const double bytes = static_cast<double>(samples * kSide * kSide) * sizeof(double);
  require(fits_host_memory(bytes), "glyphs", "received ", samples, " samples, which need ", bytes,
          " bytes of memory, expected at most the ", available_host_memory(), " available");
  std::vector<double> inputs(static_cast<std::size_t>(samples * kSide * kSide));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (std::int64_t n = 0; n < samples; ++n) {
    Random random(options.seed, static_cast<std::uint64_t>(n));  // sample n does not depend on how many there are
    const std::int64_t digit = random.below(kClasses);
    labels[static_cast<std::size_t>(n)] = static_cast<std::int32_t>(digit);
    draw_sample(digit, random, &inputs[static_cast<std::size_t>(n * kSide * kSide)]);
  }
  const std::string name = "glyphs:" + std::to_string(samples) + ",seed=" + std::to_string(options.seed);
  return Dataset::classification(std::move(inputs), kSide * kSide, std::move(labels), kClasses, name);
}

}  // namespace lossatlas
