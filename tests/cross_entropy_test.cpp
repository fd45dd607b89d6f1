// Cross entropy at large logits: a number added to all outputs of a head changes neither loss nor derivative.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <lossatlas/hessian.hpp>
#include <lossatlas/implicit_activation.hpp>
#include <lossatlas/landscape.hpp>
#include <string>

#include "backend/backend.hpp"
#include "base/random.hpp"
#include "reference/oracle.hpp"
#include "reference/random_problem.hpp"
#include "section_instance.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

/// θ in whole numbers, the last layer's in eighths, so that with whole inputs every output is a multiple of 1/8.
void put_on_grid(const Network& network, std::span<double> theta) {
  for (const ParameterBlock& block : network.blocks()) {
    const double unit = block.layer + 1 == network.depth() ? 0.125 : 1;
    for (double& value : theta.subspan(static_cast<std::size_t>(block.offset), static_cast<std::size_t>(block.size())))
      value = unit * std::round(2 * value);
  }
}

/// An instance whose parameters, directions, inputs and points are such, and moderate, so that shifts are exact.
Instance grid_instance(Support support, Targets targets) {
  Instance instance = make_instance({.widths = {3, 5, 4, 6},
                                     .activation = Activation::relu,
                                     .heads = 2,
                                     .targets = targets,
                                     .support = support,
                                     .samples = 9,
                                     .points = 3,
                                     .seed = 5});
  const Network& network = instance.network;
  put_on_grid(network, instance.section.origin);
  for (std::int64_t i = 0; i < instance.section.rank(); ++i) {
    put_on_grid(network, std::span(instance.section.directions)
                             .subspan(static_cast<std::size_t>(i) * instance.section.origin.size(),
                                      instance.section.origin.size()));
  }
  for (double& alpha : instance.points) alpha = std::round(2 * alpha);
  std::vector<double> inputs(instance.data.inputs().begin(), instance.data.inputs().end());
  for (double& x : inputs) x = std::round(2 * x);
  const std::int64_t features = instance.data.features(), classes = instance.data.outputs();
  instance.data = targets == Targets::labels
                      ? Dataset::classification(std::move(inputs), features,
                                                {instance.data.labels().begin(), instance.data.labels().end()}, classes)
                      : Dataset::regression(std::move(inputs), features,
                                            {instance.data.targets().begin(), instance.data.targets().end()}, classes);
  return instance;
}

/// θ with `shift` added to the outputs of the first head and taken from those of the others.
std::vector<double> shifted(const Network& network, std::vector<double> theta, double shift) {
  const auto bias = network.view(std::span(theta), network.depth() - 1).bias;
  const auto first = static_cast<std::ptrdiff_t>(network.outputs_per_head());
  for (double& value : bias.first(static_cast<std::size_t>(first))) value += shift;
  for (double& value : bias.subspan(static_cast<std::size_t>(first))) value -= shift;
  return theta;
}

void expect_same(std::span<const double> got, std::span<const double> expected, const std::string& what) {
  double scale = 0;
  for (const double value : expected) scale = std::max(scale, std::abs(value));
  ASSERT_TRUE(std::isfinite(scale)) << what;
  EXPECT_LE(reference::max_difference(got, expected), 1e-15 * scale) << what;
}

/// Everything that the library computes at one point.
struct PointResults {
  std::vector<std::pair<std::string, std::vector<double>>> named;

  PointResults(const Landscape& landscape, const std::vector<double>& theta) {
    const Evaluation evaluation = landscape.evaluate(theta);
    named.emplace_back("losses", evaluation.losses);
    if (landscape.data().has_labels()) named.emplace_back("accuracy", evaluation.accuracy);
    named.emplace_back("gradient", landscape.gradient(theta));
    Random random(3);
    std::vector<double> vectors(2 * theta.size());
    for (double& value : vectors) value = random.normal();
    for (const HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
      const std::string of = part == HessianPart::full ? "" : " of the Gauss-Newton part";
      named.emplace_back("Hessian" + of, hessian(landscape, theta, {.part = part}));
      named.emplace_back("products" + of, HessianOperator(landscape, theta, part).multiply(vectors));
      named.emplace_back("eigenvalues" + of, hessian_spectrum(landscape, theta, {}, {.part = part}).eigenvalues);
      named.emplace_back("eigenvalues at many points" + of,
                         hessian_spectra(landscape, theta, {}, {.part = part})[0].eigenvalues);
    }
    std::vector<double> product(theta.size());
    on_device(landscape).gauss_newton_product(theta, std::span(vectors).first(theta.size()), {}, product);
    named.emplace_back("Gauss-Newton product", product);
  }
};

const std::vector<double> kShifts = {0x1p12, 0x1p30, -0x1p45};

TEST(CrossEntropy, ShiftsOfAllLogitsChangeNothingAtAPoint) {
  for (const Targets targets : {Targets::labels, Targets::real}) {
    const Instance instance = grid_instance(Support::all, targets);
    // Block form of the Hessian, and the form JᵀJ of one hidden layer with few outputs.
    for (const auto& widths : {std::vector<std::int64_t>{3, 5, 4, 6}, {3, 9, 6}, {3, 6}}) {
      const Network network = mlp(widths, Activation::relu, {.heads = 2});
      std::vector<double> theta = random_parameters(network, {.seed = 9});
      put_on_grid(network, theta);
      const Landscape landscape(network, instance.data, Loss::cross_entropy, test_device());
      const PointResults expected(landscape, theta);
      for (const double shift : kShifts) {
        const PointResults got(landscape, shifted(network, theta, shift));
        for (std::size_t i = 0; i < got.named.size(); ++i) {
          expect_same(got.named[i].second, expected.named[i].second,
                      got.named[i].first + ", shift " + std::to_string(shift) + ", " + network.describe());
        }
      }
    }
  }
}

TEST(CrossEntropy, ShiftsOfAllLogitsChangeNoSection) {
  for (const Targets targets : {Targets::labels, Targets::real}) {
    for (const Support support : {Support::all, Support::upper, Support::last, Support::all_biases, Support::theorem1,
                                  Support::theorem2, Support::first, Support::first_biases}) {
      const Instance instance = grid_instance(support, targets);
      const Landscape landscape(instance.network, instance.data, Loss::cross_entropy, test_device());
      for (const Plan plan : {Plan::automatic, Plan::direct}) {
        for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
          const EvaluateOptions options{.precision = precision, .plan = plan};
          const Surface expected = landscape.evaluate(instance.section, instance.points, options);
          for (const double shift : kShifts) {
            if (precision != Precision::f64 && std::abs(shift) > 0x1p16) continue;
            Section section = instance.section;
            section.origin = shifted(instance.network, section.origin, shift);
            expect_same(landscape.evaluate(section, instance.points, options).losses, expected.losses,
                        "shift " + std::to_string(shift) + ", " + name(precision) + "\n" + expected.plan);
          }
        }
      }
    }
  }
}

TEST(CrossEntropy, OfConstantOutputsDoesNotChangeWithAShift) {
  const ImplicitActivation sigma(Loss::cross_entropy, {.mean = {0.3, 0, 0.1, 0.6}, .variance = 0});
  const std::vector<double> p = {0.5, -1.25, 2, 0.125};
  double sum = 0, product = 0;
  for (std::size_t c = 0; c < p.size(); ++c) {
    sum += std::exp(p[c]);
    product += sigma.statistics().mean[c] * p[c];
  }
  EXPECT_NEAR(sigma(p), std::log(sum) - product, 1e-15);
  for (const double shift : kShifts) {
    std::vector<double> q = p;
    for (double& value : q) value += shift;
    EXPECT_NEAR(sigma(q), sigma(p), 1e-15 * sigma(p)) << shift;
    expect_same(sigma.gradient(q), sigma.gradient(p), std::to_string(shift));
  }
}

// The oracle is no exception.
TEST(CrossEntropy, OfTheOracleDoesNotChangeWithAShift) {
  const Instance instance = grid_instance(Support::all, Targets::real);
  const auto& [network, data, section, loss, points] = instance;
  for (const double shift : kShifts) {
    const std::vector<double> theta = shifted(network, section.origin, shift);
    expect_same(reference::losses(network, theta, data, loss), reference::losses(network, section.origin, data, loss),
                std::to_string(shift));
    expect_same(reference::gradient(network, theta, data, loss),
                reference::gradient(network, section.origin, data, loss), std::to_string(shift));
    expect_same(reference::dual_hessian(network, theta, data, loss),
                reference::dual_hessian(network, section.origin, data, loss), std::to_string(shift));
  }
}

// Logits 1e308, −1e308 and targets 1, 0: their difference overflows, and the loss is 0.
TEST(CrossEntropy, ADifferenceBeyondTheLargestNumberCountsWhereThereIsATarget) {
  const Network network = mlp({1, 2}, Activation::identity);
  const std::vector<double> theta = {0, 0, 1e308, -1e308}, none(4, 0.0);
  const Section in_the_output = make_section(network, theta, {0, 0, 1, 0}), all = make_section(network, theta, none);
  for (const bool likely : {true, false}) {
    const double first = likely ? 1 : 0, expected = likely ? 0 : std::numeric_limits<double>::infinity();
    const Dataset data = Dataset::regression({-1, 1}, 1, {first, 1 - first, first, 1 - first}, 2);
    const Landscape landscape(network, data, Loss::cross_entropy, test_device());
    EXPECT_EQ(landscape.evaluate(theta).loss(), expected);
    for (const Plan plan : {Plan::automatic, Plan::direct}) {
      for (const Section* section : {&in_the_output, &all}) {
        EXPECT_EQ(landscape.evaluate(*section, std::vector{0.0}, {.plan = plan}).losses, std::vector{expected});
      }
    }
  }
}

// Two classes, equally many of each, and constant outputs b, b: the loss is ln 2 whatever b is, and ∇²R in the biases
// is [[1/4, −1/4], [−1/4, 1/4]].
TEST(CrossEntropy, OfEqualOutputsOfAnySizeIsLogTwo) {
  const Network network = mlp({1, 2}, Activation::identity);
  const Dataset data = Dataset::classification({-1, 1}, 1, {0, 1}, 2);
  const Landscape landscape(network, data, Loss::cross_entropy, test_device());
  for (const double b : {0.0, 1e12, -1e12, 1e16, 1e300, -1e300}) {
    const std::vector<double> theta = {0, 0, b, b};
    EXPECT_DOUBLE_EQ(landscape.evaluate(theta).loss(), std::log(2.0)) << b;
    const std::vector<double> gradient = landscape.gradient(theta);
    EXPECT_NEAR(gradient[0], 0.5, 1e-15) << b;
    EXPECT_NEAR(gradient[2], 0, 1e-15) << b;
    const Spectrum spectrum = hessian_spectrum(landscape, theta);
    EXPECT_EQ(spectrum.inertia, (Inertia{2, 2, 0})) << b;
    EXPECT_NEAR(spectrum.eigenvalues[3], 0.5, 1e-15) << b;
  }
}

}  // namespace
}  // namespace lossatlas
