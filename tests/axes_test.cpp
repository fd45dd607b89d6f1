#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.hpp"
#include "picture/axes.hpp"

namespace lossatlas {
namespace {

using Labels = std::vector<std::string>;

TEST(RoundTicks, KnownRanges) {
  EXPECT_EQ(round_ticks(0, 1, 6).labels, (Labels{"0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(round_ticks(0, 1, 6).values[3], 0.6);
  EXPECT_EQ(round_ticks(-1, 1, 5).labels, (Labels{"−1.0", "−0.5", "0", "0.5", "1.0"}));
  EXPECT_EQ(round_ticks(1, -1, 3).labels, (Labels{"−1", "0", "1"}));
  EXPECT_EQ(round_ticks(2.2, 9.7, 4).labels, (Labels{"4", "6", "8"}));
  EXPECT_EQ(round_ticks(0, 3e-7, 4).labels, (Labels{"0", "1×10⁻⁷", "2×10⁻⁷", "3×10⁻⁷"}));
  EXPECT_EQ(round_ticks(0, 2e6, 3).labels, (Labels{"0", "1×10⁶", "2×10⁶"}));
  EXPECT_EQ(round_ticks(0.25, 0.25, 8).labels, (Labels{"0.25"}));
}

TEST(RoundTicks, AreEvenInsideAndFew) {
  const std::uint64_t seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int trial = 0; trial < 2000; ++trial) {
    const double lo = random.normal() * std::pow(10, random.uniform(-12, 12));
    const double hi = lo + std::abs(lo) * std::pow(10, random.uniform(-6, 3));
    const std::int64_t most = 2 + random.below(8);
    const Ticks ticks = round_ticks(lo, hi, most);
    ASSERT_GE(ticks.values.size(), 2u) << lo << " " << hi;
    ASSERT_LE(static_cast<std::int64_t>(ticks.values.size()), most) << lo << " " << hi;
    ASSERT_EQ(ticks.values.size(), ticks.labels.size());
    const double slack = 1e-6 * (hi - lo);
    for (std::size_t k = 0; k < ticks.values.size(); ++k) {
      ASSERT_GE(ticks.values[k], lo - slack);
      ASSERT_LE(ticks.values[k], hi + slack);
      if (k > 0) {
        ASSERT_NE(ticks.labels[k], ticks.labels[k - 1]) << lo << " " << hi;
      }
      if (k > 1) {
        ASSERT_NEAR(ticks.values[k] - ticks.values[k - 1], ticks.values[1] - ticks.values[0], slack);
      }
    }
  }
}

TEST(RoundTicks, SurviveExtremeRanges) {
  const double huge = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(round_ticks(-huge, huge, 5).values.size(), 2u);
  EXPECT_EQ(round_ticks(0, tiny, 5).values.size(), 2u);
  EXPECT_EQ(round_ticks(1, std::nextafter(1, 2), 5).values.size(), 2u);
  EXPECT_EQ(round_ticks(0, 1, 1).values.size(), 1u);
}

TEST(FittingTicks, LabelsDoNotTouch) {
  for (const double pixels : {5.0, 30.0, 60.0, 128.0, 512.0, 4000.0}) {
    for (const double hi : {1.0, 0.123, 1e7, 1e-9}) {
      const Ticks ticks = fitting_ticks(0, hi, pixels, 9, false);
      for (std::size_t k = 1; k < ticks.values.size(); ++k) {
        EXPECT_GT((ticks.values[k] - ticks.values[k - 1]) / hi * pixels, ticks.widest(9)) << pixels << " " << hi;
      }
    }
  }
}

TEST(NumberLabel, UsesATrueMinusAndPowers) {
  EXPECT_EQ(number_label(-0.25), "−0.25");
  EXPECT_EQ(number_label(0), "0");
  EXPECT_EQ(number_label(1.5e-7), "1.5×10⁻⁷");
  EXPECT_EQ(number_label(2.302585), "2.303");
  EXPECT_EQ(number_label(1e10), "1×10¹⁰");
}

TEST(Position, IsExactAtTheEndsAndNeverOverflows) {
  const double huge = std::numeric_limits<double>::max();
  EXPECT_EQ(position(-huge, -huge, huge), 0);
  EXPECT_EQ(position(huge, -huge, huge), 1);
  EXPECT_EQ(position(3, 3, 3), 0.5);
  const double tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(position(tiny, 0, tiny), 1);
  EXPECT_EQ(position(2, 4, 0), 0.5);
}

TEST(Wrap, LinesFitAndKeepTheWords) {
  const std::string text =
      "the loss surface of a network on its training set and averyveryverylongwordwithoutaspace at αααααααααααααα";
  for (const double width : {60.0, 100.0, 250.0, 5000.0}) {
    std::string joined;
    for (const std::string& line : wrap(text, width, 9)) {
      EXPECT_LE(text_width(line, 9), width + 1e-9);
      joined += line;
    }
    const auto bare = [](std::string s) {
      std::erase(s, ' ');
      return s;
    };
    EXPECT_EQ(bare(joined), bare(text)) << width;
  }
  EXPECT_EQ(wrap("two words", 1000, 9), (Labels{"two words"}));
  EXPECT_TRUE(wrap("", 100, 9).empty());
}

}  // namespace
}  // namespace lossatlas
