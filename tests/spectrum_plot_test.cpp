#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/image.hpp>

#include "picture/colormap.hpp"

namespace lossatlas {
namespace {

constexpr Colour kRed{204, 37, 41}, kBlue{0, 100, 180}, kGrey{108, 112, 122};

Spectrum spectrum(std::vector<double> eigenvalues, double threshold = 1e-11) {
  Spectrum result;
  result.eigenvalues = std::move(eigenvalues);
  result.zero.threshold = threshold;
  return result;
}

constexpr std::int64_t kTop = 62;  ///< below a title of one line and the legend

Image draw(std::vector<double> eigenvalues, double threshold = 1e-11) {
  return plot_spectrum(spectrum(std::move(eigenvalues), threshold), {.title = "title"});
}

Colour at(const Image& image, std::int64_t x, std::int64_t y) {
  const std::uint8_t* p = &image.rgb.at(static_cast<std::size_t>(3 * (y * image.width + x)));
  return {p[0], p[1], p[2]};
}

struct Place {
  double x = 0, y = 0;
  int pixels = 0;
};

/// The marks of a colour inside the plot, left to right: pixels with a gap of a column between them are two marks.
std::vector<Place> marks(const Image& image, Colour colour) {
  std::vector<Place> result;
  bool inside = false;
  for (std::int64_t x = 0; x < image.width; ++x) {
    Place column;
    for (std::int64_t y = kTop; y < image.height; ++y) {
      if (at(image, x, y) == colour)
        column = {column.x + static_cast<double>(x), column.y + static_cast<double>(y), column.pixels + 1};
    }
    if (column.pixels > 0) {
      if (!inside) result.emplace_back();
      Place& mark = result.back();
      mark = {mark.x + column.x, mark.y + column.y, mark.pixels + column.pixels};
    }
    inside = column.pixels > 0;
  }
  for (Place& mark : result) mark = {mark.x / mark.pixels, mark.y / mark.pixels, mark.pixels};
  return result;
}

/// Height of the dashed line: the row with most ink that is not an axis.
double line_height(const Image& image) {
  std::int64_t best = 0, most = 0;
  for (std::int64_t y = kTop; y < image.height; ++y) {
    std::int64_t ink = 0;
    for (std::int64_t x = 0; x < image.width; ++x) ink += at(image, x, y) == kInk ? 1 : 0;
    const bool axis = ink > image.width * 3 / 4;
    if (!axis && ink > most) most = ink, best = y;
  }
  return static_cast<double>(best);
}

TEST(SpectrumPlot, HasTheSizeAskedFor) {
  const Image image = plot_spectrum(spectrum({1, 2}), {.width = 333, .height = 222});
  EXPECT_EQ(image.width, 333);
  EXPECT_EQ(image.height, 222);
  EXPECT_EQ(image.rgb.size(), 3u * 333 * 222);
}

TEST(SpectrumPlot, SortsByMagnitudeAndColoursBySign) {
  const Image image = draw({-1, 1e-2, 1e2, 1e-20, -1e-4});
  const auto red = marks(image, kRed), blue = marks(image, kBlue), grey = marks(image, kGrey);
  ASSERT_EQ(red.size(), 2u);
  ASSERT_EQ(blue.size(), 2u);
  ASSERT_GE(grey.size(), 1u);
  // Order 1e2, −1, 1e-2, −1e-4, 0: equal steps to the right and, two decades each, down.
  const double step = blue[0].x - red[0].x, fall = blue[0].y - red[0].y;
  EXPECT_GT(step, 20);
  EXPECT_GT(fall, 5);
  EXPECT_NEAR(red[1].x - blue[0].x, step, 1.5);
  EXPECT_NEAR(blue[1].x - red[1].x, step, 1.5);
  EXPECT_NEAR(red[1].y - blue[0].y, fall, 1.5);
  EXPECT_NEAR(blue[1].y - red[1].y, fall, 1.5);
  EXPECT_GT(grey[0].x, blue[1].x);
}

TEST(SpectrumPlot, TheLineSeparatesZerosFromTheRest) {
  for (const double threshold : {1e-11, 1e-6}) {
    const Image image = draw({10, -6e-6, 3e-5, 5e-7, -1e-13, 0}, threshold);
    const double line = line_height(image);
    const auto red = marks(image, kRed), blue = marks(image, kBlue), grey = marks(image, kGrey);
    ASSERT_EQ(red.size(), threshold == 1e-6 ? 2u : 3u) << threshold;
    ASSERT_EQ(blue.size(), 1u) << threshold;
    ASSERT_GE(grey.size(), 2u) << threshold;
    for (const auto& list : {red, blue}) {
      for (const Place& mark : list) EXPECT_LT(mark.y, line) << threshold;
    }
    for (const Place& mark : grey) EXPECT_GT(mark.y, line) << threshold;
  }
}

TEST(SpectrumPlot, TheThresholdItselfCountsAsZero) {
  const Image image = draw({1, 1e-3}, 1e-3);
  EXPECT_EQ(marks(image, kRed).size(), 1u);
  EXPECT_GE(marks(image, kGrey).size(), 1u);
}

TEST(SpectrumPlot, ExactZerosAreDrawn) {
  const Image image = draw({0, 0, 0});
  EXPECT_EQ(marks(image, kRed).size() + marks(image, kBlue).size(), 0u);
  EXPECT_GE(marks(image, kGrey).size(), 3u);
}

TEST(SpectrumPlot, ThousandsOfMarksStayInsideTheAxes) {
  std::vector<double> values;
  for (int k = 0; k < 5000; ++k) values.push_back((k < 2500 ? 1 : -1) * std::exp(-0.01 * k));
  const Image image = draw(values);
  std::int64_t outside = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < 60; ++x) outside += at(image, x, y) == kRed || at(image, x, y) == kBlue ? 1 : 0;
  }
  EXPECT_EQ(outside, 0);
  EXPECT_GE(marks(image, kRed).size(), 1u);
  EXPECT_GE(marks(image, kBlue).size(), 1u);
}

TEST(SpectrumPlot, SurvivesExtremeValues) {
  const double huge = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  for (const auto& values : {std::vector<double>{huge, -huge, tiny, -tiny, 0}, {tiny}, {huge}, {0}, {1, 1, 1}}) {
    for (const double threshold : {0.0, tiny, 1e-11, 1.0, huge}) {
      EXPECT_NO_THROW(plot_spectrum(spectrum(values, threshold))) << values.front() << " " << threshold;
    }
  }
}

TEST(SpectrumPlot, SpectraSideBySideHaveOneScale) {
  const std::vector<Spectrum> spectra = {spectrum({100, -1}), spectrum({1, 1e-3, 1e-15})};
  const std::vector<std::string> titles = {"left", "right"};
  const Image image = plot_spectra(spectra, titles);
  const auto red = marks(image, kRed), blue = marks(image, kBlue);
  ASSERT_EQ(red.size(), 3u);
  ASSERT_EQ(blue.size(), 1u);
  EXPECT_NEAR(blue[0].y, red[1].y, 1) << "both have the magnitude 1";
  EXPECT_GT(blue[0].y, red[0].y + 5);
  EXPECT_THROW(plot_spectra(spectra, std::span(titles).first(1)), InvalidArgument);
  EXPECT_THROW(plot_spectra({}, {}), InvalidArgument);
}

TEST(SpectrumPlot, SpectraSideBySideStandAtOneHeightWhateverTheirTitles) {
  const std::vector<Spectrum> spectra(2, spectrum({3, 1e-2}));
  const std::vector<std::string> titles = {"one line", "two\nlines"};
  const auto red = marks(plot_spectra(spectra, titles), kRed);
  ASSERT_EQ(red.size() % 2, 0u);
  for (std::size_t k = 0; k < red.size() / 2; ++k) EXPECT_EQ(red[k].y, red[k + red.size() / 2].y);
}

TEST(SpectrumPlot, TitlesBreakAtLineEnds) {
  const auto first_row = [](const char* title) {
    const Image image = plot_spectrum(spectrum({1, 2}), {.title = title});
    return marks(image, kRed).front().y;
  };
  EXPECT_GT(first_row("two\nlines"), first_row("two lines") + 5);
}

/// No line of the grid between the words: over them the plot is white but for their ink.
TEST(SpectrumPlot, TheGridDoesNotStrikeTheThresholdThrough) {
  const Image image = draw({1, 1e-3, 1e-20});
  const auto line = static_cast<std::int64_t>(line_height(image));
  std::int64_t left = 0;
  while (at(image, left, line) != kInk) ++left;
  std::int64_t grid = 0;
  for (std::int64_t y = line - 14; y < line; ++y) grid += at(image, left + 10, y) == kGridLine;
  EXPECT_EQ(grid, 0);
}

TEST(SpectrumPlot, RefusesWhatItCannotDraw) {
  const double nan = std::nan("");
  EXPECT_THROW(plot_spectrum(spectrum({})), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1, nan})), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1, HUGE_VAL})), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1}, nan)), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1}, -1)), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1}), {.width = 0}), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1}), {.height = 16385}), InvalidArgument);
  EXPECT_THROW(plot_spectrum(spectrum({1}), {.title = std::string(4000, 'x')}), InvalidArgument);
}

}  // namespace
}  // namespace lossatlas
