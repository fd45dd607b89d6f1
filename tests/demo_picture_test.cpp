#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include <lossatlas/error.hpp>
#include <lossatlas/pattern.hpp>

namespace lossatlas {
namespace {

TEST(DemoPicture, IsAnRgbPatternInTheUnitInterval) {
  const Pattern picture = demo_picture();
  EXPECT_EQ(picture.shape(), (std::vector<std::int64_t>{128, 128}));
  EXPECT_EQ(picture.channels(), 3);
  for (const double value : picture.values()) {
    ASSERT_GE(value, 0);
    ASSERT_LE(value, 1);
  }
}

TEST(DemoPicture, HasEdgesAndSmoothShading) {
  const Pattern picture = demo_picture();
  EXPECT_GE(picture.edge_fraction(0.1), 0.08);
  EXPECT_LE(picture.edge_fraction(0.1), 0.14);
  // Between the edges hardly two neighbours are equal: colours run smoothly.
  EXPECT_GT(picture.edge_fraction(1e-4), 0.95);
}

TEST(DemoPicture, ThreeHeadsDiffer) {
  const Pattern picture = demo_picture();
  double difference = 0;
  for (std::int64_t g = 0; g < picture.size(); ++g) difference += std::abs(picture.at(g, 0) - picture.at(g, 2));
  EXPECT_GT(difference / static_cast<double>(picture.size()), 0.1);
}

TEST(DemoPicture, IsFixed) {
  const Pattern picture = demo_picture();
  std::array<double, 3> mean{};
  for (std::int64_t g = 0; g < picture.size(); ++g) {
    for (std::int64_t k = 0; k < 3; ++k) mean[static_cast<std::size_t>(k)] += picture.at(g, k) / 16384;
  }
  // Recorded when the picture was drawn; a sample on an edge moves a mean by at most 1/(16 · 16384).
  const std::array<double, 3> expected{0.483045, 0.499028, 0.502988};
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(mean[k], expected[k], 2e-5) << k;
}

TEST(DemoPicture, IsTheSamePictureAtEverySize) {
  const Pattern coarse = demo_picture(64), fine = demo_picture(128);
  double square = 0;
  for (std::int64_t row = 0; row < 64; ++row) {
    for (std::int64_t column = 0; column < 64; ++column) {
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t corner = 2 * row * 128 + 2 * column;
        const double mean =
            (fine.at(corner, k) + fine.at(corner + 1, k) + fine.at(corner + 128, k) + fine.at(corner + 129, k)) / 4;
        square += std::pow(mean - coarse.at(row * 64 + column, k), 2);
      }
    }
  }
  // The two differ by how finely an edge is sampled: up to 1/16 of a step, on the pixels with edges.
  EXPECT_LT(std::sqrt(square / (3 * 64 * 64)), 0.02);
}

TEST(DemoPicture, RefusesOtherSizes) {
  for (const std::int64_t size : {-1, 0, 15, 5000}) EXPECT_THROW(demo_picture(size), InvalidArgument) << size;
  EXPECT_EQ(demo_picture(16).size(), 256);
}

}  // namespace
}  // namespace lossatlas
