// Hessians and their products with vectors against dual numbers, closed forms and identities.
#include <lossatlas/hessian.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>

#include "base/random.hpp"
#include "cpu/hessian.hpp"
#include "cpu/hessian_factors.hpp"
#include "expect_error.hpp"
#include "reference/closed_forms.hpp"
#include "reference/oracle.hpp"

namespace lossatlas {
namespace {

using cpu::Problem;
using reference::Dual;
using reference::max_difference;

enum class Target { labels, real, distribution };

double largest(std::span<const double> values) {
  double top = 0;
  for (double value : values) top = std::isnan(value) ? value : std::max(top, std::abs(value));
  return top;
}

std::vector<double> normals(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.normal();
  return values;
}

Dataset random_data(std::int64_t samples, std::int64_t features, std::int64_t outputs, Target target,
                    std::uint64_t seed) {
  std::vector<double> inputs = normals(samples * features, seed);
  if (target == Target::labels) {
    Random random(seed, 1);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < samples; ++n) labels.push_back(static_cast<std::int32_t>(random.below(outputs)));
    return Dataset::classification(std::move(inputs), features, std::move(labels), outputs);
  }
  std::vector<double> targets = normals(samples * outputs, seed + 1000);
  for (std::int64_t n = 0; target == Target::distribution && n < samples; ++n) {
    double sum = 0;
    for (std::int64_t c = 0; c < outputs; ++c) sum += std::abs(targets[static_cast<std::size_t>(n * outputs + c)]);
    for (std::int64_t c = 0; c < outputs; ++c) {
      double& y = targets[static_cast<std::size_t>(n * outputs + c)];
      y = std::abs(y) / sum;
    }
  }
  return Dataset::regression(std::move(inputs), features, std::move(targets), outputs);
}

/// Column m is the derivative of back-propagation along e_m.
std::vector<double> dual_hessian(const Network& network, std::span<const double> theta, const Dataset& data,
                                 Loss loss) {
  std::vector<double> result;
  auto moving = reference::lift<Dual<double>>(theta);
  for (std::size_t m = 0; m < theta.size(); ++m) {
    moving[m].d = 1;
    for (const auto& entry : reference::gradient(network, moving, data, loss)) result.push_back(entry.d);
    moving[m].d = 0;
  }
  return result;
}

std::vector<double> computed_hessian(const Problem& problem, std::span<const double> theta, HessianPart part) {
  // What the caller's memory held must not matter.
  std::vector<double> result(theta.size() * theta.size(), std::numeric_limits<double>::quiet_NaN());
  cpu::hessian(problem, theta, part, {}, result);
  return result;
}

std::vector<double> computed_products(const Problem& problem, std::span<const double> theta, HessianPart part,
                                      std::span<const double> vectors) {
  std::vector<double> result(vectors.size(), std::numeric_limits<double>::quiet_NaN());
  cpu::hessian_products(problem, theta, part, vectors, {}, result);
  return result;
}

/// (k, M) V H for a symmetric H.
std::vector<double> multiplied(std::span<const double> vectors, const std::vector<double>& hessian, std::size_t size) {
  std::vector<double> result(vectors.size(), 0.0);
  for (std::size_t v = 0; v < vectors.size() / size; ++v) {
    for (std::size_t r = 0; r < size; ++r) {
      for (std::size_t c = 0; c < size; ++c) result[v * size + c] += vectors[v * size + r] * hessian[r * size + c];
    }
  }
  return result;
}

/// Pairs of entries (r, c), (c, r) that differ in a bit, NaN with NaN counted as equal.
std::int64_t asymmetric_pairs(const std::vector<double>& hessian, std::size_t size) {
  std::int64_t count = 0;
  for (std::size_t r = 0; r < size; ++r) {
    for (std::size_t c = 0; c < r; ++c) {
      const double a = hessian[r * size + c], b = hessian[c * size + r];
      count += !(a == b && std::signbit(a) == std::signbit(b)) && !(std::isnan(a) && std::isnan(b));
    }
  }
  return count;
}

// ---- random networks --------------------------------------------------------------------------------------------

struct Case {
  std::string label;
  Network network;
  Dataset data;
  Loss loss;
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.label; }

/// Every activation with both losses and 1 to 4 layers; over these, every kind of target, number of heads and missing
/// bias; samples around a slab of 32.
std::vector<Case> cases() {
  std::vector<Case> list;
  const std::int64_t samples[] = {1, 7, 31, 32, 33, 70};
  for (Activation activation : all_activations()) {
    for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
      for (std::int64_t depth = 1; depth <= 4; ++depth) {
        const auto variant = static_cast<std::int64_t>(list.size());
        const std::int64_t heads = 1 + variant % 3;
        const bool real = loss == Loss::mean_squared_error;
        const Target target = variant % 5 < 2 ? Target::labels : real ? Target::real : Target::distribution;
        const std::int64_t classes = target == Target::real && variant % 2 == 0 ? 1 : 2;
        std::vector<Layer> layers;
        std::int64_t in = 3;
        for (std::int64_t l = 1; l <= depth; ++l) {
          const bool last = l == depth;
          const std::int64_t out = last ? classes * heads : 2 + (l + variant) % 3;
          layers.push_back(Dense{in, out, (l + variant) % 3 != 0, last ? Activation::identity : activation});
          in = out;
        }
        const std::string label =
            std::string(name(activation)) + " " + std::string(name(loss)) + " " + std::to_string(depth);
        list.push_back(
            {label, Network(layers, heads),
             random_data(samples[variant % 6], 3, classes, target, 100 + static_cast<std::uint64_t>(variant)), loss});
      }
    }
  }
  return list;
}

class HessianAgainstDuals : public testing::TestWithParam<Case> {
 protected:
  const Case& one = GetParam();
  const Problem problem{one.network, one.data, one.loss, 2};
  const std::vector<double> theta = random_parameters(one.network, {.seed = 7, .scale = {}});
  const std::size_t size = theta.size();
};

// Sums of at most 70 products of at most 4 layers' factors: 1e-12 of the largest entry is several thousand ε.

TEST_P(HessianAgainstDuals, Full) {
  const auto result = computed_hessian(problem, theta, HessianPart::full);
  const auto expected = dual_hessian(one.network, theta, one.data, one.loss);
  EXPECT_LE(max_difference(result, expected), 1e-12 * largest(expected)) << one.network.describe();
  EXPECT_EQ(asymmetric_pairs(result, size), 0);
}

TEST_P(HessianAgainstDuals, GaussNewton) {
  const auto result = computed_hessian(problem, theta, HessianPart::gauss_newton);
  std::vector<double> expected, unit(size, 0.0), column(size);
  for (std::size_t m = 0; m < size; ++m) {
    unit[m] = 1;
    cpu::gauss_newton_product(problem, theta, unit, {}, column);
    expected.insert(expected.end(), column.begin(), column.end());
    unit[m] = 0;
  }
  EXPECT_LE(max_difference(result, expected), 1e-12 * largest(expected)) << one.network.describe();
  EXPECT_EQ(asymmetric_pairs(result, size), 0);
}

TEST_P(HessianAgainstDuals, Products) {
  const std::vector<double> vectors = normals(3 * one.network.parameter_count(), 17);
  for (HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    const auto expected = multiplied(vectors, computed_hessian(problem, theta, part), size);
    EXPECT_LE(max_difference(computed_products(problem, theta, part, vectors), expected), 1e-12 * largest(expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, HessianAgainstDuals, testing::ValuesIn(cases()));

/// One output and one hidden layer go by the Jacobian, two hidden layers by blocks.
struct Borders : testing::TestWithParam<cpu::HessianMethod> {
  const bool by_jacobian = GetParam() == cpu::HessianMethod::jacobian;
  const Network network = by_jacobian ? mlp({1, 2, 1}, Activation::tanh) : mlp({1, 2, 2, 1}, Activation::tanh);
  std::int64_t chunk() const {
    const Dataset many = random_data(4000, 1, 1, Target::real, 1);
    return cpu::HessianFactors::capacity({network, many, Loss::mean_squared_error, 1}, GetParam());
  }
};

TEST_P(Borders, OfChunks) {
  const std::vector<double> theta = random_parameters(network, {.seed = 2, .scale = {}});
  ASSERT_EQ(chunk(), by_jacobian ? 1024 : 512);
  for (std::int64_t samples : {chunk() - 1, chunk(), chunk() + 1, 2 * chunk() + 3}) {
    const Dataset data = random_data(samples, 1, 1, Target::real, 3);
    const Problem problem{network, data, Loss::mean_squared_error, 2};
    const auto expected = dual_hessian(network, theta, data, Loss::mean_squared_error);
    const auto result = computed_hessian(problem, theta, HessianPart::full);
    EXPECT_LE(max_difference(result, expected), 1e-12 * largest(expected)) << samples;
    const std::vector<double> vectors = normals(network.parameter_count(), 4);
    const auto products = multiplied(vectors, result, theta.size());
    EXPECT_LE(max_difference(computed_products(problem, theta, HessianPart::full, vectors), products),
              1e-12 * largest(products))
        << samples;
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Borders, testing::Values(cpu::HessianMethod::jacobian, cpu::HessianMethod::blocks));

/// Several subblocks and items in both ways, several lanes and groups of vectors.
TEST(Hessian, SameBitsForAnyNumberOfThreads) {
  for (const Network& network : {mlp({2, 150, 1}, Activation::tanh), mlp({4, 40, 12, 12}, Activation::tanh),
                                 mlp({40, 12, 14}, Activation::gelu)}) {
    const Dataset data = random_data(1100, network.inputs(), network.outputs(), Target::real, 9);
    const std::vector<double> theta = random_parameters(network, {.seed = 4, .scale = {}});
    const std::vector<double> vectors = normals(19 * network.parameter_count(), 8);
    std::vector<double> hessian, products;
    for (int threads : {1, 2, 3, 7}) {
      const Problem problem{network, data, Loss::mean_squared_error, threads};
      const auto matrix = computed_hessian(problem, theta, HessianPart::full);
      const auto images = computed_products(problem, theta, HessianPart::full, vectors);
      if (threads == 1) hessian = matrix, products = images;
      EXPECT_TRUE(matrix == hessian) << network.describe() << " on " << threads;
      EXPECT_TRUE(images == products) << network.describe() << " on " << threads;
    }
    EXPECT_EQ(asymmetric_pairs(hessian, theta.size()), 0);
    const auto expected = multiplied(vectors, hessian, theta.size());
    EXPECT_LE(max_difference(products, expected), 1e-12 * largest(expected)) << network.describe();
  }
}

TEST(Hessian, ProductsDoNotDependOnTheOtherVectors) {
  const Network network = mlp({3, 7, 5, 2}, Activation::sine);
  const Dataset data = random_data(1300, 3, 2, Target::labels, 5);
  const Problem problem{network, data, Loss::cross_entropy, 2};
  const std::vector<double> theta = random_parameters(network, {.seed = 1, .scale = {}});
  const std::size_t size = theta.size();
  const std::vector<double> vectors = normals(150 * network.parameter_count(), 6);
  const auto all = computed_products(problem, theta, HessianPart::full, vectors);
  for (std::size_t v : {0, 9, 149}) {
    const std::span one(vectors.data() + v * size, size);
    EXPECT_EQ(max_difference(computed_products(problem, theta, HessianPart::full, one),
                             std::span(all).subspan(v * size, size)),
              0)
        << v;
  }
}

// ---- closed forms -----------------------------------------------------------------------------------------------

TEST(Hessian, OfLinearRegression) {
  const Network network = mlp({4, 3}, Activation::identity);
  const Dataset data = random_data(50, 4, 3, Target::real, 21);
  const auto expected = reference::linear_regression_hessian(data, 3);
  const auto theta = random_parameters(network, {.seed = 5, .scale = {}});
  for (HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    const auto result = computed_hessian({network, data, Loss::mean_squared_error, 2}, theta, part);
    EXPECT_LE(max_difference(result, expected), 1e-14 * largest(expected));
  }
}

TEST(Hessian, OfLogisticRegression) {
  const Network network = mlp({5, 2}, Activation::identity);
  const Dataset data = random_data(60, 5, 2, Target::labels, 22);
  for (double scale : {0.5, 5.0}) {
    const auto theta = random_parameters(network, {.seed = 6, .scale = {scale}});
    const auto expected = reference::softmax_regression_hessian(network, theta, data);
    const auto result = computed_hessian({network, data, Loss::cross_entropy, 2}, theta, HessianPart::full);
    EXPECT_LE(max_difference(result, expected), 1e-14 * largest(expected)) << scale;
  }
}

TEST(Hessian, OfSoftmaxRegression) {
  for (std::int64_t features : {2, 30}) {  // by the Jacobian, by blocks
    const Network network = mlp({features, 4}, Activation::identity);
    const Dataset data = random_data(60, features, 4, Target::distribution, 23);
    const auto theta = random_parameters(network, {.seed = 7, .scale = {}});
    const auto expected = reference::softmax_regression_hessian(network, theta, data);
    const auto result = computed_hessian({network, data, Loss::cross_entropy, 2}, theta, HessianPart::full);
    EXPECT_LE(max_difference(result, expected), 1e-14 * largest(expected)) << features;
  }
}

/// Confident predictions: the curvature p(1 − p) of 1e-16 keeps its digits, by the Jacobian and by blocks.
TEST(Hessian, KeepsSmallCurvatures) {
  for (std::size_t features : {1, 60}) {
    const Network network = mlp({static_cast<std::int64_t>(features), 2}, Activation::identity, {.bias = Bias::none});
    std::vector<double> input(features, 0.0), theta(2 * features, 0.0), expected(4 * features * features, 0.0);
    input[0] = 1;
    theta[0] = 37;
    const Dataset data = Dataset::classification(input, network.inputs(), {0}, 2);
    const double s = std::exp(-37.0);
    for (std::size_t i : {0, 1}) {
      for (std::size_t p : {0, 1}) expected[2 * i * features * features + p * features] = i == p ? s : -s;
    }
    const auto result = computed_hessian({network, data, Loss::cross_entropy, 1}, theta, HessianPart::full);
    EXPECT_LE(max_difference(result, expected), 1e-14 * s) << features;
  }
}

// ---- identities -------------------------------------------------------------------------------------------------

TEST(Hessian, IsItsGaussNewtonPartWithoutResiduals) {
  for (const Network& network : {mlp({2, 5, 1}, Activation::tanh), mlp({2, 4, 3, 2}, Activation::softplus)}) {
    const auto theta = random_parameters(network, {.seed = 8, .scale = {}});
    const std::vector<double> inputs = normals(40, 24);
    std::vector<double> targets;
    for (std::size_t n = 0; n < 20; ++n) {
      for (double y : reference::outputs(network, theta, std::span(inputs).subspan(2 * n, 2))) targets.push_back(y);
    }
    const Dataset data = Dataset::regression(inputs, 2, targets, network.outputs());
    const Problem problem{network, data, Loss::mean_squared_error, 1};
    const auto full = computed_hessian(problem, theta, HessianPart::full);
    const auto part = computed_hessian(problem, theta, HessianPart::gauss_newton);
    EXPECT_LE(max_difference(full, part), 1e-14 * largest(full));
  }
}

/// relu counts with φ'' = 0, at its kink too.
TEST(Hessian, OfReluAtItsKink) {
  const Network network = mlp({1, 1, 1}, Activation::relu, {.bias = Bias::none});
  const Dataset data = Dataset::regression({0, 1}, 1, {1, 1}, 1);
  const std::vector<double> theta = {0, 2};
  const Problem problem{network, data, Loss::mean_squared_error, 1};
  EXPECT_EQ(computed_hessian(problem, theta, HessianPart::full), std::vector<double>(4, 0.0));
}

TEST(Hessian, WidthOneCriticalPointOfTanh3) {
  const Landscape landscape(mlp({1, 1, 1}, Activation::tanh, {.bias = Bias::hidden}), tanh3(), Loss::mean_squared_error,
                            Device::cpu());
  const std::vector<double> theta = {0.08953659128478933, 0, 3.7469510271074928};
  EXPECT_NEAR(landscape.evaluate(theta).losses[0], 0.1090227420901827, 1e-15);
  EXPECT_LE(largest(landscape.gradient(theta)), 1e-13);
  const Spectrum spectrum = hessian_spectrum(landscape, theta, {.vectors = true});
  ASSERT_EQ(spectrum.eigenvalues.size(), 3u);
  EXPECT_NEAR(spectrum.eigenvalues[0], 0.0629494, 5e-8);
  EXPECT_NEAR(spectrum.eigenvalues[1], 13.35155, 5e-6);
  EXPECT_NEAR(spectrum.eigenvalues[2], 458.37232, 5e-6);
  EXPECT_EQ(spectrum.inertia, (Inertia{3, 0, 0}));
  EXPECT_GT(spectrum.zero.gap, 1e8);
}

// ---- the public functions -----------------------------------------------------------------------------------------

TEST(Hessian, OperatorMultipliesByTheMatrix) {
  const Landscape landscape(mlp({2, 4, 3}, Activation::sigmoid), random_data(90, 2, 3, Target::labels, 31),
                            Loss::cross_entropy, Device::cpu());
  const auto theta = random_parameters(landscape.network(), {.seed = 9, .scale = {}});
  for (HessianPart part : {HessianPart::full, HessianPart::gauss_newton}) {
    const auto matrix = hessian(landscape, theta, {.part = part, .control = {}});
    const HessianOperator product(landscape, theta, part);
    ASSERT_EQ(product.size(), landscape.network().parameter_count());
    const auto vectors = normals(12 * product.size(), 10);
    const auto expected = multiplied(vectors, matrix, theta.size());
    EXPECT_LE(max_difference(product.multiply(vectors), expected), 1e-12 * largest(expected));
    EXPECT_TRUE(product.multiply({}).empty());
  }
}

TEST(Hessian, ReportsProgressAndStops) {
  const Landscape landscape(mlp({2, 4, 4, 1}, Activation::tanh), random_data(1200, 2, 1, Target::real, 32),
                            Loss::mean_squared_error, Device::cpu());
  const auto theta = random_parameters(landscape.network(), {.seed = 9, .scale = {}});
  std::vector<std::int64_t> done;
  hessian(
      landscape, theta,
      {.part = HessianPart::full, .control = {[&](const ProgressEvent& event) { done.push_back(event.done); }, {}}});
  EXPECT_EQ(done, (std::vector<std::int64_t>{512, 1024, 1200}));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(hessian(landscape, theta, {.part = HessianPart::full, .control = {{}, stop.get_token()}}), Interrupted);
}

TEST(Hessian, ProductsReportProgressAndStop) {
  const Landscape landscape(mlp({2, 4, 4, 1}, Activation::tanh), random_data(1200, 2, 1, Target::real, 32),
                            Loss::mean_squared_error, Device::cpu());
  const HessianOperator product(landscape, random_parameters(landscape.network(), {.seed = 9, .scale = {}}));
  const auto vectors = normals(150 * product.size(), 10);
  std::vector<std::int64_t> done;
  product.multiply(vectors, {[&](const ProgressEvent& event) { done.push_back(event.done); }, {}});
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), 150);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(product.multiply(vectors, {{}, stop.get_token()}), Interrupted);
}

TEST(Hessian, RefusesBadInput) {
  const Landscape landscape(mlp({2, 4, 1}, Activation::tanh), random_data(5, 2, 1, Target::real, 33),
                            Loss::mean_squared_error, Device::cpu());
  std::vector<double> theta(17, 0.1);
  EXPECT_ERROR(hessian(landscape, std::span(theta).first(16)), InvalidArgument, "16 parameters, expected 17");
  EXPECT_ERROR(hessian_spectrum(landscape, std::span(theta).first(16)), InvalidArgument, "16 parameters, expected 17");
  EXPECT_ERROR(HessianOperator(landscape, {1, 2}), InvalidArgument, "2 parameters, expected 17");
  EXPECT_ERROR(HessianOperator(landscape, theta).multiply(std::span(theta).first(9)), InvalidArgument,
               "9 entries, expected a multiple of 17");
  theta[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(hessian_spectrum(landscape, theta), Error, "whose Hessian has the entry nan");
  EXPECT_EQ(asymmetric_pairs(hessian(landscape, theta), theta.size()), 0);
}

TEST(Hessian, SaysHowManyBytesItNeeds) {
  const Landscape landscape(mlp({999, 1000, 1}, Activation::tanh), random_data(1, 999, 1, Target::real, 34),
                            Loss::mean_squared_error, Device::cpu());
  const std::vector<double> theta(1001001, 0.0);
  try {
    hessian(landscape, theta);
    FAIL() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.bytes(), 8 * std::int64_t{1001001} * 1001001);
    EXPECT_THAT(error.what(), testing::HasSubstr("1001001 parameters, whose Hessian takes 8016024016008 bytes"));
  }
}

}  // namespace
}  // namespace lossatlas
