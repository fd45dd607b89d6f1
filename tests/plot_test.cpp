#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <lossatlas/error.hpp>
#include <lossatlas/image.hpp>

#include "picture/colormap.hpp"

namespace lossatlas {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Colour at(const Image& image, std::int64_t x, std::int64_t y) {
  const std::uint8_t* p = &image.rgb.at(static_cast<std::size_t>(3 * (y * image.width + x)));
  return {p[0], p[1], p[2]};
}

std::int64_t count(const Image& image, Colour colour) {
  std::int64_t result = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) result += at(image, x, y) == colour ? 1 : 0;
  }
  return result;
}

/// Mean height, in pixels from the top, of a colour in a column; NaN where it is absent.
double height_of(const Image& image, std::int64_t x, Colour colour) {
  double sum = 0, n = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    if (at(image, x, y) == colour) {
      sum += static_cast<double>(y);
      ++n;
    }
  }
  return sum / n;
}

Curve curve(std::string label, double (*f)(double)) {
  Curve result{std::move(label), {}, {}};
  for (int k = 0; k <= 100; ++k) {
    result.x.push_back(k / 100.0);
    result.y.push_back(f(k / 100.0));
  }
  return result;
}

TEST(Plot, HasTheSizeAskedFor) {
  const Image image = plot(std::vector{curve("", [](double x) { return x; })}, {.width = 333, .height = 222});
  EXPECT_EQ(image.width, 333);
  EXPECT_EQ(image.height, 222);
  EXPECT_EQ(image.rgb.size(), 3u * 333 * 222);
}

TEST(Plot, ALineIsStraightAndRises) {
  const Image image = plot(std::vector{curve("", [](double x) { return 3 * x - 1; })}, {});
  const double a = height_of(image, 150, curve_colour(0)), b = height_of(image, 300, curve_colour(0)),
               c = height_of(image, 450, curve_colour(0));
  EXPECT_GT(a, b);
  EXPECT_GT(b, c);
  EXPECT_NEAR(a - b, b - c, 1.5);  // heights are whole pixels of a line two pixels thick
}

TEST(Plot, EachCurveHasItsColour) {
  std::vector<Curve> curves;
  for (int k = 0; k < 7; ++k) {
    curves.push_back(curve("", [](double x) { return x; }));
    for (double& y : curves.back().y) y = k;
  }
  const Image image = plot(curves, {});
  for (int k = 0; k < 7; ++k) EXPECT_GT(count(image, curve_colour(k)), 300) << k;
}

TEST(Plot, TheLegendHidesNoCurve) {
  for (double (*shape)(double) : {+[](double x) { return x; }, +[](double x) { return -x; }}) {
    const Image bare = plot(std::vector{curve("", shape)}, {});
    const Image named = plot(std::vector{curve("name", shape)}, {});
    EXPECT_LT(count(named, kGridLine), count(bare, kGridLine)) << "no legend";
    // All of the curve and the legend's sample of it.
    EXPECT_GT(count(named, curve_colour(0)), count(bare, curve_colour(0)));
  }
}

TEST(Plot, WithoutRoomInsideTheLegendStandsBeside) {
  const auto fills = [](double x) { return std::sin(90 * x); };
  const auto rightmost = [](const Image& image) {
    std::int64_t result = 0;
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t x = result; x < image.width; ++x) {
        if (at(image, x, y) == kGridLine) result = x;
      }
    }
    return result;
  };
  const Image bare = plot(std::vector{curve("", fills)}, {}), named = plot(std::vector{curve("name", fills)}, {});
  EXPECT_LT(rightmost(named), rightmost(bare) - 24);
}

TEST(Plot, NonFinitePointsBreakTheLine) {
  Curve broken = curve("", [](double x) { return x; });
  for (std::size_t k = 40; k < 60; ++k) (k % 2 ? broken.y : broken.x)[k] = k % 3 ? kNaN : HUGE_VAL;
  const Image image = plot(std::vector{broken}, {});
  EXPECT_FALSE(std::isnan(height_of(image, 150, curve_colour(0))));
  EXPECT_TRUE(std::isnan(height_of(image, image.width / 2 + 10, curve_colour(0))));
  EXPECT_FALSE(std::isnan(height_of(image, 450, curve_colour(0))));
}

TEST(Plot, LonePointsAreDots) {
  const Image image = plot(std::vector{Curve{"", {1, 2, 3}, {5, kNaN, 6}}}, {});
  EXPECT_GT(count(image, curve_colour(0)), 10);
  EXPECT_GT(count(plot(std::vector{Curve{"", {0}, {0}}}, {}), curve_colour(0)), 5);
}

TEST(Plot, SurvivesExtremeValues) {
  const double huge = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  for (const auto& y : {std::vector<double>{-huge, huge, 0}, {0, tiny, 0}, {1, 1 + 1e-16, 1}, {1e300, 1e300, 1e300}}) {
    for (const auto& x : {std::vector<double>{-huge, 0, huge}, {0, tiny, 2 * tiny}, {7, 7, 7}}) {
      EXPECT_NO_THROW(plot(std::vector{Curve{"c", x, y}}, {}));
    }
  }
}

TEST(Plot, RefusesWhatItCannotDraw) {
  const Curve good{"a", {0, 1}, {0, 1}};
  EXPECT_THROW(plot({}, {}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{Curve{"a", {}, {}}}, {}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{Curve{"a", {0, 1}, {kNaN, HUGE_VAL}}}, {}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{Curve{"a", {0, 1}, {0}}}, {}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{good}, {.width = 0}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{good}, {.height = -5}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{good}, {.width = 16385}), InvalidArgument);
  EXPECT_THROW(plot(std::vector{good}, {.title = std::string(4000, 'x')}), InvalidArgument);
}

}  // namespace
}  // namespace lossatlas
