#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/decimal.hpp"

namespace lossatlas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Decimal, BelowTheLeastSubnormalIsZero) {
  const std::string zeros(400, '0');
  for (const std::string text :
       {"1e-400", "0.00001e-395", "123456e-500", "1e-99999999999999999999999", "2e-324", "0.0e-400"}) {
    const auto value = parse_decimal(text);
    ASSERT_TRUE(value.has_value()) << text;
    EXPECT_EQ(*value, 0) << text;
    EXPECT_FALSE(std::signbit(*value)) << text;
  }
  EXPECT_EQ(parse_decimal("0." + zeros + "1"), 0.0);
  EXPECT_EQ(parse_decimal("." + zeros + "1"), 0.0);
  EXPECT_TRUE(std::signbit(*parse_decimal("-1e-400")));
}

TEST(Decimal, SubnormalsAreExact) {
  EXPECT_EQ(parse_decimal("5e-324"), 5e-324);
  EXPECT_EQ(parse_decimal("3e-324"), 5e-324);
  EXPECT_EQ(parse_decimal("-1e-310"), -1e-310);
  EXPECT_EQ(parse_decimal("2.2250738585072011e-308"), 2.2250738585072011e-308);
}

TEST(Decimal, AboveTheLargestIsInfinite) {
  const std::string zeros(400, '0');
  const std::vector<std::string> texts = {"1e400",   "1" + zeros,           "0.001e+312", "1e99999999999999999999",
                                          "1.8e308", "0." + zeros + "1e800"};
  for (const std::string& text : texts) {
    EXPECT_EQ(parse_decimal(text), kInfinity) << text;
    EXPECT_EQ(parse_decimal("-" + text), -kInfinity) << text;
  }
  EXPECT_EQ(parse_decimal("inf"), kInfinity);
  EXPECT_TRUE(std::isnan(*parse_decimal("nan")));
}

TEST(Decimal, TakesTheWholeTextOnly) {
  for (const char* text : {"", " 1", "1 ", "1x", "x", "1e", "0x10", "1,5", "--1", "1e-400x"}) {
    EXPECT_FALSE(parse_decimal(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace lossatlas
