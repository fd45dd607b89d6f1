#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/section.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

const Network kNetwork = mlp({3, 4, 2}, Activation::tanh);

double norm(std::span<const double> v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

TEST(Section, LineAndPlaneHitTheirPointsExactly) {
  std::vector<double> a = random_parameters(kNetwork, {.seed = 1}), b = random_parameters(kNetwork, {.seed = 2});
  const std::vector<double> c = random_parameters(kNetwork, {.seed = 3});
  a[0] = 1, b[0] = 1e-20;  // a + (b − a) rounds to 0 here
  const Section line = line_section(kNetwork, a, b);
  EXPECT_EQ(line.at(std::vector{0.0}), a);
  EXPECT_EQ(line.at(std::vector{1.0}), b);
  const Section plane = plane_section(kNetwork, a, b, c);
  EXPECT_EQ(plane.rank(), 2);
  EXPECT_EQ(plane.at(std::vector{0.0, 0.0}), a);
  EXPECT_EQ(plane.at(std::vector{1.0, 0.0}), b);
  EXPECT_EQ(plane.at(std::vector{0.0, 1.0}), c);
  const std::vector<double> middle = plane.at(std::vector{0.5, 0.25});
  for (std::size_t m = 0; m < a.size(); ++m) {
    EXPECT_NEAR(middle[m], a[m] + 0.5 * (b[m] - a[m]) + 0.25 * (c[m] - a[m]), 1e-15);
  }
}

TEST(Section, EndsMustFitTheDirections) {
  Section line =
      line_section(kNetwork, random_parameters(kNetwork, {.seed = 1}), random_parameters(kNetwork, {.seed = 2}));
  line.ends.pop_back();
  EXPECT_ERROR(line.at(std::vector{1.0}), InvalidArgument, "25 entries of ends");
}

TEST(Section, AtIsAffine) {
  const Network network = mlp({1, 1}, Activation::tanh);
  const Section section = make_section(network, {1, 2}, {10, 0, 0, 100});
  EXPECT_EQ(section.at(std::vector{0.5, -1.0}), (std::vector<double>{6, -98}));
  EXPECT_ERROR(section.at(std::vector{0.5}), InvalidArgument, "1 coordinates, expected 2");
}

TEST(RandomDirections, FilterNormalisation) {
  const std::vector<double> theta = random_parameters(kNetwork, {.seed = 4});
  const std::vector<double> d = random_directions(kNetwork, theta, {.count = 3, .seed = 9});
  ASSERT_EQ(d.size(), 3 * theta.size());
  for (std::size_t i = 0; i < 3; ++i) {
    const std::span<const double> direction(d.data() + i * theta.size(), theta.size());
    for (const std::int64_t layer : {0, 1}) {
      const auto mine = kNetwork.view(direction, layer), reference = kNetwork.view(theta, layer);
      for (std::int64_t row = 0; row < mine.weight.out; ++row) {
        EXPECT_NEAR(norm(mine.weight.row(row)), norm(reference.weight.row(row)), 1e-14);
      }
      for (const double bias : mine.bias) EXPECT_EQ(bias, 0);
    }
  }
}

TEST(RandomDirections, LayerNormalisationAndBiases) {
  const std::vector<double> theta = random_parameters(kNetwork, {.seed = 4});
  const auto layer = random_directions(
      kNetwork, theta, {.count = 1, .normalisation = Normalisation::layer, .bias = BiasDirection::scaled});
  const auto mine = kNetwork.view(layer, 0), reference = kNetwork.view(theta, 0);
  EXPECT_NEAR(norm({mine.weight.data, 12}), norm({reference.weight.data, 12}), 1e-14);
  EXPECT_NEAR(norm(mine.bias), norm(reference.bias), 1e-14);
  const auto copied = random_directions(kNetwork, theta, {.count = 1, .bias = BiasDirection::copy});
  EXPECT_EQ(kNetwork.view(copied, 1).bias[1], kNetwork.view(theta, 1).bias[1]);
  const auto raw = random_directions(kNetwork, theta, {.count = 1, .seed = 1, .normalisation = Normalisation::none});
  const auto one = random_directions(kNetwork, std::vector<double>(theta.size(), 0.0), {.count = 1, .seed = 1});
  EXPECT_EQ(norm(one), 0);  // filters of norm 0
  EXPECT_GT(norm(raw), 1);
}

TEST(Section, CosinesAndOrthogonalisation) {
  const Network network = mlp({1, 2}, Activation::tanh);
  const Section section = make_section(network, {0, 0, 0, 0}, {1, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 2});
  const std::vector<double> cosines = direction_cosines(section);
  EXPECT_DOUBLE_EQ(cosines[0 * 3 + 1], 0.6);
  EXPECT_DOUBLE_EQ(cosines[1 * 3 + 0], 0.6);
  EXPECT_EQ(cosines[4], 1);
  EXPECT_EQ(cosines[2], 0);
  const Section made = orthogonalised(section);
  const std::vector<double> after = direction_cosines(made);
  EXPECT_NEAR(after[1], 0, 1e-15);
  EXPECT_NEAR(norm(made.direction(1)), 5, 1e-14);
  EXPECT_EQ(section.directions[4], 3);  // the original is untouched
  const Section dependent = make_section(network, {0, 0, 0, 0}, {1, 0, 0, 0, 2, 0, 0, 0});
  EXPECT_ERROR(orthogonalised(dependent), InvalidArgument, "direction 1 in the span");
}

TEST(Section, BadArguments) {
  const std::vector<double> theta(26);
  EXPECT_ERROR(make_section(kNetwork, std::vector<double>(25), theta), InvalidArgument, "25 entries");
  EXPECT_ERROR(make_section(kNetwork, theta, std::vector<double>(27)), InvalidArgument, "27 entries of directions");
  EXPECT_ERROR(make_section(kNetwork, theta, {}), InvalidArgument, "0 entries");
  std::vector<double> bad = theta;
  bad[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(make_section(kNetwork, theta, bad), InvalidArgument, "entry 3");
  EXPECT_ERROR(line_section(kNetwork, theta, bad), InvalidArgument, "b with entry 3");
  EXPECT_ERROR(random_directions(kNetwork, theta, {.count = 0}), InvalidArgument, "count 0");
}

}  // namespace
}  // namespace lossatlas
