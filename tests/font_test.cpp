#include <gtest/gtest.h>

#include <set>

#include "picture/font.hpp"

namespace lossatlas {
namespace {

std::vector<double> flat(const Character& shape) {
  std::vector<double> result;
  for (const Polyline& line : shape.strokes) {
    for (const Point p : line) result.insert(result.end(), {p.x, p.y});
    result.push_back(1e9);
  }
  return result;
}

TEST(Font, EveryAsciiCharacterIsDrawnAndDifferent) {
  std::set<std::vector<double>> shapes{flat(character(U'\uFFFD'))};
  for (char32_t code = 32; code < 127; ++code) {
    const Character& shape = character(code);
    EXPECT_EQ(shape.strokes.empty(), code == U' ') << static_cast<int>(code);
    EXPECT_TRUE(shapes.insert(flat(shape)).second) << static_cast<int>(code) << " looks like another one";
  }
}

TEST(Font, StrokesStayInTheirCell) {
  std::u32string codes = U"αθσπλδΣΠ×½−±·–…≤≥→∞°⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉";
  for (char32_t code = 32; code < 127; ++code) codes += code;
  const std::vector<double> box = flat(character(U'\uFFFD'));
  for (const char32_t code : codes) {
    const Character& shape = character(code);
    EXPECT_NE(flat(shape), box) << static_cast<unsigned>(code);
    for (const Polyline& line : shape.strokes) {
      EXPECT_GE(line.size(), 2u) << static_cast<unsigned>(code);
      for (const Point p : line) {
        EXPECT_GE(p.x, -0.05) << static_cast<unsigned>(code);
        EXPECT_LE(p.x, shape.width + 0.05) << static_cast<unsigned>(code);
        EXPECT_GE(p.y, -0.35) << static_cast<unsigned>(code);
        EXPECT_LE(p.y, 1.25) << static_cast<unsigned>(code);
      }
    }
  }
}

TEST(Font, UnknownCharactersAreABox) {
  EXPECT_EQ(flat(character(U'漢')), flat(character(U'\uFFFD')));
  EXPECT_EQ(flat(character(0)), flat(character(U'\uFFFD')));
}

TEST(Utf8, WellFormedAndMalformed) {
  EXPECT_EQ(decode_utf8("aα²→😀"), U"aα²→😀");
  EXPECT_EQ(decode_utf8("\xff"), U"\uFFFD");
  EXPECT_EQ(decode_utf8("\xce"), U"\uFFFD");
  EXPECT_EQ(decode_utf8("\xce"
                        "a"),
            U"\uFFFDa");
  EXPECT_EQ(decode_utf8("\xb1"), U"\uFFFD");
  EXPECT_EQ(decode_utf8("\xf0\x9f\x98"), U"\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8(""), U"");
}

TEST(Font, TextIsAsLongAsItsCharacters) {
  EXPECT_NEAR(text_width("ab", 10) + text_width("c", 10), text_width("abc", 10), 1e-12);
  EXPECT_NEAR(text_width("abc", 20), 2 * text_width("abc", 10), 1e-12);
  EXPECT_EQ(text_width("", 10), 0);
  for (const Polyline& line : text_strokes("loss", 10)) {
    for (const Point p : line) {
      EXPECT_GT(p.x, 0);
      EXPECT_LT(p.x, text_width("loss", 10));
    }
  }
}

}  // namespace
}  // namespace lossatlas
