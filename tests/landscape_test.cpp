// Landscapes against the oracle: every plan, general sections, exactness, bad arguments.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/landscape.hpp>
#include <map>
#include <string>
#include <thread>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

struct Problem {
  Network network;
  Dataset data;
  Loss loss;
};

Dataset random_data(std::int64_t samples, std::int64_t features, std::int64_t outputs, Loss loss, std::uint64_t seed) {
  Random random(seed);
  return reference::random_data(random, samples, features, outputs, loss);
}

std::vector<double> random_points(std::int64_t count, std::int64_t rank, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> points(static_cast<std::size_t>(count * rank));
  for (double& value : points) value = random.uniform(-1, 1);
  return points;
}

/// The largest |L − oracle| / (|oracle| + mean max |output|) of a surface at a list of points.
double worst_error(const Problem& problem, const Section& section, std::span<const double> points,
                   const Surface& surface) {
  const auto z = static_cast<std::size_t>(section.rank());
  const auto heads = static_cast<std::size_t>(problem.network.heads());
  double worst = 0;
  for (std::size_t g = 0; g < points.size() / z; ++g) {
    const std::vector<double> theta = reference::section_point(section, points.subspan(g * z, z));
    const std::vector<double> expected = reference::losses(problem.network, theta, problem.data, problem.loss);
    const double scale = reference::mean_max_output(problem.network, theta, problem.data);
    for (std::size_t k = 0; k < heads; ++k) {
      const double error = std::abs(surface.losses[g * heads + k] - expected[k]) / (std::abs(expected[k]) + scale);
      if (std::isnan(error)) return std::numeric_limits<double>::infinity();
      worst = std::max(worst, error);
    }
  }
  return worst;
}

TEST(Landscape, GeneralSectionAgreesWithTheOracle) {
  const Problem problem{mlp({784, 64, 64, 10}, Activation::tanh), glyphs(60), Loss::cross_entropy};
  const std::vector<double> theta = random_parameters(problem.network, {.seed = 3});
  const std::vector<double> kept = theta;
  const Section section =
      make_section(problem.network, theta, random_directions(problem.network, theta, {.count = 2, .seed = 4}));
  const std::vector<double> points = random_points(12, 2, 5);
  const Landscape landscape(problem.network, problem.data, problem.loss);
  const Surface f64 = landscape.evaluate(section, points);
  const Surface f32 = landscape.evaluate(section, points, {.precision = Precision::f32});
  EXPECT_LT(worst_error(problem, section, points, f64), 1e-12);
  EXPECT_LT(worst_error(problem, section, points, f32), 1e-6);
  EXPECT_EQ(f32.precision, Precision::f32);
  const Surface fast = landscape.evaluate(section, points, {.precision = Precision::fast});
  EXPECT_LT(worst_error(problem, section, points, fast), 2e-3);
  EXPECT_EQ(fast.precision, landscape.device().kind() == Device::Kind::cpu ? Precision::f32 : Precision::fast);
  EXPECT_EQ(theta, kept);
}

/// Directions that move some blocks only, and an origin with some weights zero, so that every plan occurs.
Section random_section(const Network& network, Random& random, std::int64_t rank) {
  Section section{random_parameters(network, {.seed = random.bits()}), {}, {}};
  const std::int64_t cut = random.below(4);  // 1: first weights zero (Theorem 1), 2: into half the units (Theorem 2)
  const auto first = network.view(std::span<double>(section.origin), 0).weight;
  const std::int64_t rows = cut == 1 ? first.out : cut == 2 ? first.out / 2 : 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (double& weight : first.row(row)) weight = 0;
  }
  std::vector<char> moved;
  for (std::size_t b = 0; b < network.blocks().size(); ++b) moved.push_back(random.below(2) != 0);
  for (std::int64_t i = 0; i < rank; ++i) {
    std::vector<double> direction(section.origin.size(), 0.0);
    for (std::size_t b = 0; b < network.blocks().size(); ++b) {
      const ParameterBlock& block = network.blocks()[b];
      const bool cut_weights = rows > 0 && block.layer == 0 && block.kind == ParameterBlock::Kind::weight;
      if (!moved[b] || cut_weights) continue;
      for (std::int64_t k = 0; k < block.size(); ++k) {
        const bool only_cut_units = cut == 2 && block.layer == 0 && k >= rows;
        direction[static_cast<std::size_t>(block.offset + k)] = only_cut_units ? 0 : random.normal();
      }
    }
    section.directions.insert(section.directions.end(), direction.begin(), direction.end());
  }
  return section;
}

TEST(Landscape, EveryPlanAgreesWithTheOracleAndWithDirect) {
  constexpr std::uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  std::map<std::string, int> kinds;
  for (int i = 0; i < 150; ++i) {
    const std::int64_t depth = 1 + random.below(3), heads = 1 + random.below(3), classes = 2 + random.below(3);
    std::vector<std::int64_t> widths;
    for (std::int64_t l = 0; l < depth; ++l) widths.push_back(1 + random.below(20));
    widths.push_back(heads * classes);
    const Activation activation = all_activations()[static_cast<std::size_t>(random.below(8))];
    const Bias bias = std::array{Bias::all, Bias::hidden, Bias::none}[static_cast<std::size_t>(random.below(3))];
    const Loss loss = random.below(2) ? Loss::cross_entropy : Loss::mean_squared_error;
    const Problem problem{mlp(widths, activation, {.bias = bias, .heads = heads}),
                          random_data(1 + random.below(40), widths[0], classes, loss, random.bits()), loss};
    const std::int64_t rank = 1 + random.below(4);
    const Section section = random_section(problem.network, random, rank);
    const std::vector<double> points = random_points(5, rank, random.bits());
    const Landscape landscape(problem.network, problem.data, loss);
    const Surface planned = landscape.evaluate(section, points);
    const Surface direct = landscape.evaluate(section, points, {.plan = Plan::direct});
    const Surface single = landscape.evaluate(section, points, {.precision = Precision::f32});
    ASSERT_LT(worst_error(problem, section, points, planned), 1e-12) << i << '\n' << planned.plan;
    ASSERT_LT(worst_error(problem, section, points, direct), 1e-12) << i << '\n' << direct.plan;
    ASSERT_LT(worst_error(problem, section, points, single), 1e-6) << i << '\n' << single.plan;
    ++kinds[planned.plan.substr(0, planned.plan.find_first_of(" \n", 6))];
  }
  for (const char* kind : {"plan: joint", "plan: sample-free", "plan: quadratic"}) EXPECT_GT(kinds[kind], 3) << kind;
}

// Where the plan is the direct one by its own choice.
TEST(Landscape, ManyDirectionsOfFewInputsAgreeWithTheOracle) {
  constexpr std::uint64_t kSeed = 21;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    for (const std::int64_t inputs : {1, 2, 3}) {
      const Problem problem{mlp({inputs, 7, 2}, Activation::tanh), random_data(33, inputs, 2, loss, random.bits()),
                            loss};
      const std::vector<double> theta = random_parameters(problem.network, {.seed = random.bits()});
      const Section section = make_section(
          problem.network, theta, random_directions(problem.network, theta, {.count = 12, .seed = random.bits()}));
      std::vector<double> points = random_points(5, 12, random.bits());
      for (double& alpha : points) alpha /= 12;
      const Surface surface = Landscape(problem.network, problem.data, loss).evaluate(section, points);
      EXPECT_EQ(surface.plan.find("plan: direct"), 0u) << surface.plan;
      EXPECT_LT(worst_error(problem, section, points, surface), 1e-12) << surface.plan;
    }
  }
}

TEST(Landscape, GridsOfAnyShape) {
  const Problem problem{mlp({4, 9, 3}, Activation::softplus), random_data(17, 4, 3, Loss::cross_entropy, 1),
                        Loss::cross_entropy};
  const Landscape landscape(problem.network, problem.data, problem.loss);
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{1}, {7}, {3, 5}, {1, 4}, {4, 1}, {2, 3, 4}, {2, 1, 3, 2}}) {
    const auto rank = static_cast<std::int64_t>(shape.size());
    const std::vector<double> theta = random_parameters(problem.network, {.seed = 2});
    const Section section =
        make_section(problem.network, theta, random_directions(problem.network, theta, {.count = rank, .seed = 8}));
    const Grid grid = Grid::box(-1, 2, shape);
    const Surface surface = landscape.evaluate(section, grid);
    ASSERT_EQ(surface.size(), grid.size());
    EXPECT_TRUE(surface.points.empty());
    std::vector<double> points;
    for (std::int64_t g = 0; g < grid.size(); ++g) {
      std::vector<double> alpha(shape.size());
      grid.point(g, alpha);
      points.insert(points.end(), alpha.begin(), alpha.end());
    }
    EXPECT_LT(worst_error(problem, section, points, surface), 1e-12);
    EXPECT_EQ(landscape.evaluate(section, points).losses, surface.losses);
  }
}

TEST(Landscape, SameBitsForAnyNumberOfThreads) {
  const Problem problem{mlp({784, 33, 10}, Activation::tanh), glyphs(130), Loss::cross_entropy};
  const std::vector<double> theta = random_parameters(problem.network, {.seed = 3});
  const Section section =
      make_section(problem.network, theta, random_directions(problem.network, theta, {.count = 2, .seed = 4}));
  const std::vector<double> points = random_points(9, 2, 6);
  const Landscape one(problem.network, problem.data, problem.loss, Device::cpu({.threads = 1}));
  const Landscape three(problem.network, problem.data, problem.loss, Device::cpu({.threads = 3}));
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    const Surface a = one.evaluate(section, points, {.precision = precision});
    EXPECT_EQ(a.losses, three.evaluate(section, points, {.precision = precision}).losses);
    for (std::size_t g = 0; g < 9; ++g) {
      EXPECT_EQ(a.losses[g],
                three.evaluate(section, std::span(points).subspan(2 * g, 2), {.precision = precision}).losses[0]);
    }
  }
  EXPECT_EQ(one.gradient(theta), three.gradient(theta));
  EXPECT_EQ(one.evaluate(theta).losses, three.evaluate(theta).losses);
}

TEST(Landscape, LossAccuracyAndGradientAgreeWithTheOracle) {
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    const Network network = mlp({6, 8, 5, 8}, Activation::gelu, {.heads = 2});
    const Dataset data = random_data(50, 6, 4, Loss::cross_entropy, 9);
    const Landscape landscape(network, data, loss);
    const std::vector<double> theta = random_parameters(network, {.seed = 10});
    const Evaluation evaluation = landscape.evaluate(theta);
    EXPECT_LT(reference::max_difference(evaluation.losses, reference::losses(network, theta, data, loss)), 1e-14);
    EXPECT_EQ(evaluation.accuracy, reference::accuracy(network, theta, data));
    EXPECT_DOUBLE_EQ(evaluation.loss(), reference::risk(network, theta, data, loss));
    EXPECT_LT(reference::max_difference(landscape.gradient(theta), reference::gradient(network, theta, data, loss)),
              1e-13);
  }
}

TEST(Landscape, NonFiniteLossesStayWhereTheyArise) {
  const Network network = mlp({3, 4, 2}, Activation::relu);
  const Dataset data = random_data(10, 3, 2, Loss::cross_entropy, 1);
  Section section{random_parameters(network, {.seed = 1}), std::vector<double>(26, 0.0), {}};
  section.directions[2] = 1e308;
  const Surface surface =
      Landscape(network, data, Loss::cross_entropy).evaluate(section, std::vector<double>{0, 1e5, -0.5e-308});
  EXPECT_TRUE(std::isfinite(surface.losses[0]));
  EXPECT_FALSE(std::isfinite(surface.losses[1]));
  EXPECT_TRUE(std::isfinite(surface.losses[2]));
  EXPECT_EQ(surface.nonfinite, 1);
}

TEST(Landscape, OutputsOfASampleFreeSection) {
  const Network network = mlp({5, 4, 6, 6}, Activation::tanh, {.heads = 2});
  Section section{random_parameters(network, {.seed = 1}),
                  std::vector<double>(static_cast<std::size_t>(network.parameter_count()), 0.0),
                  {}};
  for (std::size_t k = 0; k < 20; ++k) section.origin[k] = 0;
  section.directions[21] = 1;
  const Landscape landscape(network, random_data(7, 5, 3, Loss::cross_entropy, 2), Loss::cross_entropy);
  const std::vector<double> points = {0, 0.25, -3};
  const std::vector<double> outputs = landscape.outputs(section, points);
  ASSERT_EQ(outputs.size(), 18u);
  for (std::size_t g = 0; g < 3; ++g) {
    const std::vector<double> expected = reference::outputs(
        network, reference::section_point(section, std::span(points).subspan(g, 1)), landscape.data().input(3));
    EXPECT_LT(reference::max_difference(std::span(outputs).subspan(6 * g, 6), expected), 1e-14);
  }
  section.origin[0] = 1e-6;
  EXPECT_ERROR(landscape.outputs(section, points), InvalidArgument, "depends on the input");
}

TEST(Landscape, EndsOfALineAreTheGivenParameters) {
  const Problem problem{mlp({4, 9, 3}, Activation::tanh), random_data(17, 4, 3, Loss::cross_entropy, 1),
                        Loss::cross_entropy};
  const Landscape landscape(problem.network, problem.data, problem.loss);
  std::vector<double> a = random_parameters(problem.network, {.seed = 1});
  const std::vector<double> b = random_parameters(problem.network, {.seed = 2}),
                            c = random_parameters(problem.network, {.seed = 3});
  for (double& value : a) value *= 1e17;  // a + (b − a) is nothing like b
  const Surface surface = landscape.evaluate(plane_section(problem.network, a, b, c), Grid::unit({3, 4}));
  EXPECT_EQ(surface.losses[8], landscape.evaluate(b).loss());
  EXPECT_EQ(surface.losses[3], landscape.evaluate(c).loss());
}

TEST(Landscape, ConstCallsFromSeveralThreads) {
  const Problem problem{mlp({784, 20, 10}, Activation::gelu), glyphs(70), Loss::cross_entropy};
  const Landscape landscape(problem.network, problem.data, problem.loss);
  const std::vector<double> theta = random_parameters(problem.network, {.seed = 3});
  const Section section = make_section(problem.network, theta, random_directions(problem.network, theta, {.count = 2}));
  const Surface alone = landscape.evaluate(section, Grid::unit({5, 5}));
  const std::vector<double> gradient = landscape.gradient(theta);
  std::vector<char> same(4, 0);
  {
    std::vector<std::jthread> team;
    for (std::size_t t = 0; t < same.size(); ++t) {
      team.emplace_back([&, t] {
        same[t] = landscape.evaluate(section, Grid::unit({5, 5})).losses == alone.losses &&
                  landscape.gradient(theta) == gradient;
      });
    }
  }
  EXPECT_EQ(same, std::vector<char>(4, 1));
}

TEST(Landscape, ImpossiblyLargeGridIsOutOfMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the process where operator new would throw";
#endif
  const Landscape landscape(mlp({1, 1}, Activation::tanh), tanh3(), Loss::mean_squared_error);
  const Section section = make_section(landscape.network(), {0, 0}, {1, 0, 0, 1});
  try {
    landscape.evaluate(section, Grid::unit({300000000, 3000000}));
    FAIL() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.bytes(), std::int64_t{300000000} * 3000000 * 8) << "the losses; coordinates are not held";
  }
}

TEST(Landscape, StopAndProgress) {
  const Network network = mlp({784, 64, 64, 10}, Activation::tanh);
  const Landscape landscape(network, glyphs(500), Loss::cross_entropy, Device::cpu());
  const std::vector<double> theta = random_parameters(network, {.seed = 3});
  const Section section = make_section(network, theta, random_directions(network, theta, {.count = 2}));
  std::stop_source source;
  std::int64_t reports = 0, last = 0;
  EvaluateOptions options;
  options.control.stop = source.get_token();
  options.control.progress = [&](const ProgressEvent& event) {
    ++reports;
    last = event.done;
    if (event.stage == "section" && event.done * 10 > event.total) source.request_stop();
  };
  EXPECT_THROW(landscape.evaluate(section, Grid::box(-1, 1, {60, 60}), options), Interrupted);
  EXPECT_GT(reports, 0);
}

TEST(Landscape, BadArguments) {
  const Network network = mlp({3, 4, 2}, Activation::tanh);
  const Dataset data = random_data(10, 3, 2, Loss::cross_entropy, 1);
  EXPECT_ERROR(Landscape(mlp({4, 2}, Activation::tanh), data, Loss::cross_entropy), InvalidArgument, "3 features");
  EXPECT_ERROR(Landscape(mlp({3, 1}, Activation::tanh), data, Loss::cross_entropy), InvalidArgument, "2 classes");
  EXPECT_ERROR(Landscape(Network(), data, Loss::cross_entropy), InvalidArgument, "empty network");
  EXPECT_ERROR(
      Landscape(mlp({3, 2}, Activation::tanh), random_data(4, 3, 2, Loss::mean_squared_error, 1), Loss::cross_entropy),
      InvalidArgument, "label distribution");
  const Landscape landscape(network, data, Loss::cross_entropy);
  const std::vector<double> theta(26);
  EXPECT_ERROR(landscape.evaluate(std::vector<double>(25)), InvalidArgument, "25 parameters, expected 26");
  EXPECT_ERROR(landscape.gradient(std::vector<double>(27)), InvalidArgument, "27 parameters");
  const Section section = make_section(network, theta, std::vector<double>(52, 1.0));
  EXPECT_ERROR(landscape.evaluate(section, Grid::unit({3})), InvalidArgument, "1 axes for 2 directions");
  EXPECT_ERROR(landscape.evaluate(section, std::vector<double>{1, 2, 3}), InvalidArgument, "3 coordinates");
  EXPECT_ERROR(landscape.evaluate(section, std::vector<double>{1, std::nan("")}), InvalidArgument, "points");
  EXPECT_ERROR(landscape.evaluate(section, std::vector<double>{}), InvalidArgument, "0 coordinates");
}

}  // namespace
}  // namespace lossatlas
