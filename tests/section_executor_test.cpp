#include "cpu/section_executor.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <sys/resource.h>
#include <lossatlas/error.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/section.hpp>

#include "precision_errors.hpp"
#include "reference/oracle.hpp"
#include "section/plan.hpp"
#include "section_instance.hpp"

namespace lossatlas {
namespace {

std::vector<double> run(const SectionPlan& plan, const Instance& instance, Precision precision, int threads = 2,
                        const Control& control = {}) {
  std::vector<double> losses(static_cast<std::size_t>(instance.count() * instance.network.heads()), -1.0);
  const LabelStatistics statistics = label_statistics(instance.data);
  cpu::make_section(plan, instance.data, statistics, precision, threads, control)
      ->losses({instance.points, plan.rank}, control, losses);
  return losses;
}

std::vector<double> run(const Instance& instance, Precision precision, Plan choice = Plan::automatic, int threads = 2) {
  return run(plan_section(instance.network, instance.loss, instance.section, choice), instance, precision, threads);
}

void expect_close(const std::vector<double>& actual, const Expected& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.losses.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected.losses[i]);
    EXPECT_TRUE(error <= tolerance * expected.scales[i])
        << "loss " << i << " is " << actual[i] << ", expected " << expected.losses[i] << ", relative to scale "
        << error / expected.scales[i];
  }
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// Both plans in both precisions against the formulas.
void check(const Problem& problem) {
  SCOPED_TRACE("seed " + std::to_string(problem.seed) + ", N " + std::to_string(problem.samples) + ", widths " +
               ::testing::PrintToString(problem.widths) + ", activation " + std::string(name(problem.activation)) +
               ", support " + std::to_string(static_cast<int>(problem.support)));
  const Instance instance = make_instance(problem);
  const Expected expected = naive(instance);
  for (const Plan choice : {Plan::automatic, Plan::direct}) {
    SCOPED_TRACE(choice == Plan::direct ? "direct" : "automatic");
    expect_close(run(instance, Precision::f64, choice), expected, 1e-12);
    expect_close(run(instance, Precision::f32, choice), expected, 1e-6);
  }
}

constexpr Support kSupports[] = {Support::all,      Support::upper,    Support::last,         Support::all_biases,
                                 Support::theorem1, Support::theorem2, Support::output_biases};

TEST(SectionExecutor, MatchesTheFormulasForEverySupportLossAndTarget) {
  std::uint64_t seed = 1;
  for (const Support support : kSupports) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      for (const Targets targets : {Targets::labels, Targets::real}) {
        for (const std::int64_t heads : {1, 2, 3}) {
          check({.widths = {5, 9, 13, 3 * heads},
                 .heads = heads,
                 .loss = loss,
                 .targets = targets,
                 .support = support,
                 .samples = 37,
                 .rank = 1 + static_cast<std::int64_t>(seed % 4),
                 .seed = seed});
          ++seed;
        }
      }
    }
  }
}

TEST(SectionExecutor, TheSupportsReachEveryKindOfPlan) {
  const auto kind = [](Support support) {
    const Instance instance =
        make_instance({.widths = {5, 9, 13, 3}, .loss = Loss::mean_squared_error, .support = support});
    return plan_section(instance.network, instance.loss, instance.section, Plan::automatic).kind;
  };
  EXPECT_EQ(kind(Support::all), PlanKind::joint);
  EXPECT_EQ(kind(Support::theorem2), PlanKind::joint);
  EXPECT_EQ(kind(Support::theorem1), PlanKind::sample_free);
  EXPECT_EQ(kind(Support::last), PlanKind::quadratic);
}

TEST(SectionExecutor, WidthsStraddlePanelsAndLanes) {
  std::uint64_t seed = 1000;
  for (const std::int64_t width : {1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 31, 33}) {
    for (const Support support : {Support::all, Support::upper, Support::theorem1, Support::theorem2}) {
      check({.widths = {3, width, 34 - width, width},
             .loss = width % 2 == 0 ? Loss::cross_entropy : Loss::mean_squared_error,
             .support = support,
             .samples = 11,
             .points = 3,
             .seed = ++seed});
    }
  }
}

TEST(SectionExecutor, SamplesRunThroughEveryRemainderAndTheChunkBorders) {
  std::uint64_t seed = 2000;
  for (std::int64_t samples = 1; samples <= 66; ++samples) {
    check({.widths = {2, 3, 3}, .samples = samples, .rank = 1, .points = 2, .seed = ++seed});
  }
  for (const std::int64_t samples : {1023, 1024, 1025, 2049, 3000}) {
    check({.widths = {2, 3, 4, 3}, .samples = samples, .points = 2, .seed = ++seed});
    check({.widths = {2, 3, 4, 3}, .support = Support::upper, .samples = samples, .points = 3, .seed = ++seed});
    check({.widths = {2, 4, 3},
           .loss = Loss::mean_squared_error,
           .support = Support::last,
           .samples = samples,
           .seed = ++seed});
  }
}

TEST(SectionExecutor, PointsRunThroughEveryRemainder) {
  std::uint64_t seed = 3000;
  for (std::int64_t points = 1; points <= 40; ++points) {
    check({.widths = {2, 5, 6, 3}, .support = Support::theorem1, .samples = 3, .points = points, .seed = ++seed});
    check({.widths = {2, 5, 6, 3}, .support = Support::theorem2, .samples = 3, .points = points, .seed = ++seed});
  }
}

TEST(SectionExecutor, EveryActivationAndBias) {
  std::uint64_t seed = 4000;
  for (const Activation activation : all_activations()) {
    for (const Bias bias : {Bias::all, Bias::hidden, Bias::none}) {
      for (const Support support : {Support::all, Support::upper, Support::last}) {
        check({.widths = {4, 10, 7, 3}, .activation = activation, .bias = bias, .support = support, .seed = ++seed});
      }
      if (bias == Bias::none) continue;
      check({.widths = {4, 10, 7, 3},
             .activation = activation,
             .bias = bias,
             .support = Support::theorem1,
             .seed = ++seed});
      check({.widths = {4, 10, 7, 3},
             .activation = activation,
             .bias = bias,
             .support = Support::theorem2,
             .seed = ++seed});
    }
  }
}

TEST(SectionExecutor, NetworksOfOneLayerAndManyPoints) {
  check({.widths = {6, 4}, .samples = 50, .points = 100, .seed = 5001});
  check({.widths = {6, 4}, .loss = Loss::mean_squared_error, .samples = 50, .rank = 3, .points = 2000, .seed = 5002});
  check({.widths = {6, 8, 4}, .heads = 2, .support = Support::upper, .samples = 5, .points = 1000, .seed = 5003});
}

TEST(SectionExecutor, DenseDirectionsOfAnImageNetwork) {
  check({.widths = {784, 64, 64, 10}, .samples = 70, .points = 3, .seed = 5101});
  check({.widths = {784, 64, 64, 10}, .support = Support::upper, .samples = 70, .points = 3, .seed = 5102});
}

// So much work for a sample that chunks are shorter than usual. Repeated samples leave the mean as it is.
TEST(SectionExecutor, ShortChunksOfWideNetworks) {
  const Instance instance =
      make_instance({.widths = {2, 800, 800, 2}, .samples = 20, .rank = 1, .points = 1, .seed = 61});
  const Expected expected = naive(instance);
  Instance repeated = instance;
  std::vector<double> inputs;
  std::vector<std::int32_t> labels;
  for (int k = 0; k < 40; ++k) {
    inputs.insert(inputs.end(), instance.data.inputs().begin(), instance.data.inputs().end());
    labels.insert(labels.end(), instance.data.labels().begin(), instance.data.labels().end());
  }
  repeated.data = Dataset::classification(inputs, 2, labels, 2);
  for (const Plan choice : {Plan::automatic, Plan::direct}) {
    expect_close(run(repeated, Precision::f64, choice), expected, 1e-12);
    expect_close(run(repeated, Precision::f32, choice), expected, 1e-6);
  }
}

TEST(SectionExecutor, ThePerfectFitOfAQuadraticIsFree) {
  Problem problem{.widths = {4, 12, 3},
                  .loss = Loss::mean_squared_error,
                  .targets = Targets::real,
                  .support = Support::last,
                  .samples = 600,
                  .rank = 3,
                  .seed = 7};
  Instance instance = make_instance(problem);
  instance.points = {0.25, -0.5, 0.75};
  std::vector<double> targets;
  for (std::int64_t n = 0; n < problem.samples; ++n) {
    const auto theta = reference::section_point(instance.section, instance.points);
    const auto p = reference::outputs(instance.network, theta, instance.data.input(n));
    targets.insert(targets.end(), p.begin(), p.end());
  }
  instance.data = Dataset::regression({instance.data.inputs().begin(), instance.data.inputs().end()}, 4, targets, 3);
  // Residuals of rounding size squared; through normal equations the floor would be 1e-16.
  EXPECT_LE(run(instance, Precision::f64)[0], 1e-28);
}

TEST(SectionExecutor, ReturnsThePrecisionThatRan) {
  const auto ran = [](const Problem& problem, Precision precision) {
    const Instance instance = make_instance(problem);
    const auto plan = plan_section(instance.network, instance.loss, instance.section, Plan::automatic);
    return cpu::section_precision(plan, precision);
  };
  const Problem dense{.widths = {3, 5, 2}};
  EXPECT_EQ(ran(dense, Precision::f64), Precision::f64);
  EXPECT_EQ(ran(dense, Precision::f32), Precision::f32);
  EXPECT_EQ(ran(dense, Precision::fast), Precision::f32);
  const Problem last{.widths = {3, 5, 2}, .loss = Loss::mean_squared_error, .support = Support::last};
  EXPECT_EQ(ran(last, Precision::f32), Precision::f64);
}

// One problem for each way through the executor.
std::vector<Problem> kinds() {
  std::vector<Problem> problems;
  for (const Support support : kSupports) {
    problems.push_back({.widths = {5, 19, 27, 6},
                        .heads = 2,
                        .loss = Loss::mean_squared_error,
                        .support = support,
                        .samples = 1100,
                        .points = 53,
                        .seed = 9});
  }
  return problems;
}

TEST(SectionExecutor, BitsDoNotDependOnThreadsOrCuts) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    for (const Precision precision : {Precision::f64, Precision::f32}) {
      for (const Plan choice : {Plan::automatic, Plan::direct}) {
        SCOPED_TRACE(std::to_string(static_cast<int>(problem.support)) + name(precision));
        const auto plan = plan_section(instance.network, instance.loss, instance.section, choice);
        const auto reference = run(plan, instance, precision, 1);
        EXPECT_TRUE(same_bits(reference, run(plan, instance, precision, 1)));
        EXPECT_TRUE(same_bits(reference, run(plan, instance, precision, 2)));
        EXPECT_TRUE(same_bits(reference, run(plan, instance, precision, 3)));
        const LabelStatistics statistics = label_statistics(instance.data);
        const auto section = cpu::make_section(plan, instance.data, statistics, precision, 2, {});
        std::vector<double> pieces(reference.size());
        for (std::int64_t first = 0, size = 1; first < instance.count(); first += size, size = size % 5 + 1) {
          const auto at = static_cast<std::size_t>(2 * first);
          const auto count = static_cast<std::size_t>(2 * std::min(instance.count() - first, size));
          section->losses({std::span(instance.points).subspan(at, count), plan.rank}, {},
                          std::span(pieces).subspan(at, count));
        }
        EXPECT_TRUE(same_bits(reference, pieces));
      }
    }
  }
}

TEST(SectionExecutor, AGridGivesTheBitsOfItsPointsInAList) {
  const Axis small{-1, 0.9, 9}, large{-0.8, 0.3, std::int64_t{1} << 40};
  const std::pair<Grid, std::int64_t> runs[] = {{Grid({small, {0.3, -0.8, 11}}), 5},
                                                {Grid({small, large}), large.points - 20}};
  for (const Problem& problem : kinds()) {
    for (const auto& [grid, first] : runs) {
      Instance instance = make_instance(problem);
      grid.points(first, instance.count(), instance.points);
      for (const Precision precision : {Precision::f64, Precision::f32}) {
        for (const Plan choice : {Plan::automatic, Plan::direct}) {
          const auto plan = plan_section(instance.network, instance.loss, instance.section, choice);
          const LabelStatistics statistics = label_statistics(instance.data);
          std::vector<double> losses(static_cast<std::size_t>(instance.count() * 2), -1.0);
          cpu::make_section(plan, instance.data, statistics, precision, 2, {})
              ->losses({grid, first, instance.count()}, {}, losses);
          EXPECT_TRUE(same_bits(losses, run(plan, instance, precision))) << static_cast<int>(problem.support);
        }
      }
    }
  }
}

TEST(SectionExecutor, NonFinitePointsStayWhereTheyAre) {
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    for (const Precision precision : {Precision::f64, Precision::f32}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(problem.support)) + name(precision));
      const auto reference = run(instance, precision);
      Instance other = instance;
      other.points[2 * 7] = std::numeric_limits<double>::quiet_NaN();
      other.points[2 * 20 + 1] = std::numeric_limits<double>::infinity();
      auto losses = run(other, precision);
      for (const std::size_t g : {7, 20}) {
        for (const std::size_t i : {2 * g, 2 * g + 1}) {
          EXPECT_FALSE(std::isfinite(losses[i]) && g == 7) << losses[i];
          losses[i] = reference[i];
        }
      }
      EXPECT_TRUE(same_bits(losses, reference));
    }
  }
}

// Finite but enormous logits: infinite or NaN losses of that point, no trap and no effect on the samples' padding.
TEST(SectionExecutor, OverflowingOutputsAreData) {
  Instance instance = make_instance({.widths = {3, 6, 4}, .activation = Activation::relu, .samples = 19, .seed = 11});
  instance.points = {1e200, 0.1, 0.2, 0.3};
  for (const Plan choice : {Plan::automatic, Plan::direct}) {
    const auto losses = run(instance, Precision::f32, choice);
    EXPECT_FALSE(std::isfinite(losses[0]));
    EXPECT_TRUE(std::isfinite(losses[1]));
  }
}

TEST(SectionExecutor, OutputsOfASampleFreePlan) {
  const Instance instance = make_instance(
      {.widths = {4, 7, 30, 6}, .heads = 2, .support = Support::theorem1, .rank = 3, .points = 41, .seed = 12});
  const auto plan = plan_section(instance.network, instance.loss, instance.section, Plan::automatic);
  std::vector<double> outputs(41 * 6);
  cpu::section_outputs(plan, instance.points, 2, {}, outputs);
  for (std::size_t g = 0; g < 41; ++g) {
    const auto theta = reference::section_point(instance.section, std::span(instance.points).subspan(g * 3, 3));
    const auto expected = reference::outputs(instance.network, theta, instance.data.input(0));
    for (std::size_t c = 0; c < 6; ++c) EXPECT_NEAR(outputs[g * 6 + c], expected[c], 1e-13);
  }
}

TEST(SectionExecutor, ReportsProgressToTheEnd) {
  for (const Support support : kSupports) {
    const Instance instance = make_instance({.widths = {4, 7, 6}, .support = support, .points = 300});
    std::int64_t done = 0, total = -1;
    const auto plan = plan_section(instance.network, instance.loss, instance.section, Plan::automatic);
    const auto progress = [&](const ProgressEvent& event) {
      EXPECT_EQ(event.done, done + 1);
      done = event.done;
      total = event.total;
    };
    run(plan, instance, Precision::f64, 2, {progress, {}});
    EXPECT_EQ(done, total);
  }
}

TEST(SectionExecutor, AStopEndsLongWorkSoon) {
  const Instance instance =
      make_instance({.widths = {64, 512, 512, 10}, .samples = 2000, .points = 100000, .seed = 13});
  const auto plan = plan_section(instance.network, instance.loss, instance.section, Plan::automatic);
  std::stop_source source;
  std::chrono::steady_clock::time_point requested;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    requested = std::chrono::steady_clock::now();
    source.request_stop();
  });
  EXPECT_THROW(run(plan, instance, Precision::f64, 2, {{}, source.get_token()}), Interrupted);
  stopper.join();
  const std::chrono::duration<double> late = std::chrono::steady_clock::now() - requested;
  EXPECT_LT(late.count(), 0.5) << "the goal is 0.1 s; the bound leaves room for a loaded machine";
}

TEST(SectionExecutor, AStopEndsTheSetUpAndACallAndTheNextCallIsWhole) {
  std::stop_source stopped;
  stopped.request_stop();
  const Control stop{{}, stopped.get_token()};
  for (const Problem& problem : kinds()) {
    const Instance instance = make_instance(problem);
    const LabelStatistics statistics = label_statistics(instance.data);
    for (const Plan choice : {Plan::automatic, Plan::direct}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(problem.support)));
      const auto plan = plan_section(instance.network, instance.loss, instance.section, choice);
      EXPECT_THROW(cpu::make_section(plan, instance.data, statistics, Precision::f64, 2, stop), Interrupted);
      const auto section = cpu::make_section(plan, instance.data, statistics, Precision::f64, 2, {});
      std::vector<double> losses(static_cast<std::size_t>(instance.count() * 2));
      EXPECT_THROW(section->losses({instance.points, plan.rank}, stop, losses), Interrupted);
      section->losses({instance.points, plan.rank}, {}, losses);
      EXPECT_TRUE(same_bits(losses, run(plan, instance, Precision::f64)));
    }
    EXPECT_THROW(plan_section(instance.network, instance.loss, instance.section, Plan::automatic, stop), Interrupted);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// In a process that may hold 4 GB: the A_d alone take 3 · 200 000 · 4096 · 8 bytes.
TEST(SectionExecutor, SaysHowManyBytesAreMissing) {
  const auto attempt = [] {
    const rlimit limit{std::size_t{4} << 30, std::size_t{4} << 30};
    setrlimit(RLIMIT_AS, &limit);
    try {
      run(make_instance({.widths = {1, 4096, 1}, .samples = 200000, .points = 1}), Precision::f64, Plan::automatic, 1);
    } catch (const OutOfMemory& error) {
      std::exit(error.bytes() >= std::int64_t{3} * 200000 * 4096 * 8 ? 0 : 1);
    }
    std::exit(2);
  };
  EXPECT_EXIT(attempt(), ::testing::ExitedWithCode(0), "");
}
#endif

// The same checks on every SIMD target that this machine can run.
TEST(SectionExecutor, EveryTarget) {
  const std::int64_t available = hwy::SupportedTargets();
  std::string last;
  for (const std::int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SSE4, HWY_SCALAR}) {
    if ((available & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(cpu::simd_target_name());
    EXPECT_STREQ(cpu::simd_target_name(), hwy::TargetName(target));
    for (const Support support : kSupports) {
      for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
        check({.widths = {5, 9, 27, 4}, .loss = loss, .support = support, .samples = 41, .seed = 14});
      }
    }
    for (std::int64_t width = 1; width <= 13; ++width) {
      check({.widths = {3, width, 14 - width, width}, .samples = width + 3, .points = 2, .seed = 15});
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace
}  // namespace lossatlas
