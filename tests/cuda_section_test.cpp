// Sections on the CUDA device against the oracle and the CPU backend; the device is a GPU or the emulated one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "base/random.hpp"
#include "cuda/pair_blocks.hpp"
#include "cuda_device.hpp"
#include "precision_errors.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

using reference::max_difference;
using CudaSection = CudaBackend;

/// The first few points alone: enough for a plan that evaluates everything at each.
Instance shortened(Instance instance, std::int64_t points) {
  const std::int64_t kept = std::min(points, instance.count());
  instance.points.resize(static_cast<std::size_t>(kept * instance.section.rank()));
  return instance;
}

// Both plans in all precisions against the formulas and the CPU.
void check(const Problem& problem, Worst& worst) {
  SCOPED_TRACE(describe(problem));
  const Instance whole = make_instance(problem);
  const Expected expected = naive(whole);
  const auto landscape = on_cuda(whole);
  const auto cpu = on_cpu(whole);
  for (const Plan choice : {Plan::automatic, Plan::direct}) {
    SCOPED_TRACE(choice == Plan::direct ? "direct" : "automatic");
    const Instance instance = choice == Plan::direct ? shortened(whole, 5) : whole;
    for (int i = 0; i < 3; ++i) worst.check(i, section(*landscape, instance, kPrecisions[i], choice), expected);
    EXPECT_LE(worst_error(section(*landscape, instance, Precision::f64, choice),
                          {section(*cpu, instance, Precision::f64, choice), expected.scales}),
              1e-11);
    worst.points += static_cast<int>(instance.count());
  }
}

constexpr Support kSupports[] = {Support::all,      Support::upper,    Support::last,          Support::all_biases,
                                 Support::theorem1, Support::theorem2, Support::output_biases, Support::first_biases};

TEST_F(CudaSection, MatchesTheFormulasForEverySupportLossAndTarget) {
  Worst worst;
  std::uint64_t seed = 1;
  for (const Support support : kSupports) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      for (const Targets targets : {Targets::labels, Targets::real}) {
        const std::int64_t heads = 1 + static_cast<std::int64_t>(seed % 3);
        check({.widths = {5, 9, 13, 3 * heads},
               .heads = heads,
               .loss = loss,
               .targets = targets,
               .support = support,
               .samples = 37,
               .rank = 1 + static_cast<std::int64_t>(seed % 4),
               .seed = seed},
              worst);
        ++seed;
      }
    }
  }
  report("supports", worst);
}

TEST_F(CudaSection, EveryActivationAndBias) {
  Worst worst;
  std::uint64_t seed = 4000;
  for (const Activation activation : all_activations()) {
    for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
      for (const Support support : {Support::all, Support::upper, Support::theorem1}) {
        if (support == Support::theorem1 && bias == Bias::none) continue;
        check({.widths = {4, 10, 7, 3},
               .activation = activation,
               .bias = bias,
               .support = support,
               .points = 3,
               .seed = ++seed},
              worst);
      }
    }
  }
  report("activations", worst);
}

// On both sides of a warp's units, a tile of rows, a chunk of samples and a tile of the generic path's products.
TEST_F(CudaSection, SizesStraddleTheTiles) {
  Worst worst;
  std::uint64_t seed = 5000;
  for (const std::int64_t width : {1, 3, 4, 5, 31, 33, 64, 65}) {
    for (const Support support : {Support::all, Support::upper, Support::theorem1, Support::theorem2}) {
      check({.widths = {3, width, 67 - width, width},
             .loss = width % 2 == 0 ? Loss::cross_entropy : Loss::mean_squared_error,
             .support = support,
             .samples = 11,
             .points = 3,
             .seed = ++seed},
            worst);
    }
  }
  for (const std::int64_t samples : {1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 513, 1025}) {
    check({.widths = {2, 3, 4, 3}, .samples = samples, .points = 2, .seed = ++seed}, worst);
    check({.widths = {2, 3, 4, 3}, .support = Support::upper, .samples = samples, .points = 3, .seed = ++seed}, worst);
    check({.widths = {2, 4, 3},
           .loss = Loss::mean_squared_error,
           .support = Support::last,
           .samples = samples,
           .points = 2,
           .seed = ++seed},
          worst);
  }
  for (const std::int64_t points : {1, 7, 8, 9, 17}) {
    check({.widths = {2, 5, 6, 3}, .support = Support::theorem1, .samples = 3, .points = points, .seed = ++seed},
          worst);
  }
  report("sizes", worst);
}

// At least 10 000 points of networks drawn at random, the first five of each also by the direct plan.
TEST_F(CudaSection, RandomSections) {
  Worst worst;
  Random random(99);
  for (std::uint64_t seed = 7000; worst.points < 10000; ++seed) {
    Problem problem{.widths = {1 + random.below(6)}, .samples = 1 + random.below(12), .points = 40, .seed = seed};
    for (std::int64_t depth = 1 + random.below(3); depth > 0; --depth) problem.widths.push_back(1 + random.below(12));
    problem.heads = 1 + random.below(2);
    problem.widths.push_back(problem.heads * (1 + random.below(4)));
    problem.activation = all_activations()[static_cast<std::size_t>(random.below(8))];
    problem.loss = random.below(2) == 0 ? Loss::cross_entropy : Loss::mean_squared_error;
    problem.targets = random.below(2) == 0 ? Targets::labels : Targets::real;
    problem.support = kSupports[random.below(8)];
    problem.rank = 1 + random.below(3);
    check(problem, worst);
  }
  report("random sections", worst);
}

// Too wide for the shared memory of a block: the generic path, and a point chain in global memory.
TEST_F(CudaSection, WideLayers) {
  Worst worst;
  check({.widths = {2, 300, 200, 3}, .samples = 5, .rank = 1, .points = 2, .seed = 6001}, worst);
  check({.widths = {2, 300, 200, 3}, .support = Support::upper, .samples = 5, .rank = 1, .points = 2, .seed = 6002},
        worst);
  check({.widths = {1, 40, 30000, 2}, .support = Support::theorem1, .samples = 2, .rank = 1, .points = 1, .seed = 6003},
        worst);
  report("wide layers", worst);
}

TEST_F(CudaSection, TheKindsReachEveryPlan) {
  EXPECT_EQ(plan_of(make_instance(kinds()[0])).kind, PlanKind::joint);
  EXPECT_EQ(plan_of(make_instance(kinds()[2])).kind, PlanKind::sample_free);
  EXPECT_EQ(plan_of(make_instance(kinds()[3])).kind, PlanKind::quadratic);
  EXPECT_EQ(plan_of(make_instance(kinds()[5])).kind, PlanKind::sample_free);
}

TEST_F(CudaSection, BitsDoNotDependOnRunsCutsOrThreads) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto landscape = on_cuda(instance);
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      const auto whole = section(*landscape, instance, Precision::f64, choice);
      EXPECT_TRUE(same_bits(section(*on_cuda(instance), instance, Precision::f64, choice), whole));
      std::vector<double> pieces;
      for (std::int64_t first = 0; first < instance.count(); first += 9) {
        Instance piece = instance;
        const auto rank = static_cast<std::size_t>(instance.section.rank());
        const auto begin = instance.points.begin() + first * static_cast<std::int64_t>(rank);
        const auto count = std::min<std::int64_t>(9, instance.count() - first) * static_cast<std::int64_t>(rank);
        piece.points.assign(begin, begin + count);
        const auto losses = section(*landscape, piece, Precision::f64, choice);
        pieces.insert(pieces.end(), losses.begin(), losses.end());
      }
      EXPECT_TRUE(same_bits(pieces, whole));
      std::vector<double> others[2];
      {
        std::vector<std::jthread> threads;
        for (auto& other : others) {
          threads.emplace_back([&] { other = section(*landscape, instance, Precision::f64, choice); });
        }
      }
      for (const auto& other : others) EXPECT_TRUE(same_bits(other, whole));
    }
  }
}

TEST_F(CudaSection, OneSetUpServesManyCallsAlsoAfterOneThatFailed) {
  std::stop_source stopped;
  stopped.request_stop();
  const Control stop{{}, stopped.get_token()};
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto rank = static_cast<std::size_t>(instance.section.rank());
    const auto points = std::span<const double>(instance.points);
    const auto landscape = on_cuda(instance);
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      const auto whole = section(*landscape, instance, Precision::fast, choice);
      const SectionPlan plan = plan_of(instance, choice);
      EXPECT_THROW(landscape->section(plan, Precision::fast, stop), Interrupted);
      const auto ready = landscape->section(plan, Precision::fast, {});
      std::vector<double> losses(whole.size(), -1.0);
      for (std::size_t first = 0, size = 1; first < points.size() / rank; first += size, size = size % 7 + 3) {
        const std::size_t count = std::min(size, points.size() / rank - first);
        ready->losses({points.subspan(first * rank, count * rank), plan.rank}, {},
                      std::span(losses).subspan(first * 2, count * 2));
      }
      EXPECT_TRUE(same_bits(losses, whole));
      EXPECT_THROW(ready->losses({points, plan.rank}, stop, losses), Interrupted);
      if (emulator()) {
        emulator()->set_memory_limit(1);
        EXPECT_THROW(ready->losses({points, plan.rank}, {}, losses), OutOfMemory);
        emulator()->reset();
      }
      losses.assign(whole.size(), -1.0);
      ready->losses({points, plan.rank}, {}, losses);
      EXPECT_TRUE(same_bits(losses, whole));
    }
  }
}

// The first limit at which the section fails is a batch of one point; every larger one must give the same bits.
TEST_F(CudaSection, LittleMemoryGivesTheSameBitsOrSaysHowMuch) {
  if (!emulator()) GTEST_SKIP() << "needs the settable memory limit of the emulated device";
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto landscape = on_cuda(instance);
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      const auto whole = section(*landscape, instance, Precision::f64, choice);
      const auto held = static_cast<std::size_t>(emulator()->counts().device_bytes);
      int failed = 0, passed = 0;
      for (std::size_t extra = 1024; extra < 4 << 20; extra += extra / 2) {
        emulator()->set_memory_limit(held + extra);
        try {
          EXPECT_TRUE(same_bits(section(*landscape, instance, Precision::f64, choice), whole)) << extra;
          ++passed;
        } catch (const OutOfMemory& error) {
          EXPECT_GT(error.bytes(), static_cast<std::int64_t>(extra) / 4) << error.what();
          EXPECT_EQ(passed, 0) << "less memory was enough";
          ++failed;
        }
      }
      EXPECT_GT(failed, 0);
      EXPECT_GT(passed, 2);
      emulator()->reset();
    }
  }
}

// Points of every batch leave half precision: what is computed again is theirs alone, in whatever batches they come.
TEST_F(CudaSection, FlaggedPointsOfManyTiles) {
  if (!emulator()) GTEST_SKIP() << "needs the settable memory limit of the emulated device";
  constexpr std::size_t kPoints = 300;
  for (const Support support : {Support::first, Support::all}) {
    Instance instance = make_instance({.widths = {3, 9, 7, 3},
                                       .activation = Activation::relu,
                                       .bias = Bias::none,
                                       .support = support,
                                       .rank = 1,
                                       .points = kPoints,
                                       .seed = 34});
    std::ranges::fill(std::span(instance.section.origin).first(27), 0.0);  // activations are proportional to α
    for (std::size_t g = 0; g < kPoints; ++g) instance.points[g] = 0.5 + 0.002 * static_cast<double>(g);
    const auto landscape = on_cuda(instance);
    const auto launches = [&] {
      emulator()->reset();
      const auto losses = section(*landscape, instance, Precision::fast);
      return std::pair(emulator()->counts().launches, losses);
    };
    const auto [without, unflagged] = launches();
    for (std::size_t g = 0; g < kPoints; g += 5) instance.points[g] = 1e6 + static_cast<double>(g);
    const auto [with, whole] = launches();
    EXPECT_GT(with, without) << "nothing is queued but for flagged points";
    const auto f32 = section(*landscape, instance, Precision::f32);
    for (std::size_t g = 0; g < kPoints; ++g) EXPECT_EQ(whole[g], g % 5 == 0 ? f32[g] : unflagged[g]) << g;
    const auto held = static_cast<std::size_t>(emulator()->counts().device_bytes);
    std::int64_t batches = 0;
    for (std::size_t extra = 4096; extra < 1 << 16; extra += extra / 2) {
      emulator()->set_memory_limit(held + extra);
      std::int64_t parts = 0;
      try {
        const auto losses = section(*landscape, instance, Precision::fast, Plan::automatic,
                                    {[&](const ProgressEvent&) { ++parts; }, {}});
        EXPECT_TRUE(same_bits(losses, whole)) << extra;
      } catch (const OutOfMemory& error) {
        EXPECT_GT(error.bytes(), static_cast<std::int64_t>(extra) / 4) << error.what();
      }
      batches = std::max(batches, parts);
    }
    EXPECT_GT(batches, 8);
    emulator()->reset();
  }
}

TEST(PairBlocks, WeightsServeManyChunksOrPoints) {
  using cuda::block_share;
  using cuda::PairKernel;
  const cuda::DeviceLimits device{.shared_bytes = 227 << 10, .multiprocessors = 132};
  // Wide shared layers stream, or stay, for four points at a time: 250 groups of them.
  EXPECT_EQ(block_share(PairKernel::stream, false, 1000, 235, device).points, 1);
  EXPECT_EQ(block_share(PairKernel::stream, false, 1000, 235, device).chunks, 111);
  EXPECT_EQ(block_share(PairKernel::stream, true, 20, 235, device).chunks, 8);
  EXPECT_EQ(block_share(PairKernel::stream, true, 1, 235, device).chunks, 1);
  EXPECT_EQ(block_share(PairKernel::fused, true, 1000, 235, device).chunks, 222);
  EXPECT_EQ(block_share(PairKernel::fused, false, 1000, 235, device).points, 64);
  EXPECT_EQ(block_share(PairKernel::fused, false, 1000, 235, device).chunks, 1);
  EXPECT_EQ(block_share(PairKernel::tensor, false, 1000, 235, device).points, 32);
  EXPECT_EQ(block_share(PairKernel::tensor, false, 1, 1, device).points, 2);
}

TEST(PairBlocks, TilesTakeTensOfMilliseconds) {
  using cuda::batch_flop;
  using cuda::PairKernel;
  const cuda::DeviceLimits hopper{.shared_bytes = 227 << 10, .multiprocessors = 132};
  cuda::DeviceLimits graphics = hopper;
  graphics.f32_per_f64 = 64;
  for (const PairKernel kernel : {PairKernel::tensor, PairKernel::stream}) {
    EXPECT_NEAR(batch_flop(kernel, Precision::f64, hopper), 5e11, 1e10);
    EXPECT_NEAR(batch_flop(kernel, Precision::f32, hopper), 5e11, 1e10);
    EXPECT_NEAR(batch_flop(kernel, Precision::fast, hopper), 3e12, 1e11);
    EXPECT_EQ(batch_flop(kernel, Precision::f64, graphics), batch_flop(kernel, Precision::f64, hopper) / 32);
    EXPECT_EQ(batch_flop(kernel, Precision::f32, graphics), batch_flop(kernel, Precision::f32, hopper));
  }
  EXPECT_EQ(batch_flop(PairKernel::fused, Precision::f64, hopper), cuda::kBatchFlop);
}

TEST_F(CudaSection, NonFinitePointsStayWhereTheyAre) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto landscape = on_cuda(instance);
    const auto finite = section(*landscape, instance, Precision::f64);
    Instance other = instance;
    other.points[2 * 7] = std::numeric_limits<double>::quiet_NaN();
    auto losses = section(*landscape, other, Precision::f64);
    for (const std::size_t i : {14, 15}) {
      EXPECT_TRUE(std::isnan(losses[i]));
      losses[i] = finite[i];
    }
    EXPECT_TRUE(same_bits(losses, finite));
  }
}

TEST_F(CudaSection, ReturnsThePrecisionThatRan) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto landscape = on_cuda(instance);
    const SectionPlan plan = plan_of(instance);
    std::vector<double> losses(static_cast<std::size_t>(instance.count() * 2));
    const auto ran = [&](Precision wanted) {
      return section_losses(*landscape, plan, instance.points, wanted, {}, losses);
    };
    const Precision single = plan.kind == PlanKind::quadratic ? Precision::f64 : Precision::f32;
    EXPECT_EQ(ran(Precision::f64), Precision::f64);
    EXPECT_EQ(ran(Precision::f32), single);
    EXPECT_EQ(ran(Precision::fast), plan.kind == PlanKind::joint ? Precision::fast : single);
  }
}

TEST_F(CudaSection, OutputsOfASampleFreePlan) {
  const Instance instance = make_instance(
      {.widths = {4, 7, 30, 6}, .heads = 2, .support = Support::theorem1, .rank = 3, .points = 41, .seed = 12});
  std::vector<double> outputs(41 * 6);
  on_cuda(instance)->section_outputs(plan_of(instance), instance.points, {}, outputs);
  for (std::size_t g = 0; g < 41; ++g) {
    const auto theta = reference::section_point(instance.section, std::span(instance.points).subspan(g * 3, 3));
    const auto expected = reference::outputs(instance.network, theta, instance.data.input(0));
    EXPECT_LE(max_difference(std::span(outputs).subspan(g * 6, 6), expected), 1e-13);
  }
}

TEST_F(CudaSection, ProgressReachesTheEndAndAStopInterrupts) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const auto landscape = on_cuda(instance);
    std::int64_t done = 0;
    const auto progress = [&](const ProgressEvent& event) {
      EXPECT_LT(done, event.done);
      EXPECT_EQ(event.total, instance.count());
      done = event.done;
    };
    section(*landscape, instance, Precision::f64, Plan::automatic, {progress, {}});
    EXPECT_EQ(done, instance.count());
    std::stop_source source;
    source.request_stop();
    EXPECT_THROW(section(*landscape, instance, Precision::f64, Plan::automatic, {{}, source.get_token()}), Interrupted);
  }
}

}  // namespace
}  // namespace lossatlas
