// Sections whose parts overflow where their parameters do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <lossatlas/landscape.hpp>
#include <string>

#include "reference/oracle.hpp"
#include "section_instance.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Support kSupports[] = {Support::all,      Support::upper,    Support::last,
                                 Support::theorem1, Support::theorem2, Support::first_biases};

Instance instance_of(Support support, Loss loss, std::uint64_t seed = 3) {
  return make_instance({.widths = {3, 5, 4, 2},
                        .loss = loss,
                        .targets = loss == Loss::cross_entropy ? Targets::labels : Targets::real,
                        .support = support,
                        .samples = 9,
                        .points = 4,
                        .seed = seed});
}

/// Against R at the parameters of each point, which are formed first.
void expect_as_formed_first(const Instance& instance, const Landscape& landscape, Precision precision,
                            const std::string& what) {
  const Surface surface = landscape.evaluate(instance.section, instance.points, {.precision = precision});
  const double tolerance = precision == Precision::f64 ? 1e-12 : precision == Precision::f32 ? 1e-5 : 2e-3;
  const auto rank = static_cast<std::size_t>(instance.section.rank());
  for (std::size_t g = 0; g < static_cast<std::size_t>(instance.count()); ++g) {
    const std::vector<double> theta = instance.section.at(std::span(instance.points).subspan(g * rank, rank));
    const double expected = landscape.evaluate(theta).loss();
    EXPECT_TRUE(std::isfinite(expected)) << what;
    const double scale = expected + reference::mean_max_output(instance.network, theta, instance.data);
    EXPECT_NEAR(surface.total(static_cast<std::int64_t>(g)), expected, tolerance * scale)
        << what << ", point " << g << '\n'
        << surface.plan;
    // As on its own: neither the other points nor a grid's shape change a bit.
    const auto alone = std::span(instance.points).subspan(g * rank, rank);
    EXPECT_EQ(landscape.evaluate(instance.section, alone, {.precision = precision}).losses[0], surface.losses[g]);
  }
}

template <class Change>
void expect_of_every_plan(Change&& change) {
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    for (const Support support : kSupports) {
      for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
        Instance instance = instance_of(support, loss);
        change(instance);
        const Landscape landscape(instance.network, instance.data, loss, test_device());
        expect_as_formed_first(instance, landscape, precision,
                               std::string(name(loss)) + ", support " + std::to_string(static_cast<int>(support)) +
                                   ", " + name(precision));
      }
    }
  }
}

TEST(SectionRange, DirectionsOfAnySizeGiveTheLossOfTheParameters) {
  for (const double size : {1e30, 1e150, 1e308}) {
    expect_of_every_plan([&](Instance& instance) {
      for (double& entry : instance.section.directions) entry = std::clamp(entry, -1.0, 1.0) * size;
      for (double& alpha : instance.points) alpha /= size;
      instance.points[0] = instance.points[1] = 0;
    });
  }
}

TEST(SectionRange, OriginsAndPointsThatCancelGiveTheLossOfTheParameters) {
  constexpr double kSize = 1e307;
  expect_of_every_plan([&](Instance& instance) {  // θ₀ − θ₀ + α d
    auto& [origin, directions, ends] = instance.section;
    for (std::size_t m = 0; m < origin.size(); ++m) {
      if (directions[m] != 0) origin[m] = directions[m] = std::clamp(directions[m], -1.0, 1.0) * kSize;
    }
    for (std::size_t g = 0; g < 4; ++g) instance.points[2 * g] = -1;
  });
  expect_of_every_plan([&](Instance& instance) {  // two equal directions, opposite coordinates
    auto& directions = instance.section.directions;
    const std::size_t count = instance.section.origin.size();
    for (std::size_t m = 0; m < count; ++m) {
      directions[count + m] = directions[m] = std::clamp(directions[m], -1.0, 1.0);
    }
    for (std::size_t g = 0; g < 4; ++g) {
      instance.points[2 * g] = kSize * static_cast<double>(g + 1);
      instance.points[2 * g + 1] = -kSize * static_cast<double>(g + 1);
    }
  });
}

TEST(SectionRange, InputsOfAnySizeGiveTheLossOfTheParameters) {
  for (const double size : {1e45, 1e300}) {
    Instance instance = instance_of(Support::first, Loss::cross_entropy);
    std::vector<double> inputs(instance.data.inputs().begin(), instance.data.inputs().end());
    for (double& x : inputs) x *= size;
    instance.data = Dataset::classification(inputs, 3, {instance.data.labels().begin(), instance.data.labels().end()},
                                            instance.data.outputs());
    const auto shrink = [&](std::span<double> theta) {
      for (double& weight : theta.first(15)) weight /= size;
    };
    shrink(instance.section.origin);
    for (std::size_t i = 0; i < 2; ++i) {
      shrink(std::span(instance.section.directions).subspan(i * instance.section.origin.size()));
    }
    const Landscape landscape(instance.network, instance.data, Loss::cross_entropy, test_device());
    for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
      expect_as_formed_first(instance, landscape, precision, name(precision));
    }
  }
}

TEST(SectionRange, WhatIsNotFiniteStaysSo) {
  for (const Support support : kSupports) {
    Instance instance = instance_of(support, Loss::mean_squared_error);
    for (double& alpha : instance.points) alpha = 1e308;
    for (double& entry : instance.section.directions) entry *= 1e10;
    const Landscape landscape(instance.network, instance.data, Loss::mean_squared_error, test_device());
    const Surface surface = landscape.evaluate(instance.section, instance.points);
    for (std::size_t g = 0; g < 4; ++g) {
      const auto alpha = std::span<const double>(instance.points).subspan(2 * g, 2);
      const double expected = landscape.evaluate(instance.section.at(alpha)).loss();
      EXPECT_TRUE(reference::near(surface.losses[g], expected, 0)) << surface.losses[g] << " for " << expected;
    }
  }
}

TEST(SectionRange, OutputsAreThoseOfTheParameters) {
  Instance instance = instance_of(Support::theorem1, Loss::cross_entropy);
  const Landscape landscape(instance.network, instance.data, Loss::cross_entropy, test_device());
  const std::vector<double> expected = landscape.outputs(instance.section, instance.points);
  for (double& entry : instance.section.directions) entry *= 0x1p1015;
  for (double& alpha : instance.points) alpha *= 0x1p-1015;
  EXPECT_LE(reference::max_difference(landscape.outputs(instance.section, instance.points), expected), 1e-12);
}

TEST(SectionRange, ThePlanSaysWhatRan) {
  Instance instance = instance_of(Support::first, Loss::cross_entropy);
  const Landscape landscape(instance.network, instance.data, Loss::cross_entropy, test_device());
  const EvaluateOptions single{.precision = Precision::f32};
  const Surface ordinary = landscape.evaluate(instance.section, instance.points, single);
  EXPECT_THAT(ordinary.plan, Not(HasSubstr("range:")));
  EXPECT_EQ(ordinary.precision, Precision::f32);

  Section huge = instance.section;
  for (double& entry : huge.directions) entry *= 1e100;
  const Surface wide = landscape.evaluate(huge, instance.points, single);
  EXPECT_THAT(wide.plan, HasSubstr("plan: joint"));
  EXPECT_EQ(wide.precision, Precision::f64);
  EXPECT_THAT(landscape.explain(huge, 4, single), HasSubstr("f64"));
  EXPECT_EQ(section_cost(landscape, huge, 4, single).precision, Precision::f64);

  for (double& entry : huge.directions) entry *= 1e205;
  for (const std::string& text : {landscape.evaluate(huge, instance.points).plan, landscape.explain(huge, 4)}) {
    EXPECT_THAT(text, HasSubstr("plan: direct"));
    EXPECT_THAT(text, HasSubstr("range: the parts of a shortcut may overflow"));
  }
  instance.points = {1, 2, 1e305, 1, 0, 3, 1, -1e306};
  const Surface some = landscape.evaluate(instance.section, instance.points);
  EXPECT_THAT(some.plan, HasSubstr("plan: joint"));
  EXPECT_THAT(some.plan, HasSubstr("range: the plan's parts overflow at 2 points"));
}

// A grid whose range is longer than the largest double.
TEST(SectionRange, GridsReachFromOneEndOfTheNumbersToTheOther) {
  const Grid grid({{-1e308, 1e308, 5}, {1.7e308, -1.7e308, 4}});
  const std::vector<double> down = {1.7e308, 1.7e308 / 3, -1.7e308 / 3, -1.7e308};
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_DOUBLE_EQ(grid.axes()[0].at(i), 5e307 * static_cast<double>(i - 2));
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(grid.axes()[1].at(i), down[static_cast<std::size_t>(i)]);

  Instance instance = instance_of(Support::all, Loss::cross_entropy);
  for (double& entry : instance.section.directions) entry *= 1e-308;
  const Landscape landscape(instance.network, instance.data, Loss::cross_entropy, test_device());
  std::vector<double> points(40);
  grid.points(0, 20, points);
  const Surface surface = landscape.evaluate(instance.section, grid);
  EXPECT_EQ(surface.nonfinite, 0);
  EXPECT_EQ(surface.losses, landscape.evaluate(instance.section, points).losses);
}

}  // namespace
}  // namespace lossatlas
