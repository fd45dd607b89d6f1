// Joint plans with shared later layers on the tensor cores, against the oracle: every remainder of its tiles, every
// arithmetic, and half precision's way back to f32.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "cuda/tensor_choice.hpp"
#include "cuda_device.hpp"
#include "planted_failures.hpp"
#include "precision_errors.hpp"

namespace lossatlas {
namespace {

using kernels::Operands;
using CudaTensor = CudaBackend;

constexpr std::int64_t kShared = 99 << 10;  // the least that a block may have on the architectures built for

Precision ran(const DeviceLandscape& landscape, const Instance& instance, Precision precision,
              std::vector<double>& losses) {
  losses.assign(static_cast<std::size_t>(instance.count() * instance.network.heads()), -1.0);
  return section_losses(landscape, plan_of(instance), instance.points, precision, {}, losses);
}

// All three precisions against the formulas; the tensor kernel has to take each.
void check(const Instance& instance, Worst& worst) {
  const Expected expected = naive(instance);
  const auto landscape = on_cuda(instance);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(cuda::tensor_operands(plan_of(instance), kPrecisions[i], kShared).has_value());
    std::vector<double> losses;
    EXPECT_EQ(ran(*landscape, instance, kPrecisions[i], losses), kPrecisions[i]);
    worst.check(i, losses, expected);
  }
  worst.points += static_cast<int>(instance.count());
}

void check(const Problem& problem, Worst& worst) {
  SCOPED_TRACE(describe(problem));
  check(make_instance(problem), worst);
}

// Joint, hidden and output widths on both sides of tiles of 8, blocks of 16 and the width classes.
TEST_F(CudaTensor, WidthsRunThroughEveryRemainder) {
  Worst worst;
  std::uint64_t seed = 100;
  for (std::int64_t width = 1; width <= 18; ++width) {
    check({.widths = {2, width, 19 - width, 1 + width % 5},
           .activation = width % 2 == 0 ? Activation::tanh : Activation::sigmoid,
           .support = Support::first,
           .samples = 17,
           .points = 3,
           .seed = ++seed},
          worst);
  }
  for (const std::int64_t width : {31, 32, 33, 63, 64, 65}) {
    check({.widths = {2, 97 - width, width, 3}, .support = Support::first, .samples = 5, .points = 3, .seed = ++seed},
          worst);
  }
  for (const std::int64_t width : {31, 32, 33, 63, 64, 65}) {  // of the outputs
    check({.widths = {2, 5, 7, width}, .support = Support::first, .samples = 5, .points = 2, .seed = ++seed}, worst);
  }
  for (const std::int64_t width : {127, 128}) {
    check({.widths = {2, 9, width, 3}, .support = Support::first, .samples = 9, .points = 2, .seed = ++seed}, worst);
    check({.widths = {2, width, 9, 3}, .support = Support::first, .samples = 9, .points = 2, .seed = ++seed}, worst);
  }
  check({.widths = {2, 300, 10, 3}, .support = Support::first, .samples = 9, .points = 2, .seed = ++seed}, worst);
  report("widths", worst);
}

// Tensor cores truncate every sum, in long sums always towards zero: their bias must not grow with the width.
TEST_F(CudaTensor, WideSumsKeepThePrecision) {
  Worst worst;
  for (const std::vector<std::int64_t>& widths :
       {std::vector<std::int64_t>{2, 400, 24, 1}, {2, 240, 40, 1}, {2, 112, 72, 1}}) {  // one of each width class
    for (const Activation activation : {Activation::relu, Activation::sigmoid}) {
      check({.widths = widths,
             .activation = activation,
             .loss = Loss::mean_squared_error,
             .targets = Targets::real,
             .support = Support::first,
             .samples = 16,
             .points = 4,
             .seed = static_cast<std::uint64_t>(150 + widths[1])},
            worst);
    }
  }
  report("wide sums", worst);
}

TEST_F(CudaTensor, OneToFourLaterLayers) {
  Worst worst;
  std::uint64_t seed = 200;
  for (const std::vector<std::int64_t>& widths : {std::vector<std::int64_t>{3, 9, 4},
                                                  {3, 9, 12, 4},
                                                  {3, 20, 17, 9, 4},
                                                  {3, 17, 33, 16, 8, 4},
                                                  {2, 70, 66, 40, 3}}) {
    for (const Support support : {Support::first, Support::theorem2}) {
      if (support == Support::theorem2 && widths.size() == 3) continue;  // its joint layer is the last
      check({.widths = widths, .support = support, .samples = 20, .points = 3, .seed = ++seed}, worst);
    }
  }
  report("depths", worst);
}

TEST_F(CudaTensor, SamplesAndPointsRunThroughTheTiles) {
  Worst worst;
  std::uint64_t seed = 300;
  for (const std::int64_t samples : {1, 7, 8, 9, 15, 16, 17, 127, 128, 129, 255, 256, 257, 513}) {
    check({.widths = {2, 3, 4, 3}, .support = Support::first, .samples = samples, .points = 2, .seed = ++seed}, worst);
  }
  check({.widths = {2, 3, 66, 3}, .support = Support::first, .samples = 257, .points = 1, .seed = ++seed}, worst);
  for (const std::int64_t points : {1, 2, 3, 4, 5}) {
    check({.widths = {2, 3, 4, 3}, .support = Support::first, .samples = 2, .points = points, .seed = ++seed}, worst);
  }
  // So many that a block has five.
  check({.widths = {2, 3, 4, 3}, .support = Support::first, .samples = 2, .rank = 3, .points = 2700, .seed = ++seed},
        worst);
  report("samples and points", worst);
}

TEST_F(CudaTensor, EveryLossTargetHeadAndActivation) {
  Worst worst;
  std::uint64_t seed = 400;
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    for (const Targets targets : {Targets::labels, Targets::real}) {
      for (const std::int64_t heads : {1, 2, 3}) {
        for (const std::int64_t classes : {1, 3, 9}) {
          check({.widths = {3, 9, 13, heads * classes},
                 .heads = heads,
                 .loss = loss,
                 .targets = targets,
                 .support = Support::first,
                 .samples = 19,
                 .rank = 1 + static_cast<std::int64_t>(seed % 3),
                 .points = 3,
                 .seed = seed},
                worst);
          ++seed;
        }
      }
    }
  }
  for (const Activation activation : all_activations()) {
    for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
      check({.widths = {4, 10, 17, 3},
             .activation = activation,
             .bias = bias,
             .support = Support::first,
             .points = 3,
             .seed = ++seed},
            worst);
    }
  }
  report("losses and activations", worst);
}

// ---- which kernel ---------------------------------------------------------------------------------------------------

SectionPlan plan_for(std::vector<std::int64_t> widths, Support support = Support::first) {
  return plan_of(make_instance({.widths = std::move(widths), .support = support, .samples = 2, .points = 1}));
}

TEST(TensorChoice, DependsOnThePlanAndTheDevice) {
  using cuda::tensor_operands;
  const std::int64_t hopper = 227 << 10;
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 8, 2}), Precision::f64, kShared), Operands::f64);
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 8, 2}), Precision::f32, kShared), Operands::tf32x2);
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 8, 2}), Precision::fast, kShared), Operands::half);
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 8, 2}, Support::all), Precision::f32, hopper), std::nullopt);
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 8, 2}, Support::last), Precision::f32, hopper), std::nullopt);
  EXPECT_EQ(tensor_operands(plan_for({3, 9, 129, 2}), Precision::f32, hopper), std::nullopt);
  EXPECT_EQ(tensor_operands(plan_for({3, 128, 128, 128, 2}), Precision::fast, hopper), Operands::half);
  EXPECT_EQ(tensor_operands(plan_for({3, 128, 128, 128, 2}), Precision::f32, hopper), Operands::tf32x2);
  EXPECT_EQ(tensor_operands(plan_for({3, 128, 128, 128, 2}), Precision::f64, hopper), std::nullopt);
  EXPECT_EQ(tensor_operands(plan_for({3, 128, 128, 10}), Precision::f64, hopper), Operands::f64);
  SectionPlan infinite = plan_for({3, 9, 8, 2});
  infinite.later[0].weights[3] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(tensor_operands(infinite, Precision::f64, hopper), std::nullopt);
  infinite.later[0].weights[3] = 0x1.ffep127;  // TF32 would round it to infinity
  EXPECT_EQ(tensor_operands(infinite, Precision::f32, hopper), std::nullopt);
  infinite.later[0].weights[3] = 0x1.ffcp127;
  EXPECT_EQ(tensor_operands(infinite, Precision::f32, hopper), Operands::tf32x2);
  infinite.later[0].weights[3] = 1e39;
  EXPECT_EQ(tensor_operands(infinite, Precision::f32, hopper), std::nullopt);
  EXPECT_EQ(tensor_operands(infinite, Precision::f64, hopper), Operands::f64);
}

TEST(TensorChoice, ScalesLeaveOneBitAboveTheLargestWeight) {
  SectionPlan plan = plan_for({3, 4, 4, 4, 2});
  for (std::size_t l = 0; l < 3; ++l) std::ranges::fill(plan.later[l].weights, 0.0);
  plan.later[0].weights[5] = -3;
  plan.later[1].weights[1] = 0x1p-140;
  EXPECT_EQ(cuda::tensor_weight_scales(plan), (std::vector<float>{0x1p-13f, 0x1p-126f, 0x1p-15f}));
}

// A refused launch is named in the error: the tensor kernel is among those of the section.
TEST_F(CudaTensor, TheKernelRuns) {
  if (!emulator()) GTEST_SKIP() << "needs the planted failures of the emulated device";
  const Instance instance = make_instance({.widths = {3, 9, 8, 2}, .support = Support::first});
  const auto landscape = on_cuda(instance);
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    int named = 0;
    for (std::int64_t k = 1; k < 40; ++k) {
      emulator()->fail_launch(k);
      try {
        section(*landscape, instance, precision);
      } catch (const DeviceError& error) {
        named += std::string(error.what()).find("from kernels::launch_tensor_pairs") != std::string::npos;
      }
    }
    emulator()->reset();
    EXPECT_EQ(named, 1) << name(precision);
  }
}

// ---- the same bits --------------------------------------------------------------------------------------------------

// So many points that a block has three; cut, and in smaller tiles, two.
TEST_F(CudaTensor, BitsDoNotDependOnHowPointsAreCut) {
  const Instance instance = make_instance(
      {.widths = {4, 9, 6, 4}, .heads = 2, .support = Support::first, .samples = 19, .points = 1700, .seed = 500});
  const auto landscape = on_cuda(instance);
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    const auto whole = section(*landscape, instance, precision);
    EXPECT_TRUE(same_bits(section(*on_cuda(instance), instance, precision), whole));
    std::vector<double> pieces;
    for (std::int64_t first = 0; first < instance.count(); first += 301) {
      Instance piece = instance;
      const auto last = std::min(instance.count(), first + 301);
      piece.points.assign(instance.points.begin() + 2 * first, instance.points.begin() + 2 * last);
      const auto losses = section(*landscape, piece, precision);
      pieces.insert(pieces.end(), losses.begin(), losses.end());
    }
    EXPECT_TRUE(same_bits(pieces, whole)) << name(precision);
    if (!emulator()) continue;
    const auto held = static_cast<std::size_t>(emulator()->counts().device_bytes);
    emulator()->set_memory_limit(held + (64 << 10));
    EXPECT_TRUE(same_bits(section(*landscape, instance, precision), whole)) << name(precision);
    emulator()->reset();
  }
}

TEST_F(CudaTensor, NonFinitePointsStayWhereTheyAre) {
  for (const Activation activation : {Activation::tanh, Activation::relu}) {
    const Instance instance = make_instance({.widths = {4, 9, 7, 3},
                                             .activation = activation,
                                             .bias = Bias::none,
                                             .support = Support::first,
                                             .samples = 40,
                                             .points = 11,
                                             .seed = 600});
    const auto landscape = on_cuda(instance);
    for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
      const auto finite = section(*landscape, instance, precision);
      Instance other = instance;
      other.points[2 * 4] = std::numeric_limits<double>::quiet_NaN();
      other.points[2 * 7] = std::numeric_limits<double>::infinity();
      auto losses = section(*landscape, other, precision);
      EXPECT_TRUE(std::isnan(losses[4])) << name(precision);
      // tanh is ±1 at infinity: no padding may turn that into NaN.
      EXPECT_EQ(std::isfinite(losses[7]), activation == Activation::tanh) << name(precision) << ' ' << losses[7];
      losses[4] = finite[4], losses[7] = finite[7];
      EXPECT_TRUE(same_bits(losses, finite)) << name(precision);
    }
  }
}

// Infinite activations of one layer that the next one saturates: the formulas' limits, not NaN.
TEST_F(CudaTensor, InfiniteActivationsKeepTheirLimits) {
  const Instance instance = make_instance(
      {.widths = {1, 5, 3}, .activation = Activation::relu, .bias = Bias::none, .support = Support::first, .rank = 1});
  Instance other = instance;
  std::ranges::fill(std::span(other.section.origin).subspan(5), 0.5);  // no weight is 0, all have the same sign
  std::ranges::fill(std::span(other.section.directions).first(5), 1.0);
  other.data = Dataset::regression({1.0, 1.0}, 1, {0, 0, 0, 0, 0, 0}, 3);
  other.loss = Loss::mean_squared_error;
  other.points = {std::numeric_limits<double>::infinity(), 1.0};
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    const auto losses = section(*on_cuda(other), other, precision);
    EXPECT_EQ(losses[0], std::numeric_limits<double>::infinity()) << name(precision);
    EXPECT_TRUE(std::isfinite(losses[1])) << name(precision);
  }
}

// ---- half precision's range -----------------------------------------------------------------------------------------

// Points whose activations overflow half precision, vanish in it, or neither. The former get the bits of f32.
TEST_F(CudaTensor, WhatLeavesTheRangeOfHalfIsComputedInF32) {
  Instance instance = make_instance({.widths = {3, 9, 7, 4},
                                     .activation = Activation::relu,
                                     .bias = Bias::none,
                                     .heads = 2,
                                     .loss = Loss::mean_squared_error,
                                     .support = Support::first,
                                     .samples = 300,
                                     .rank = 1,
                                     .points = 40,
                                     .seed = 700});
  // θ₀'s first layer is zero: the first activations are proportional to α.
  std::ranges::fill(std::span(instance.section.origin).first(27), 0.0);
  std::vector<std::size_t> outside;
  for (std::size_t g = 0; g < 40; ++g) {
    instance.points[g] = 0.5 + 0.01 * static_cast<double>(g);
    if (g % 3 != 0) continue;
    instance.points[g] *= g % 2 == 0 ? 1e6 : 1e-4;
    outside.push_back(g);
  }
  const auto landscape = on_cuda(instance);
  const auto fast = section(*landscape, instance, Precision::fast), f32 = section(*landscape, instance, Precision::f32);
  for (std::size_t i = 0; i < fast.size(); ++i) {
    const bool out = std::ranges::find(outside, i / 2) != outside.end();
    EXPECT_EQ(fast[i] == f32[i], out) << "point " << i / 2 << ", head " << i % 2;
  }
  for (const std::int64_t size : {1, 7}) {
    std::vector<double> pieces;
    for (std::int64_t first = 0; first < 40; first += size) {
      Instance piece = instance;
      piece.points.assign(instance.points.begin() + first,
                          instance.points.begin() + std::min<std::int64_t>(40, first + size));
      const auto losses = section(*landscape, piece, Precision::fast);
      pieces.insert(pieces.end(), losses.begin(), losses.end());
    }
    EXPECT_TRUE(same_bits(pieces, fast));
  }
}

// Weights far from 1 are scaled, exactly: a network whose layers are scaled by powers of two and back has the same
// bits.
TEST_F(CudaTensor, WeightsOfAnySizeAreInRange) {
  const Problem problem{.widths = {3, 9, 7, 4},
                        .activation = Activation::relu,
                        .bias = Bias::none,
                        .support = Support::first,
                        .samples = 30,
                        .seed = 800};
  const Instance instance = make_instance(problem);
  Instance scaled = instance;
  const std::int64_t first = 27, second = first + 63;
  for (std::int64_t i = first; i < second; ++i) scaled.section.origin[static_cast<std::size_t>(i)] *= 0x1p-3;
  for (std::size_t i = second; i < scaled.section.origin.size(); ++i) scaled.section.origin[i] *= 0x1p3;
  EXPECT_TRUE(same_bits(section(*on_cuda(scaled), scaled, Precision::fast),
                        section(*on_cuda(instance), instance, Precision::fast)));
  for (const double factor : {1e-30, 1e6}) {  // the outputs follow; cross entropy of small ones is log C
    Instance other = instance;
    for (std::size_t i = second; i < other.section.origin.size(); ++i) other.section.origin[i] *= factor;
    Worst worst;
    check(other, worst);
  }
}

// One scale serves both heads: the weights of the second are far below the largest, and still keep their digits.
TEST_F(CudaTensor, HeadsOfVeryDifferentScalesKeepThePrecision) {
  for (const double factor : {1e-3, 1e-6, 1e-7}) {
    Instance instance = make_instance({.widths = {3, 9, 7, 4},
                                       .bias = Bias::none,
                                       .heads = 2,
                                       .loss = Loss::mean_squared_error,
                                       .targets = Targets::real,
                                       .support = Support::first,
                                       .samples = 20,
                                       .points = 4,
                                       .seed = 850});
    instance.data = Dataset::regression({instance.data.inputs().begin(), instance.data.inputs().end()}, 3,
                                        std::vector<double>(20 * 2, 0.0), 2);
    std::vector<double>& origin = instance.section.origin;  // the last 14 are the second head's
    for (std::size_t i = origin.size() - 14; i < origin.size(); ++i) origin[i] *= factor;
    std::vector<double> losses;
    EXPECT_EQ(ran(*on_cuda(instance), instance, Precision::fast, losses), Precision::fast);
    for (std::size_t g = 0; g < 4; ++g) {
      const auto theta = reference::section_point(instance.section, std::span(instance.points).subspan(2 * g, 2));
      const auto expected = reference::losses(instance.network, theta, instance.data, instance.loss);
      for (std::size_t h = 0; h < 2; ++h) {
        EXPECT_NEAR(losses[2 * g + h] / expected[h], 1, 4e-3) << factor << ", head " << h << ", seed 850";
      }
    }
  }
}

// NaN is out of range too: such points are computed in f32, by launches that finite ones do not need.
TEST_F(CudaTensor, NanIsOutOfTheRangeOfHalf) {
  if (!emulator()) GTEST_SKIP() << "needs the counts of the emulated device";
  Instance instance = make_instance({.widths = {3, 9, 7, 4}, .support = Support::first, .points = 2, .seed = 860});
  const auto landscape = on_cuda(instance);
  const auto launches = [&] {
    const std::int64_t before = emulator()->counts().launches;
    section(*landscape, instance, Precision::fast);
    return emulator()->counts().launches - before;
  };
  const std::int64_t finite = launches();
  instance.points[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_GT(launches(), finite);
}

// With points outside the range: the buffers of the way back to f32 too.
// With points out of half's range, on either tensor kernel.
TEST_F(CudaTensor, NoAllocationMayFailSilently) {
  if (!emulator()) GTEST_SKIP() << "needs the planted failures of the emulated device";
  for (const Support support : {Support::first, Support::all}) {
    SCOPED_TRACE(static_cast<int>(support));
    Instance instance =
        make_instance({.widths = {3, 5, 2}, .activation = Activation::relu, .bias = Bias::none, .support = support});
    instance.points[0] = 1e6;
    const std::int64_t allocations = fail_every_allocation(
        instance, [&](const DeviceLandscape& landscape) { return section(landscape, instance, Precision::fast); });
    EXPECT_GT(allocations, 10);
  }
}

TEST_F(CudaTensor, PlansWithoutAHalfKernelSayWhatRan) {
  std::vector<double> losses;
  for (const Support support : {Support::theorem1, Support::last}) {
    const Instance instance = make_instance({.widths = {2, 9, 8, 3}, .support = support, .samples = 3});
    EXPECT_EQ(ran(*on_cuda(instance), instance, Precision::fast, losses), Precision::f32);
  }
}

}  // namespace
}  // namespace lossatlas
