#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/image.hpp>

#include "picture/canvas.hpp"
#include "picture/colormap.hpp"

namespace lossatlas {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

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

struct Place {
  std::int64_t x = -1, y = -1;
};

/// The first pixel of that colour, from the top left.
Place first(const Image& image, Colour colour) {
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      if (at(image, x, y) == colour) return {x, y};
    }
  }
  return {};
}

Surface surface(std::vector<std::int64_t> shape, std::int64_t heads, std::vector<double> losses) {
  Surface result;
  result.grid = Grid::unit(std::move(shape));
  result.heads = heads;
  result.losses = std::move(losses);
  return result;
}

/// Values 0, 1, 2, ... of one head: the first block has the lowest colour.
Surface ramp(std::int64_t rows, std::int64_t columns) {
  std::vector<double> losses;
  for (std::int64_t g = 0; g < rows * columns; ++g) losses.push_back(static_cast<double>(g));
  return surface({rows, columns}, 1, losses);
}

/// Every pixel of every block, from the block at `start`.
void expect_blocks(const Image& image, Place start, std::int64_t rows, std::int64_t columns, std::int64_t scale,
                   const std::vector<Colour>& expected) {
  ASSERT_GE(start.x, 0);
  for (std::int64_t y = 0; y < rows * scale; ++y) {
    for (std::int64_t x = 0; x < columns * scale; ++x) {
      const Colour want = expected[static_cast<std::size_t>(y / scale * columns + x / scale)];
      ASSERT_EQ(at(image, start.x + x, start.y + y), want) << "at " << x << ", " << y;
    }
  }
}

TEST(Viridis, EndsMiddleAndOutside) {
  EXPECT_EQ(viridis(0), (Colour{0x44, 0x01, 0x54}));
  EXPECT_EQ(viridis(0.5), (Colour{0x21, 0x91, 0x8c}));
  EXPECT_EQ(viridis(1), (Colour{0xfd, 0xe7, 0x25}));
  EXPECT_EQ(viridis(-3), viridis(0));
  EXPECT_EQ(viridis(kInfinity), viridis(1));
  EXPECT_EQ(viridis(kNaN), kNonFinite);
}

TEST(Viridis, BecomesLighterThroughout) {
  const auto lightness = [](Colour c) { return 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b; };
  for (int k = 1; k < 256; ++k) {
    // Entries are rounded to bytes, so neighbours may swap by less than one step of the brightest channel.
    EXPECT_GT(lightness(viridis((k + 0.5) / 256)) + 0.75, lightness(viridis((k - 0.5) / 256))) << k;
    if (k >= 8) {
      EXPECT_GT(lightness(viridis((k + 0.5) / 256)), lightness(viridis((k - 7.5) / 256))) << k;
    }
  }
}

TEST(Render, GridPointsAreBlocksOfViridis) {
  for (const auto& [rows, columns, scale] :
       {std::array<std::int64_t, 3>{3, 5, 7}, {5, 3, 20}, {1, 6, 9}, {6, 1, 9}, {4, 4, 1}}) {
    const Surface values = ramp(rows, columns);
    const Image image = render(values, {.title = "t", .scale = scale});
    std::vector<Colour> expected;
    for (const double v : values.losses) expected.push_back(viridis(v / static_cast<double>(rows * columns - 1)));
    const Place start = first(image, viridis(0));
    expect_blocks(image, start, rows, columns, scale, expected);
    // The axes' frame lies just outside.
    EXPECT_EQ(at(image, start.x - 1, start.y - 1), kInk);
    EXPECT_EQ(at(image, start.x + columns * scale, start.y + rows * scale), kInk);
  }
}

TEST(Render, AutomaticScaleGivesAPlotOfAbout512Pixels) {
  for (const std::int64_t n : {2, 51, 128, 300, 512, 600}) {
    const Surface values = ramp(n, n);
    const Image image = render(values);
    const Place start = first(image, viridis(0));
    std::int64_t right = start.x;
    while (at(image, right, start.y) != kInk) ++right;
    const std::int64_t side = right - start.x;
    EXPECT_EQ(side % n, 0);
    EXPECT_EQ(side, n * std::max<std::int64_t>(1, 512 / n)) << n;
  }
}

TEST(Render, ASinglePointAndAConstantSurface) {
  const Image one = render(surface({1, 1}, 1, {2.5}), {.scale = 30});
  EXPECT_GE(count(one, viridis(0.5)), 30 * 30);
  const Image constant = render(surface({2, 3}, 1, std::vector<double>(6, -4)), {.scale = 30});
  EXPECT_GE(count(constant, viridis(0.5)), 6 * 30 * 30);
}

TEST(Render, RangeSetsTheEndsOfTheColours) {
  const Surface values = surface({1, 4}, 1, {-10, 2, 3, 50});
  const Image image = render(values, {.range = Range{2, 4}, .scale = 8});
  expect_blocks(image, first(image, viridis(0)), 1, 4, 8, {viridis(0), viridis(0), viridis(0.5), viridis(1)});
}

TEST(Render, ValuesNearTheLargestDoubleKeepTheirOrder) {
  const double huge = std::numeric_limits<double>::max();
  const Image image = render(surface({1, 3}, 1, {-huge, 0, huge}), {.scale = 8});
  expect_blocks(image, first(image, viridis(0)), 1, 3, 8, {viridis(0), viridis(0.5), viridis(1)});
}

TEST(Render, NonFiniteIsMagentaAndCounted) {
  Surface values = ramp(4, 5);
  const Image clean = render(values, {.scale = 6});
  EXPECT_EQ(count(clean, kNonFinite), 0);
  values.losses[7] = kNaN;
  values.losses[8] = kInfinity;
  values.losses[13] = -kInfinity;
  const Image image = render(values, {.scale = 6});
  EXPECT_EQ(count(image, kNonFinite), 3 * 36);
  EXPECT_GT(image.height, clean.height) << "no caption";
  const Place start = first(image, viridis(0));
  EXPECT_EQ(at(image, start.x + 2 * 6, start.y + 6), kNonFinite);
  // The finite points keep the colours of the finite range.
  EXPECT_EQ(at(image, start.x + 4 * 6, start.y + 3 * 6), viridis(1));
}

TEST(Render, ASurfaceWithoutAFiniteValueIsAllMagenta) {
  for (const std::int64_t heads : {1, 3}) {
    const Image image =
        render(surface({2, 3}, heads, std::vector<double>(static_cast<std::size_t>(6 * heads), kNaN)), {.scale = 10});
    EXPECT_EQ(count(image, kNonFinite), 600);
  }
  const Image line = render(surface({5}, 1, std::vector<double>(5, kNaN)));
  EXPECT_GT(count(line, kNonFinite), 0);
}

TEST(Render, ThreeHeadsAreRedGreenBlueAboveTheirOffset) {
  const Surface values = surface({1, 3}, 3, {2.0, 3.0, 5.0, 2.5, 3.2, 5.0, 3.5, 2.8, 6.0});
  const auto start = [](const Image& image, Colour colour) { return first(image, colour); };
  const Image automatic = render(values, {.scale = 10});
  const std::vector<Colour> from_smallest{{0, 51, 0}, {128, 102, 0}, {255, 0, 255}};
  expect_blocks(automatic, start(automatic, from_smallest[0]), 1, 3, 10, from_smallest);
  const Image fixed = render(values, {.offset = {1.5, 3, 5.2}, .scale = 10});
  const std::vector<Colour> from_offset{{128, 0, 0}, {255, 51, 0}, {255, 0, 204}};
  expect_blocks(fixed, start(fixed, from_offset[0]), 1, 3, 10, from_offset);
}

TEST(Render, SigmoidOfThreeHeads) {
  const Surface values = surface({1, 2}, 3, {1 + std::log(3.0), 2 - std::log(4.0), 3, 1, 2, 3});
  const Image image = render(values, {.offset = {1, 2, 3}, .sigmoid = true, .scale = 10});
  const std::vector<Colour> expected{{191, 51, 128}, {128, 128, 128}};
  expect_blocks(image, first(image, expected[0]), 1, 2, 10, expected);
}

TEST(Render, OtherNumbersOfHeadsAreTheirSum) {
  const Image two = render(surface({1, 2}, 2, {0, 1, 5, 4}), {.scale = 10});
  const Image sum = render(surface({1, 2}, 1, {1, 9}), {.scale = 10});
  EXPECT_EQ(two.rgb, sum.rgb);
  const Image forced = render(surface({1, 2}, 3, {0, 1, 0, 5, 4, 0}), {.colouring = Colouring::viridis, .scale = 10});
  EXPECT_EQ(forced.rgb, sum.rgb);
}

TEST(Render, ATitleChangesTheTopOnly) {
  const Surface values = ramp(10, 10);
  const Image a = render(values, {.title = "training"}), b = render(values, {.title = "test"});
  ASSERT_EQ(a.rgb.size(), b.rgb.size());
  EXPECT_NE(a.rgb, b.rgb);
  const std::int64_t plot_top = first(a, viridis(0)).y;
  const auto skip = static_cast<std::ptrdiff_t>(3 * (plot_top - 1) * a.width);
  EXPECT_TRUE(std::equal(a.rgb.begin() + skip, a.rgb.end(), b.rgb.begin() + skip));
}

TEST(Render, MarginsAreWhite) {
  Surface values = ramp(30, 40);
  values.losses[3] = kNaN;
  for (const Image& image :
       {render(values, {.title = "A title that is long enough to be wrapped into two lines or more of text"}),
        render(ramp(3, 2), {.title = "small", .scale = 5})}) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      for (std::int64_t k = 0; k < 8; ++k) {
        ASSERT_EQ(at(image, x, k), kWhite);
        ASSERT_EQ(at(image, x, image.height - 1 - k), kWhite);
      }
    }
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t k = 0; k < 8; ++k) {
        ASSERT_EQ(at(image, k, y), kWhite);
        ASSERT_EQ(at(image, image.width - 1 - k, y), kWhite);
      }
    }
  }
}

TEST(Render, IsTheSameEveryTime) {
  EXPECT_EQ(render(ramp(7, 9), {.title = "x"}).rgb, render(ramp(7, 9), {.title = "x"}).rgb);
}

/// Slice k of n has the colour (10 + k, 0, 0).
Surface red_slices(std::int64_t slices) {
  std::vector<double> losses;
  for (std::int64_t g = 0; g < slices * 6; ++g) {
    losses.insert(losses.end(), {static_cast<double>(10 + g / 6) / 255, 0, 0});
  }
  return surface({slices, 2, 3}, 3, losses);
}

TEST(Render, ThreeAxesAreSlicesOfTheFirst) {
  for (const std::int64_t slices : {1, 2, 5, 16}) {
    const Image image = render(red_slices(slices), {.offset = {0, 0, 0}, .scale = 10});
    for (std::int64_t k = 0; k < slices; ++k) {
      EXPECT_EQ(count(image, {static_cast<std::uint8_t>(10 + k), 0, 0}), 600) << "slice " << k << " of " << slices;
    }
  }
}

TEST(Render, AtMostSixteenSlicesWithBothEnds) {
  const Image image = render(red_slices(40), {.offset = {0, 0, 0}, .scale = 10});
  std::int64_t drawn = 0;
  for (std::uint8_t k = 0; k < 40; ++k) drawn += count(image, {static_cast<std::uint8_t>(10 + k), 0, 0});
  EXPECT_EQ(drawn, 16 * 600);
  EXPECT_EQ(count(image, {10, 0, 0}), 600);
  EXPECT_EQ(count(image, {49, 0, 0}), 600);
}

TEST(Render, OneAxisIsALinePerHeadAndTheSum) {
  std::vector<double> losses;
  for (int k = 0; k < 50; ++k) losses.insert(losses.end(), {0.0, 1.0 + 0.01 * k});
  const Image two = render(surface({50}, 2, losses));
  for (const std::int64_t k : {0, 1, 2}) EXPECT_GT(count(two, curve_colour(k)), 20) << k;
  EXPECT_EQ(count(two, curve_colour(3)), 0);
  losses[20] = kNaN;
  const Image broken = render(surface({50}, 2, losses));
  EXPECT_GT(count(broken, kNonFinite), 0);
  EXPECT_LT(count(broken, curve_colour(0)), count(two, curve_colour(0)));
  EXPECT_NO_THROW(render(surface({1}, 1, {3.5})));
}

TEST(Render, PatternsKeepTheirColours) {
  const Pattern rgb({1, 2}, 3, {0, 0.2, 1, 0.6, 0.4, 0});
  const Image image = render(rgb, {.scale = 10});
  expect_blocks(image, first(image, {0, 51, 255}), 1, 2, 10, {{0, 51, 255}, {153, 102, 0}});
  const Pattern grey({1, 2}, 1, {0.2, 0.6});
  const Image shades = render(grey, {.colouring = Colouring::heads, .scale = 10});
  expect_blocks(shades, first(shades, {51, 51, 51}), 1, 2, 10, {{51, 51, 51}, {153, 153, 153}});
  const Image mapped = render(grey, {.scale = 10});
  expect_blocks(mapped, first(mapped, viridis(0)), 1, 2, 10, {viridis(0), viridis(1)});
}

TEST(Render, RefusesWhatItCannotDraw) {
  Surface list = surface({4}, 1, {1, 2, 3, 4});
  list.points = {0, 0, 1, 1, 2, 2, 3, 3};
  EXPECT_THROW(render(list), InvalidArgument);
  EXPECT_THROW(render(surface({2, 1, 1, 2}, 1, {1, 2, 3, 4})), InvalidArgument);
  EXPECT_THROW(render(surface({2, 2}, 1, {1, 2, 3})), InvalidArgument);
  EXPECT_THROW(render(surface({2, 2}, 2, {1, 2, 3, 4})), InvalidArgument);
  EXPECT_THROW(render(Surface{}), InvalidArgument);
  const Surface good = ramp(2, 2);
  EXPECT_THROW(render(good, {.scale = -1}), InvalidArgument);
  EXPECT_THROW(render(good, {.scale = 8192}), InvalidArgument);
  EXPECT_THROW(render(good, {.scale = std::numeric_limits<std::int64_t>::max()}), InvalidArgument);
  EXPECT_THROW(render(ramp(1, 16385)), InvalidArgument);
  EXPECT_THROW(render(ramp(100000, 1)), InvalidArgument);
  EXPECT_THROW(render(ramp(1, 20000), {.scale = 1}), InvalidArgument);
  EXPECT_THROW(render(surface({20000}, 1, std::vector<double>(20000)), {.scale = 1}), InvalidArgument);
  for (const Range range : {Range{1, 1}, Range{2, 1}, Range{kNaN, 1}, Range{0, kInfinity}}) {
    EXPECT_THROW(render(good, {.range = range}), InvalidArgument);
  }
  EXPECT_THROW(render(surface({1, 2}, 2, {1, 2, 3, 4}), {.colouring = Colouring::heads}), InvalidArgument);
  const Surface heads = surface({1, 1}, 3, {1, 2, 3});
  EXPECT_THROW(render(heads, {.offset = {1, 2}}), InvalidArgument);
  EXPECT_THROW(render(heads, {.offset = {1, 2, kNaN}}), InvalidArgument);
}

TEST(Render, MessagesNameTheLimit) {
  try {
    render(ramp(1, 20000));
    FAIL() << "no exception";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("[render] received"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("16384"), std::string::npos) << error.what();
  }
}

TEST(Render, TitlesThatAreNotTextAreDrawnAllTheSame) {
  EXPECT_NO_THROW(render(ramp(2, 2), {.title = "\xff\xfe\xc3 \xe2\x82 漢字 \n\t\x01"}));
  EXPECT_NO_THROW(render(ramp(2, 2), {.title = std::string(300, 'x')}));
}

TEST(WritePng, WritesWhatRenderDraws) {
  const auto file = std::filesystem::temp_directory_path() / "lossatlas_image_test.png";
  const Surface values = ramp(3, 4);
  write_png(file, values, {.title = "saved", .scale = 12});
  const Image drawn = render(values, {.title = "saved", .scale = 12});
  const Pattern read = read_picture(file);
  std::filesystem::remove(file);
  ASSERT_EQ(read.shape(), (std::vector<std::int64_t>{drawn.height, drawn.width}));
  ASSERT_EQ(read.channels(), 3);
  for (std::size_t k = 0; k < drawn.rgb.size(); ++k) ASSERT_NEAR(read.values()[k] * 255, drawn.rgb[k], 1e-9) << k;
}

Image filled(std::int64_t width, std::int64_t height, Colour colour) {
  Image image{width, height, {}};
  for (std::int64_t k = 0; k < width * height; ++k) image.rgb.insert(image.rgb.end(), {colour.r, colour.g, colour.b});
  return image;
}

TEST(SideBySide, TopsAlignedOnWhite) {
  const std::vector<Image> images{filled(4, 3, {9, 0, 0}), filled(5, 7, {0, 9, 0}), filled(1, 1, {0, 0, 9})};
  const Image joined = side_by_side(images);
  EXPECT_EQ(joined.height, 7);
  EXPECT_EQ(count(joined, {9, 0, 0}), 12);
  EXPECT_EQ(count(joined, {0, 9, 0}), 35);
  EXPECT_EQ(count(joined, {0, 0, 9}), 1);
  EXPECT_EQ(count(joined, kWhite), joined.width * 7 - 48);
  EXPECT_EQ(first(joined, {0, 9, 0}).y, 0);
  EXPECT_GT(first(joined, {0, 9, 0}).x, 4);
  EXPECT_EQ(at(joined, joined.width - 1, 0), (Colour{0, 0, 9}));
}

TEST(SideBySide, RefusesBrokenImages) {
  EXPECT_THROW(side_by_side({}), InvalidArgument);
  EXPECT_THROW(side_by_side(std::vector<Image>{Image{2, 2, {1, 2, 3}}}), InvalidArgument);
  EXPECT_THROW(side_by_side(std::vector<Image>(2, filled(9000, 1, {1, 2, 3}))), InvalidArgument);
}

TEST(Canvas, AStrokeCoversItsArea) {
  for (const double pen : {0.4, 1.0, 2.0, 5.0}) {
    const std::vector<Polyline> line{{{10, 20.3}, {60, 20.3}}};
    const Mask mask(line, pen, {0, 0, 100, 50});
    double total = 0;
    for (std::int64_t y = mask.area().top; y < mask.area().bottom(); ++y) total += mask.at(30, y);
    // The ramp of the edge is exact for a line along the pixels that is wider than one, and close for a thin one.
    EXPECT_NEAR(total, pen, pen >= 1 ? 1e-6 : 0.35) << pen;
  }
}

}  // namespace
}  // namespace lossatlas
