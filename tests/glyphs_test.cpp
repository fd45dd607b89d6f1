#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <lossatlas/dataset.hpp>
#include <lossatlas/error.hpp>

namespace lossatlas {
namespace {

constexpr std::int64_t kPixels = 28 * 28;

TEST(Glyphs, AreTenClassesOfGreyImages) {
  const Dataset data = glyphs(500);
  EXPECT_EQ(data.size(), 500);
  EXPECT_EQ(data.features(), kPixels);
  EXPECT_EQ(data.outputs(), 10);
  EXPECT_TRUE(data.has_labels());
  for (const double value : data.inputs()) {
    ASSERT_GE(value, 0);
    ASSERT_LE(value, 1);
    ASSERT_NEAR(value * 255, std::round(value * 255), 1e-9);
  }
}

TEST(Glyphs, ASampleDependsOnTheSeedAndItsPlaceOnly) {
  const Dataset few = glyphs(20, {.seed = 5}), many = glyphs(60, {.seed = 5}), other = glyphs(20, {.seed = 6});
  EXPECT_TRUE(std::equal(few.inputs().begin(), few.inputs().end(), many.inputs().begin()));
  EXPECT_TRUE(std::equal(few.labels().begin(), few.labels().end(), many.labels().begin()));
  EXPECT_FALSE(std::equal(few.inputs().begin(), few.inputs().end(), other.inputs().begin()));
}

TEST(Glyphs, AreFixed) {
  const Dataset data = glyphs(100);
  const double bytes = 255 * std::accumulate(data.inputs().begin(), data.inputs().end(), 0.0);
  // Recorded when the digits were drawn; a last bit of the mathematics library may move one byte by one.
  EXPECT_NEAR(bytes, 2760643, 3);
  const std::vector<std::int32_t> expected{3, 5, 0, 9, 9, 7, 4, 8, 2, 9, 1, 0};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), data.labels().begin()));
}

TEST(Glyphs, ClassesAreUniform) {
  const Dataset data = glyphs(4000, {.seed = 3});
  std::array<double, 10> counts{};
  for (const std::int32_t label : data.labels()) ++counts[static_cast<std::size_t>(label)];
  double chi_square = 0;
  for (const double n : counts) chi_square += (n - 400) * (n - 400) / 400;
  EXPECT_LT(chi_square, 27.9);  // the 0.999 quantile at 9 degrees of freedom; the seed is fixed
}

TEST(Glyphs, SamplesOfAClassVary) {
  const Dataset data = glyphs(200, {.seed = 4});
  for (std::int64_t a = 0; a < 200; ++a) {
    for (std::int64_t b = 0; b < a; ++b) {
      double square = 0;
      for (std::int64_t k = 0; k < kPixels; ++k) {
        const double difference =
            data.input(a)[static_cast<std::size_t>(k)] - data.input(b)[static_cast<std::size_t>(k)];
        square += difference * difference;
      }
      ASSERT_GT(square, 1) << a << " and " << b << " are nearly equal";
    }
  }
}

TEST(Glyphs, TheNearestClassMeanIsOftenRight) {
  const Dataset train = glyphs(1500, {.seed = 1}), test = glyphs(500, {.seed = 2});
  std::vector<double> means(10 * kPixels);
  std::array<double, 10> counts{};
  for (std::int64_t n = 0; n < train.size(); ++n) {
    const auto label = static_cast<std::size_t>(train.labels()[static_cast<std::size_t>(n)]);
    ++counts[label];
    for (std::size_t k = 0; k < kPixels; ++k) means[label * kPixels + k] += train.input(n)[k];
  }
  std::int64_t right = 0;
  for (std::int64_t n = 0; n < test.size(); ++n) {
    std::size_t nearest = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < 10; ++c) {
      double square = 0;
      for (std::size_t k = 0; k < kPixels; ++k)
        square += std::pow(means[c * kPixels + k] / counts[c] - test.input(n)[k], 2);
      if (square < least) {
        least = square;
        nearest = c;
      }
    }
    right += static_cast<std::size_t>(test.labels()[static_cast<std::size_t>(n)]) == nearest ? 1 : 0;
  }
  EXPECT_GE(right, 300) << "of 500";
  EXPECT_LE(right, 475) << "of 500: the digits vary too little";
}

TEST(Glyphs, RefuseNoSamples) {
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-3}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_THROW(glyphs(n), InvalidArgument) << n;
  }
}

}  // namespace
}  // namespace lossatlas
