// Theorem 1 of [C19] on the tensor cores, whose rows are then grid points, against the oracle: every remainder of the
// tiles, and losses that depend on no other point.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "cuda_device.hpp"
#include "precision_errors.hpp"

namespace lossatlas {
namespace {

using CudaTensorPoints = CudaBackend;

constexpr Precision kRun[] = {Precision::f64, Precision::f32};  // fast runs in f32 here

void check(const Problem& problem, Worst& worst) {
  SCOPED_TRACE(describe(problem));
  const Instance instance = make_instance(problem);
  const Expected expected = naive(instance);
  const auto landscape = on_cuda(instance);
  for (int i = 0; i < 3; ++i) worst.check(i, section(*landscape, instance, kPrecisions[i]), expected);
  worst.points += static_cast<int>(instance.count());
}

Problem theorem1(std::vector<std::int64_t> widths, std::int64_t points, std::uint64_t seed) {
  return {.widths = std::move(widths), .support = Support::first_biases, .samples = 3, .points = points, .seed = seed};
}

// Whether one of the launches of a section is the kernel's: each is refused in turn.
bool on_tensor_cores(const Problem& problem, Precision precision) {
  const Instance instance = make_instance(problem);
  const auto landscape = on_cuda(instance);
  for (std::int64_t launch = 1;; ++launch) {
    emulator()->fail_launch(launch);
    try {
      section(*landscape, instance, precision);
      return false;
    } catch (const DeviceError& error) {
      if (std::string(error.what()).find("from kernels::launch_tensor_points (") != std::string::npos) return true;
    }
  }
}

TEST_F(CudaTensorPoints, TakesSharedLayersThatFit) {
  if (!emulator()) GTEST_SKIP() << "needs the planted faults of the emulated device";
  const auto take = [](const Problem& problem) {
    const bool first = on_tensor_cores(problem, Precision::f64);
    EXPECT_EQ(on_tensor_cores(problem, Precision::f32), first);
    EXPECT_EQ(on_tensor_cores(problem, Precision::fast), first);
    emulator()->reset();
    return first;
  };
  EXPECT_TRUE(take(theorem1({2, 5, 3}, 2, 1)));
  EXPECT_TRUE(take(theorem1({2, 5, 130, 3}, 2, 2)));
  EXPECT_FALSE(take(theorem1({2, 5, 4000, 3}, 2, 3)));
  Problem moving = theorem1({2, 5, 6, 3}, 2, 4);
  moving.support = Support::theorem1;
  EXPECT_FALSE(take(moving));
}

TEST_F(CudaTensorPoints, WidthsRunThroughEveryRemainder) {
  Worst worst;
  std::uint64_t seed = 100;
  for (std::int64_t width = 1; width <= 18; ++width) {
    Problem problem = theorem1({2, width, 19 - width, 1 + width % 5}, 17, ++seed);
    problem.activation = width % 2 == 0 ? Activation::tanh : Activation::sigmoid;
    check(problem, worst);
  }
  for (const std::int64_t width : {31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    check(theorem1({2, width, 7, 3}, 3, ++seed), worst);
    check(theorem1({2, 7, width, 3}, 3, ++seed), worst);
    check(theorem1({2, 7, width}, 3, ++seed), worst);
  }
  for (const std::int64_t width : {255, 256, 257}) check(theorem1({2, 18, width, 3}, 34, ++seed), worst);
  report("widths", worst);
}

// Several passes over a layer's outputs: out of place, with the inputs at either end of the arena.
TEST_F(CudaTensorPoints, LayersOfSeveralPasses) {
  Worst worst;
  check(theorem1({2, 20, 300, 20, 3}, 66, 801), worst);
  check(theorem1({2, 20, 530, 24, 3}, 65, 802), worst);
  check(theorem1({2, 16, 1030, 3}, 3, 803), worst);
  report("passes", worst);
}

TEST_F(CudaTensorPoints, PointsDirectionsAndDepths) {
  Worst worst;
  std::uint64_t seed = 300;
  for (const std::int64_t points : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 300}) {
    Problem problem = theorem1({2, 3, 4, 3}, points, ++seed);
    problem.rank = 1 + static_cast<std::int64_t>(seed % 4);
    check(problem, worst);
  }
  check(theorem1({3, 20, 17, 9, 12, 4}, 40, ++seed), worst);
  check(theorem1({784, 128, 128, 128, 30}, 20, ++seed), worst);
  report("points, directions and depths", worst);
}

TEST_F(CudaTensorPoints, EveryLossTargetHeadAndActivation) {
  Worst worst;
  std::uint64_t seed = 400;
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    for (const Targets targets : {Targets::labels, Targets::real}) {
      for (const std::int64_t heads : {1, 2, 3}) {
        Problem problem = theorem1({3, 9, 13, heads * static_cast<std::int64_t>(1 + 2 * (seed % 5))}, 19, ++seed);
        problem.heads = heads;
        problem.loss = loss;
        problem.targets = targets;
        problem.samples = 7;
        check(problem, worst);
      }
    }
  }
  for (const Activation activation : all_activations()) {
    for (const Bias bias : {Bias::all, Bias::hidden}) {
      Problem problem = theorem1({4, 10, 7, 3}, 9, ++seed);
      problem.activation = activation;
      problem.bias = bias;
      check(problem, worst);
    }
  }
  report("losses and activations", worst);
}

// Smaller shared memory means other tiles, and weights that stream instead of staying.
TEST_F(CudaTensorPoints, BitsDoNotDependOnTheTile) {
  if (!emulator()) GTEST_SKIP() << "needs the settable shared memory of the emulated device";
  const Instance instance = make_instance(theorem1({2, 40, 90, 20, 3}, 129, 21));
  for (const Precision precision : kRun) {
    const auto whole = section(*on_cuda(instance), instance, precision);
    for (const std::size_t limit : {64 << 10, 80 << 10, 99 << 10, 163 << 10}) {
      emulator()->set_shared_limit(limit);
      if (precision == Precision::f64 && limit == 64 << 10) continue;  // no room: the kernel without tensor cores runs
      EXPECT_TRUE(same_bits(section(*on_cuda(instance), instance, precision), whole)) << limit;
    }
    emulator()->reset();
  }
}

TEST_F(CudaTensorPoints, BitsDoNotDependOnTheOtherPoints) {
  const Instance instance = make_instance(theorem1({2, 20, 9, 3}, 300, 31));
  const auto landscape = on_cuda(instance);
  for (const Precision precision : kRun) {
    const auto whole = section(*landscape, instance, precision);
    std::vector<double> pieces;
    for (const auto& [first, last] : {std::pair(0, 1), {1, 8}, {8, 41}, {41, 300}}) {
      Instance piece = instance;
      piece.points.assign(instance.points.begin() + 2 * first, instance.points.begin() + 2 * last);
      const auto losses = section(*landscape, piece, precision);
      pieces.insert(pieces.end(), losses.begin(), losses.end());
    }
    EXPECT_TRUE(same_bits(pieces, whole));
  }
}

TEST_F(CudaTensorPoints, NonFinitePointsStayWhereTheyAre) {
  const Instance instance = make_instance(theorem1({2, 9, 11, 3}, 20, 41));
  const auto landscape = on_cuda(instance);
  for (const Precision precision : kRun) {
    const auto finite = section(*landscape, instance, precision);
    Instance other = instance;
    other.points[2 * 13] = std::numeric_limits<double>::quiet_NaN();
    auto losses = section(*landscape, other, precision);
    EXPECT_TRUE(std::isnan(losses[13]));
    losses[13] = finite[13];
    EXPECT_TRUE(same_bits(losses, finite));
  }
}

}  // namespace
}  // namespace lossatlas
