#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace lossatlas {
namespace {

using Block = std::array<std::uint32_t, 4>;

// The known answers published with the generator (Random123, kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, FirstWordsAreTheFirstBlock) {
  Random random(0);
  const Block block = philox({0, 0, 0, 0}, {0, 0});
  for (const std::uint32_t word : block) EXPECT_EQ(random.bits(), word);
  EXPECT_EQ(random.bits(), philox({1, 0, 0, 0}, {0, 0})[0]);
}

TEST(Random, SeedsAndStreamsDiffer) {
  EXPECT_EQ(Random(7, 3).normal(), Random(7, 3).normal());
  EXPECT_NE(Random(7, 3).normal(), Random(8, 3).normal());
  EXPECT_NE(Random(7, 3).normal(), Random(7, 4).normal());
}

TEST(Random, UniformMomentsAndRange) {
  Random random(11);
  constexpr int kCount = 200000;
  double sum = 0, square = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    square += u * u;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));  // five standard errors
  EXPECT_NEAR(square / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount));
}

TEST(Random, NormalMoments) {
  Random random(12);
  constexpr int kCount = 200000;
  std::array<double, 4> moment{};
  for (int i = 0; i < kCount; ++i) {
    const double x = random.normal();
    for (double power = x; double& m : moment) m += power / kCount, power *= x;
  }
  EXPECT_NEAR(moment[0], 0, 5 * std::sqrt(1.0 / kCount));
  EXPECT_NEAR(moment[1], 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(moment[2], 0, 5 * std::sqrt(15.0 / kCount));
  EXPECT_NEAR(moment[3], 3, 5 * std::sqrt(96.0 / kCount));
}

TEST(Random, BelowCoversItsRangeEvenly) {
  Random random(13);
  std::array<int, 7> count{};
  for (int i = 0; i < 70000; ++i) ++count[static_cast<std::size_t>(random.below(7))];
  for (const int c : count) EXPECT_NEAR(c, 10000, 5 * std::sqrt(10000.0));
}

}  // namespace
}  // namespace lossatlas
