// Joint plans whose later layers differ from point to point or are wide, on the tensor cores, against the oracle: every
// remainder of the tiles, every arithmetic, and results that depend on no tile.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "cuda_device.hpp"
#include "precision_errors.hpp"

namespace lossatlas {
namespace {

using CudaTensorStream = CudaBackend;

std::vector<double> losses_in(const DeviceLandscape& landscape, const Instance& instance, Precision precision) {
  std::vector<double> losses(static_cast<std::size_t>(instance.count() * instance.network.heads()), -1.0);
  EXPECT_EQ(section_losses(landscape, plan_of(instance), instance.points, precision, {}, losses), precision);
  return losses;
}

// Each point in a call of its own.
std::vector<double> losses_of_each(const DeviceLandscape& landscape, const Instance& instance, Precision precision) {
  const std::int64_t rank = instance.section.rank();
  std::vector<double> all;
  for (std::int64_t g = 0; g < instance.count(); ++g) {
    Instance one = instance;
    one.points.assign(instance.points.begin() + rank * g, instance.points.begin() + rank * (g + 1));
    const auto losses = losses_in(landscape, one, precision);
    all.insert(all.end(), losses.begin(), losses.end());
  }
  return all;
}

void check(const Instance& instance, Worst& worst) {
  const Expected expected = naive(instance);
  const auto landscape = on_cuda(instance);
  for (int i = 0; i < 3; ++i) worst.check(i, losses_in(*landscape, instance, kPrecisions[i]), expected);
  worst.points += static_cast<int>(instance.count());
}

void check(const Problem& problem, Worst& worst) {
  SCOPED_TRACE(describe(problem));
  check(make_instance(problem), worst);
}

// Whether one of the launches of a section is the streaming kernel's: each is refused in turn.
bool streams(const Instance& instance, Precision precision) {
  const auto landscape = on_cuda(instance);
  std::vector<double> losses(static_cast<std::size_t>(instance.count() * instance.network.heads()));
  for (std::int64_t launch = 1;; ++launch) {
    emulator()->fail_launch(launch);
    try {
      section_losses(*landscape, plan_of(instance), instance.points, precision, {}, losses);
      return false;
    } catch (const DeviceError& error) {
      if (std::string(error.what()).find("from kernels::launch_tensor_stream (") != std::string::npos) return true;
    }
  }
}

TEST_F(CudaTensorStream, TakesInterpolatedAndWideLayers) {
  if (!emulator()) GTEST_SKIP() << "needs the planted faults of the emulated device";
  const Problem moving{.widths = {2, 5, 6, 3}, .samples = 3, .points = 2};
  const Problem wide{.widths = {2, 5, 130, 3}, .support = Support::first, .samples = 3, .points = 2};
  const Problem shared{.widths = {2, 5, 6, 3}, .support = Support::first, .samples = 3, .points = 2};
  for (const Precision precision : kPrecisions) {
    EXPECT_TRUE(streams(make_instance(moving), precision)) << name(precision);
    EXPECT_TRUE(streams(make_instance(wide), precision)) << name(precision);
    EXPECT_FALSE(streams(make_instance(shared), precision)) << name(precision);
    emulator()->reset();
  }
}

// Joint, hidden and output widths on both sides of tiles of 8 and blocks of 16 units.
TEST_F(CudaTensorStream, WidthsRunThroughEveryRemainder) {
  Worst worst;
  std::uint64_t seed = 100;
  for (std::int64_t width = 1; width <= 18; ++width) {
    check({.widths = {2, width, 19 - width, 1 + width % 5},
           .activation = width % 2 == 0 ? Activation::tanh : Activation::sigmoid,
           .samples = 17,
           .points = 2,
           .seed = ++seed},
          worst);
  }
  for (const std::int64_t width : {31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    check({.widths = {2, width, 7, 3}, .samples = 5, .points = 2, .seed = ++seed}, worst);
    check({.widths = {2, 7, width, 3}, .samples = 5, .points = 2, .seed = ++seed}, worst);
    check({.widths = {2, 7, 9, width}, .samples = 5, .points = 1, .seed = ++seed}, worst);
  }
  for (const std::int64_t width : {255, 256, 257}) {
    check({.widths = {2, width, 18, 3}, .samples = 18, .points = 1, .seed = ++seed}, worst);
    check({.widths = {2, 18, width, 3}, .samples = 34, .points = 1, .seed = ++seed}, worst);
  }
  report("widths", worst);
}

// Several passes over a layer's outputs, in each arithmetic: out of place, with the inputs at either end of the arena.
TEST_F(CudaTensorStream, LayersOfSeveralPasses) {
  Worst worst;
  check({.widths = {2, 20, 300, 20, 3}, .samples = 66, .points = 1, .seed = 801}, worst);
  check({.widths = {2, 20, 270, 530, 3}, .support = Support::upper, .samples = 33, .points = 1, .seed = 802}, worst);
  check({.widths = {2, 20, 530, 24, 3}, .samples = 65, .points = 1, .seed = 803}, worst);
  check({.widths = {2, 9, 150}, .samples = 70, .points = 1, .seed = 804}, worst);
  check({.widths = {2, 5, 1030, 3}, .samples = 17, .points = 1, .seed = 805}, worst);
  check({.widths = {2, 16, 1500, 3}, .samples = 3, .points = 1, .seed = 806}, worst);
  report("passes", worst);
}

TEST_F(CudaTensorStream, HeadlineShapes) {
  Worst worst;
  check({.widths = {3, 256, 256, 10}, .samples = 20, .points = 1, .seed = 811}, worst);
  check({.widths = {3, 500, 300, 100, 10}, .samples = 3, .points = 1, .seed = 812}, worst);
  check({.widths = {10, 500, 1}, .loss = Loss::mean_squared_error, .samples = 33, .points = 2, .seed = 813}, worst);
  check({.widths = {3, 20, 200, 10}, .support = Support::first, .samples = 70, .points = 2, .seed = 814}, worst);
  report("headline shapes", worst);
}

// Tensor cores truncate every sum, in long sums always towards zero: their bias must not grow with the width.
TEST_F(CudaTensorStream, WideSumsKeepThePrecision) {
  Worst worst;
  for (const std::int64_t width : {256, 512, 1024}) {
    for (const Activation activation : {Activation::relu, Activation::sigmoid}) {
      check({.widths = {2, width, 24, 1},
             .activation = activation,
             .loss = Loss::mean_squared_error,
             .targets = Targets::real,
             .samples = 16,
             .points = 2,
             .seed = static_cast<std::uint64_t>(820 + width)},
            worst);
    }
  }
  report("wide sums", worst);
}

TEST_F(CudaTensorStream, OneToFourLaterLayers) {
  Worst worst;
  std::uint64_t seed = 200;
  for (const std::vector<std::int64_t>& widths : {std::vector<std::int64_t>{3, 9, 4},
                                                  {3, 9, 12, 4},
                                                  {3, 20, 17, 9, 4},
                                                  {3, 17, 33, 16, 8, 4},
                                                  {2, 70, 66, 40, 3}}) {
    for (const Support support : {Support::all, Support::upper, Support::all_biases, Support::theorem2}) {
      const bool joint_is_last = support == Support::upper || support == Support::theorem2;
      if (joint_is_last && widths.size() == 3) continue;
      check({.widths = widths, .support = support, .samples = 20, .points = 2, .seed = ++seed}, worst);
    }
  }
  report("depths", worst);
}

TEST_F(CudaTensorStream, SamplesAndDirections) {
  Worst worst;
  std::uint64_t seed = 300;
  for (const std::int64_t samples : {1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 256, 257, 513}) {
    check({.widths = {2, 3, 4, 3},
           .samples = samples,
           .rank = 1 + static_cast<std::int64_t>(seed % 4),
           .points = 2,
           .seed = seed},
          worst);
    ++seed;
  }
  report("samples and directions", worst);
}

TEST_F(CudaTensorStream, EveryLossTargetHeadAndActivation) {
  Worst worst;
  std::uint64_t seed = 400;
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    for (const Targets targets : {Targets::labels, Targets::real}) {
      for (const std::int64_t heads : {1, 2, 3}) {
        check({.widths = {3, 9, 13, heads * static_cast<std::int64_t>(1 + 2 * (seed % 5))},
               .heads = heads,
               .loss = loss,
               .targets = targets,
               .samples = 19,
               .points = 2,
               .seed = seed},
              worst);
        ++seed;
      }
    }
  }
  for (const Activation activation : all_activations()) {
    for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
      check({.widths = {4, 10, 7, 3}, .activation = activation, .bias = bias, .points = 2, .seed = ++seed}, worst);
    }
  }
  report("losses and activations", worst);
}

// Of layers that no direction moves a tile has up to four points.
TEST_F(CudaTensorStream, PointsShareATile) {
  Worst worst;
  std::uint64_t seed = 500;
  for (const std::int64_t points : {3, 4, 5, 8, 11}) {
    for (const std::int64_t samples : {1, 16, 17, 33, 130}) {
      check({.widths = {2, 9, 130, 6},
             .heads = 2,
             .support = Support::first,
             .samples = samples,
             .rank = 1 + static_cast<std::int64_t>(seed % 3),
             .points = points,
             .seed = ++seed},
            worst);
    }
  }
  check({.widths = {2, 40, 520, 3}, .support = Support::first, .samples = 20, .points = 4, .seed = 551}, worst);
  check({.widths = {2, 16, 1030, 3}, .support = Support::first, .samples = 20, .points = 3, .seed = 552}, worst);
  check({.widths = {2, 6, 40, 150, 3}, .support = Support::theorem2, .samples = 20, .points = 5, .seed = 553}, worst);
  report("points of a tile", worst);
}

TEST_F(CudaTensorStream, BitsDoNotDependOnThePointsOfATile) {
  Instance instance = make_instance({.widths = {2, 9, 130, 6},
                                     .activation = Activation::relu,
                                     .heads = 2,
                                     .support = Support::first,
                                     .samples = 300,
                                     .points = 6,
                                     .seed = 561});
  for (const std::size_t g : {1, 4}) instance.points[2 * g] = 1e6;  // half precision leaves these to f32
  const auto landscape = on_cuda(instance);
  for (const Precision precision : kPrecisions) {
    const auto whole = losses_in(*landscape, instance, precision);
    EXPECT_TRUE(same_bits(losses_of_each(*landscape, instance, precision), whole)) << name(precision);
  }
  const auto fast = losses_in(*landscape, instance, Precision::fast);
  const auto f32 = losses_in(*landscape, instance, Precision::f32);
  for (std::size_t i = 0; i < fast.size(); ++i) EXPECT_EQ(fast[i] == f32[i], i / 2 == 1 || i / 2 == 4) << i;
}

// On a device of one multiprocessor a block takes all chunks of its points.
TEST_F(CudaTensorStream, BitsDoNotDependOnTheChunksOfABlock) {
  if (!emulator()) GTEST_SKIP() << "needs the settable multiprocessors of the emulated device";
  for (const Support support : {Support::first, Support::all}) {
    const Instance instance = make_instance({.widths = {2, 9, 130, 18},
                                             .heads = 9,
                                             .support = support,
                                             .samples = 520,
                                             .points = support == Support::first ? 12 : 6,
                                             .seed = 571});
    for (const Precision precision : kPrecisions) {
      const auto apart = losses_in(*on_cuda(instance), instance, precision);
      emulator()->set_multiprocessors(1);
      EXPECT_TRUE(same_bits(losses_in(*on_cuda(instance), instance, precision), apart)) << name(precision);
      emulator()->reset();
    }
  }
}

// Smaller shared memory means other tiles, and weights that stream instead of staying.
TEST_F(CudaTensorStream, BitsDoNotDependOnTheTile) {
  if (!emulator()) GTEST_SKIP() << "needs the settable shared memory of the emulated device";
  struct Case {
    Instance instance;
    std::size_t least;  // in f64, whose queues take 64 KiB with resident weights, 80 with a tile of 130 units
  };
  const Case cases[] = {
      {make_instance({.widths = {2, 40, 50, 20, 6}, .heads = 2, .samples = 300, .points = 2, .seed = 21}), 80 << 10},
      {make_instance({.widths = {2, 90, 20, 3}, .samples = 129, .points = 2, .seed = 22}), 80 << 10},
      {make_instance({.widths = {2, 20, 130, 3}, .support = Support::first, .samples = 129, .points = 5, .seed = 23}),
       99 << 10}};
  for (const auto& [instance, least] : cases) {
    for (const Precision precision : kPrecisions) {
      const auto whole = losses_in(*on_cuda(instance), instance, precision);
      for (const std::size_t limit : {64 << 10, 80 << 10, 99 << 10, 120 << 10, 163 << 10}) {
        if (precision == Precision::f64 && limit < least) continue;  // the kernel without tensor cores runs
        emulator()->set_shared_limit(limit);
        EXPECT_TRUE(same_bits(losses_in(*on_cuda(instance), instance, precision), whole)) << limit;
      }
      emulator()->reset();
    }
  }
}

TEST_F(CudaTensorStream, BitsDoNotDependOnCutsOrMemory) {
  const Instance instance =
      make_instance({.widths = {2, 20, 9, 6}, .heads = 2, .samples = 300, .points = 7, .seed = 31});
  const auto landscape = on_cuda(instance);
  for (const Precision precision : kPrecisions) {
    const auto whole = losses_in(*landscape, instance, precision);
    EXPECT_TRUE(same_bits(losses_of_each(*landscape, instance, precision), whole));
    if (!emulator()) continue;
    const auto held = static_cast<std::size_t>(emulator()->counts().device_bytes);
    int failed = 0, passed = 0;
    for (std::size_t extra = 4096; extra < 1 << 20; extra += extra / 2) {
      emulator()->set_memory_limit(held + extra);
      try {
        EXPECT_TRUE(same_bits(losses_in(*landscape, instance, precision), whole)) << extra;
        ++passed;
      } catch (const OutOfMemory&) {
        EXPECT_EQ(passed, 0) << "less memory was enough";
        ++failed;
      }
    }
    EXPECT_GT(failed, 0);
    EXPECT_GT(passed, 0);
    emulator()->reset();
  }
}

TEST_F(CudaTensorStream, NonFinitePointsStayWhereTheyAre) {
  const Instance instance = make_instance({.widths = {2, 9, 11, 3}, .samples = 40, .points = 5, .seed = 41});
  const auto landscape = on_cuda(instance);
  for (const Precision precision : kPrecisions) {
    const auto finite = losses_in(*landscape, instance, precision);
    for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Instance other = instance;
      other.points[2 * 3] = value;
      auto losses = losses_in(*landscape, other, precision);
      EXPECT_FALSE(std::isfinite(losses[3]));
      losses[3] = finite[3];
      EXPECT_TRUE(same_bits(losses, finite));
    }
  }
}

// An infinite activation meets the zero weights of padded units: their NaN must not reach the real ones.
TEST_F(CudaTensorStream, PaddingKeepsInfiniteActivationsInfinite) {
  const Instance instance = make_instance({.widths = {2, 3, 3, 3, 1},
                                           .activation = Activation::relu,
                                           .loss = Loss::mean_squared_error,
                                           .rank = 1,
                                           .points = 1,
                                           .seed = 61});
  for (const Precision precision : kPrecisions) {
    Instance overflowing = instance;
    std::ranges::fill(overflowing.section.origin, 0.0);
    for (double& value : overflowing.section.directions) value = std::abs(value);
    overflowing.points = {precision == Precision::f64 ? 1e200 : 1e25};
    const auto losses = losses_in(*on_cuda(overflowing), overflowing, precision);
    EXPECT_EQ(losses[0], std::numeric_limits<double>::infinity()) << name(precision);
  }
}

// Outputs may lie anywhere in the range of f32: half precision scales the weights there and back.
TEST_F(CudaTensorStream, WeightsOfAnySizeAreInRange) {
  Worst worst;
  for (const double factor : {0x1p118, 0x1p-118}) {  // cross entropy is then about max p − p_y, or log C
    Instance instance = make_instance({.widths = {3, 9, 11, 3}, .bias = Bias::none, .points = 3, .seed = 55});
    const std::size_t parameters = instance.section.origin.size(), last = 33;
    for (std::size_t i = parameters - last; i < parameters; ++i) {
      instance.section.origin[i] *= factor;
      for (std::size_t d = 0; d < 2; ++d) instance.section.directions[d * parameters + i] *= factor;
    }
    check(instance, worst);
  }
  report("sizes of weights", worst);
}

// Activations beyond half precision, or so small that it would lose them: those points have the bits of f32.
TEST_F(CudaTensorStream, PointsOutOfTheRangeOfHalfPrecisionRunInF32) {
  for (const double size : {1e6, 1e-5}) {
    Instance instance = make_instance(
        {.widths = {3, 9, 11, 3}, .activation = Activation::relu, .bias = Bias::none, .points = 6, .seed = 51});
    for (double& value : instance.section.origin) value = 0;
    for (const std::size_t g : {1, 4}) {
      instance.points[2 * g] *= size;
      instance.points[2 * g + 1] *= size;
    }
    const auto landscape = on_cuda(instance);
    const auto fast = losses_in(*landscape, instance, Precision::fast);
    const auto f32 = losses_in(*landscape, instance, Precision::f32);
    for (std::size_t g = 0; g < fast.size(); ++g) {
      EXPECT_EQ(same_bits({fast[g]}, {f32[g]}), g == 1 || g == 4) << size << ", point " << g;
    }
  }
}

}  // namespace
}  // namespace lossatlas
