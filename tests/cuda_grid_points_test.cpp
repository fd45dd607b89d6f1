// The points of a grid as the CUDA device forms them, against those of the host; the device is a GPU or the emulated
// one.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/grid.hpp>

#include "cuda_device.hpp"

namespace lossatlas {
namespace {

using CudaGridPoints = CudaBackend;

/// A section of z heads whose output is α, so that head i has the loss α_i² at its only sample, of target 0.
Instance revealing(std::int64_t rank) {
  const Network network = mlp({1, rank}, Activation::identity, {.heads = rank});
  std::vector<double> directions;
  for (std::int64_t i = 0; i < rank; ++i) {
    std::vector<double> direction(static_cast<std::size_t>(network.parameter_count()), 0.0);
    network.view(std::span(direction), 0).bias[static_cast<std::size_t>(i)] = 1;
    directions.insert(directions.end(), direction.begin(), direction.end());
  }
  std::vector<double> origin(static_cast<std::size_t>(network.parameter_count()), 0.0);
  return {network,
          Dataset::regression({1.0}, 1, {0.0}, 1),
          {std::move(origin), std::move(directions)},
          Loss::mean_squared_error,
          {}};
}

/// The device's losses at the points of a revealing section, against the squares of the host's α.
void check(DeviceSection& revealing, const SectionPoints& points) {
  std::vector<double> losses(static_cast<std::size_t>(points.count() * points.rank()), -1.0), squares = losses;
  points.copy(0, points.count(), squares);
  for (double& alpha : squares) alpha *= alpha;
  revealing.losses(points, {}, losses);
  EXPECT_TRUE(same_bits(losses, squares)) << points.count() << " points from " << points.first();
}

void check(const Grid& grid, const std::vector<std::pair<std::int64_t, std::int64_t>>& runs) {
  SCOPED_TRACE(grid.describe());
  const Instance instance = revealing(grid.rank());
  const auto landscape = on_cuda(instance);
  const SectionPlan plan = plan_of(instance);
  ASSERT_EQ(plan.kind, PlanKind::sample_free);
  const auto ready = landscape->section(plan, Precision::f64, {});
  for (const auto& [first, count] : runs) {
    check(*ready, {grid, first, count});
  }
}

TEST_F(CudaGridPoints, AreThoseOfTheHostToTheBit) {
  const Axis a{-0.7, 1.3, 49999}, b{0.1, 0.9, 211}, c{1.0 / 3, -2, 97}, d{-1, 1, 13}, one{0.3, 0.4, 1};
  // 40 000 points are more than a batch has.
  check(Grid({a}), {{0, 1}, {0, 40000}, {17, 32769}, {49998, 1}});
  check(Grid({b, c}), {{0, 211 * 97}, {96, 2}, {97, 97}, {211 * 97 - 1, 1}});
  check(Grid({c, b}), {{5, 20001}, {210, 212}});
  check(Grid({d, b, c}), {{0, 40000}, {97 * 211 - 1, 3}, {12345, 32768 + 97}, {13 * 211 * 97 - 500, 500}});
  check(Grid({one, b, one}), {{0, 211}, {200, 11}});
}

TEST_F(CudaGridPoints, BeyondThirtyTwoBits) {
  constexpr std::int64_t k31 = std::int64_t{1} << 31, k32 = std::int64_t{1} << 32;
  for (const std::int64_t border : {k31, k32, std::int64_t{1} << 53}) {
    check(Grid({{-1, 1.1, 2 * border + 3}}), {{border - 5, 10}, {2 * border - 5, 8}});
    check(Grid({{-1, 1.1, 7}, {0.2, 0.7, border + 1}}), {{border - 5, 10}, {7 * border - 5, 12}});
    check(Grid({{-1, 1.1, border / 64}, {0.2, 0.7, 3}, {0, 1, 101}}), {{border - 155, 310}});
  }
}

TEST_F(CudaGridPoints, OneSetUpTakesGridsAndListsInTurn) {
  const Instance instance = revealing(2);
  const auto landscape = on_cuda(instance);
  const SectionPlan plan = plan_of(instance);
  const auto ready = landscape->section(plan, Precision::f64, {});
  const Grid first({{-1, 0.9, 9}, {0.3, -0.8, 11}}), second({{0, 1, 4}, {0, 2, 30}});
  const std::vector<double> list = {0.5, 0.25, -3, 7};
  for (const SectionPoints& points :
       {SectionPoints(first, 0, 90), SectionPoints(second, 0, 90), SectionPoints(list, 2), SectionPoints(second, 7, 11),
        SectionPoints(first, 3, 40), SectionPoints(list, 2), SectionPoints(second, 0, 120)}) {
    check(*ready, points);
  }
}

/// Points 5 to 87 of a grid, in a list.
Instance with_points_of(const Grid& grid, const Problem& problem) {
  Instance instance = make_instance(problem);
  instance.points.resize(std::size_t{83 * 2});
  grid.points(5, 83, instance.points);
  return instance;
}

TEST_F(CudaGridPoints, GiveTheBitsOfAListWhateverTheTiles) {
  const Grid grid({{-1, 0.9, 9}, {0.3, -0.8, 11}});
  for (const Problem& problem : kinds()) {
    const Instance instance = with_points_of(grid, problem);
    const auto landscape = on_cuda(instance);
    const SectionPlan plan = plan_of(instance);
    for (const Precision precision : {Precision::f64, Precision::fast}) {
      const std::vector<double> list = section(*landscape, instance, precision);
      const auto held = static_cast<std::size_t>(emulator() ? emulator()->counts().device_bytes : 0);
      int passed = 0;
      for (std::size_t extra = emulator() ? 1024 : 4 << 20; extra <= 4 << 20; extra *= 4) {
        if (emulator()) emulator()->set_memory_limit(held + extra);
        std::vector<double> losses(list.size(), -1.0);
        try {
          landscape->section(plan, precision, {})->losses({grid, 5, 83}, {}, losses);
          EXPECT_TRUE(same_bits(losses, list)) << extra;
          ++passed;
        } catch (const OutOfMemory&) {
          EXPECT_EQ(passed, 0) << "less memory was enough";
        }
      }
      EXPECT_GT(passed, 0);
      if (emulator()) emulator()->reset();
    }
  }
}

// It comes with the first list, and stays.
TEST_F(CudaGridPoints, NeedNoPageLockedMemory) {
  if (!emulator()) GTEST_SKIP() << "needs the counts of the emulated device";
  const Grid grid({{-1, 0.9, 9}, {0.3, -0.8, 11}});
  for (const Problem& problem : kinds()) {
    const Instance instance = with_points_of(grid, problem);
    const auto landscape = on_cuda(instance);
    const SectionPlan plan = plan_of(instance);
    const auto ready = landscape->section(plan, Precision::f64, {});
    std::vector<double> expected(83 * 2, -1.0), losses = expected;
    const auto pinned = [&](const SectionPoints& points) {
      ready->losses(points, {}, losses);
      return emulator()->counts().host_allocations;
    };
    const std::int64_t without = pinned({grid, 5, 83});
    expected.swap(losses);
    EXPECT_EQ(pinned({grid, 5, 80}), without);
    EXPECT_EQ(pinned({instance.points, 2}), without + 2);
    EXPECT_TRUE(same_bits(losses, expected));
    EXPECT_EQ(pinned({grid, 5, 83}), without + 2);
    EXPECT_TRUE(same_bits(losses, expected));
  }
}

}  // namespace
}  // namespace lossatlas
