// Eigenvalues, inertia and the zero rule on matrices whose spectrum is known.
#include <lossatlas/spectrum.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <ostream>
#include <string>

#include "base/random.hpp"
#include "curvature/spectrum.hpp"
#include "expect_error.hpp"
#include "reference/known_spectrum.hpp"

extern "C" int openblas_get_num_threads();
extern "C" void openblas_set_num_threads(int);

namespace lossatlas {
namespace {

using reference::with_spectrum;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double largest(const std::vector<double>& values) {
  double top = 0;
  for (double value : values) top = std::max(top, std::abs(value));
  return top;
}

struct Case {
  std::string label;
  std::vector<double> values;
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.label; }

std::vector<Case> cases() {
  std::vector<Case> list;
  for (std::size_t n : {1, 2, 3, 31, 32, 33, 128, 129, 300}) {
    const std::string size = " " + std::to_string(n);
    Random random(n);
    std::vector<double> values(n);
    list.push_back({"zero" + size, values});
    for (double& value : values) value = random.normal();
    list.push_back({"random" + size, values});
    for (std::size_t i = 0; i < n; ++i) values[i] = i % 3 == 0 ? 0 : random.normal();
    list.push_back({"deficient" + size, values});
    for (std::size_t i = 0; i < n; ++i) values[i] = (i % 2 == 0 ? 1 : -2) * (1 + 1e-14 * static_cast<double>(i));
    list.push_back({"clustered" + size, values});
    for (std::size_t i = 0; i < n; ++i) values[i] = std::pow(10.0, -static_cast<double>(i % 17));
    list.push_back({"graded" + size, values});
    for (double& value : values) value *= 1e150;
    list.push_back({"large" + size, values});
    for (double& value : values) value *= 1e-300;
    list.push_back({"small" + size, values});
  }
  return list;
}

class KnownSpectrum : public testing::TestWithParam<Case> {};

// Backward stable: within n ε ‖H‖₂, and three reflections in long double add an ε at most.

TEST_P(KnownSpectrum, IsFound) {
  std::vector<double> expected = GetParam().values;
  const auto n = static_cast<std::int64_t>(expected.size());
  const std::vector<double> matrix = with_spectrum(expected, 77);
  std::sort(expected.begin(), expected.end());
  const double norm = largest(expected), tolerance = 20 * static_cast<double>(n) * kEpsilon * norm;
  const Spectrum alone = symmetric_spectrum(matrix, n);
  const Spectrum paired = symmetric_spectrum(matrix, n, {.vectors = true});
  ASSERT_EQ(alone.eigenvalues.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(std::abs(alone.eigenvalues[i] - expected[i]), tolerance) << i;
    EXPECT_LE(std::abs(paired.eigenvalues[i] - expected[i]), tolerance) << i;
  }
  EXPECT_TRUE(std::is_sorted(alone.eigenvalues.begin(), alone.eigenvalues.end()));
  EXPECT_TRUE(alone.eigenvectors.empty());
  EXPECT_EQ(alone.residual, 0);
  EXPECT_LE(paired.residual, tolerance);
  EXPECT_EQ(alone.inertia.size(), n);
}

/// The reported residual is the one of plain loops, and the rows are orthonormal.
TEST_P(KnownSpectrum, HasTheVectorsItReports) {
  const std::size_t n = GetParam().values.size();
  const std::vector<double> matrix = with_spectrum(GetParam().values, 78);
  const Spectrum spectrum = symmetric_spectrum(matrix, static_cast<std::int64_t>(n), {.vectors = true});
  ASSERT_EQ(spectrum.eigenvectors.size(), n * n);
  const double* v = spectrum.eigenvectors.data();
  const double norm = largest(GetParam().values), rounding = static_cast<double>(n) * kEpsilon;
  for (std::size_t k = 0; k < n; ++k) {
    long double residual = 0;
    for (std::size_t i = 0; i < n; ++i) {
      long double entry = -static_cast<long double>(spectrum.eigenvalues[k]) * v[k * n + i];
      for (std::size_t j = 0; j < n; ++j) {
        entry += static_cast<long double>(matrix[std::min(i, j) * n + std::max(i, j)]) * v[k * n + j];
      }
      residual += entry * entry;
    }
    EXPECT_LE(static_cast<double>(std::sqrt(residual)), spectrum.residual + rounding * norm) << k;
    for (std::size_t l = 0; l <= k; ++l) {
      long double product = k == l ? -1 : 0;
      for (std::size_t i = 0; i < n; ++i) product += static_cast<long double>(v[k * n + i]) * v[l * n + i];
      EXPECT_LE(std::abs(static_cast<double>(product)), 10 * rounding) << k << ", " << l;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Matrices, KnownSpectrum, testing::ValuesIn(cases()));

/// Every size to 256, from there every 31st to 1000, so that they run through the remainders of any block, and those
/// around 512. All sizes to 1000 would take a few minutes.
std::vector<std::size_t> sampled_sizes() {
  std::vector<std::size_t> sizes;
  for (std::size_t n = 1; n < 256; ++n) sizes.push_back(n);
  for (std::size_t n = 256; n <= 1000; n += 31) sizes.push_back(n);
  for (std::size_t n : {511, 512, 513, 999}) sizes.push_back(n);
  return sizes;
}

struct Family {
  const char* name;
  double (*value)(std::size_t i, Random& random);
  bool (*zero)(std::size_t i);
};
std::ostream& operator<<(std::ostream& out, const Family& one) { return out << one.name; }

const Family kFamilies[] = {
    {"zero", [](std::size_t, Random&) { return 0.0; }, [](std::size_t) { return true; }},
    {"singular", [](std::size_t i, Random& random) { return i % 4 == 0   ? 0
                                                            : i % 4 == 1 ? 3
                                                                         : random.normal(); },
     [](std::size_t i) { return i % 4 == 0; }},
    {"clustered", [](std::size_t i, Random&) { return (i % 2 == 0 ? 1 : -2) * (1 + 1e-14 * static_cast<double>(i)); },
     [](std::size_t) { return false; }},
    {"random", [](std::size_t, Random& random) { return random.normal(); }, [](std::size_t) { return false; }},
};

class EverySize : public testing::TestWithParam<Family> {};

TEST_P(EverySize, LeavesASmallResidual) {
  double worst = 0;  // in units of n ε ‖H‖
  for (const std::size_t n : sampled_sizes()) {
    Random random(n, 5);
    std::vector<double> values(n);
    std::int64_t zeros = 0;
    for (std::size_t i = 0; i < n; ++i) {
      values[i] = GetParam().value(i, random);
      zeros += GetParam().zero(i);
    }
    const Spectrum spectrum =
        symmetric_spectrum(with_spectrum(values, n), static_cast<std::int64_t>(n), {.vectors = true});
    const double unit = static_cast<double>(n) * kEpsilon * largest(values);
    EXPECT_LE(spectrum.residual, 20 * unit) << n;
    EXPECT_EQ(spectrum.inertia.zero, zeros) << n;
    if (unit > 0) worst = std::max(worst, spectrum.residual / unit);
  }
  std::printf("largest residual %.2g n eps |H|\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Matrices, EverySize, testing::ValuesIn(kFamilies),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(Spectrum, ResidualIsNaNWhereAVectorIs) {
  const std::vector<double> identity = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (std::size_t entry = 0; entry < 9; ++entry) {
    Spectrum spectrum;
    spectrum.eigenvalues = {1, 1, 1};
    spectrum.eigenvectors = identity;
    EXPECT_EQ(largest_residual(identity, 3, spectrum, 1), 0);
    spectrum.eigenvectors[entry] = kNaN;
    EXPECT_TRUE(std::isnan(largest_residual(identity, 3, spectrum, 1))) << entry;
  }
}

TEST(Spectrum, HasTheSameBitsForAnyNumberOfThreads) {
  std::vector<double> values(300);
  Random random(6);
  for (double& value : values) value = random.normal();
  const std::vector<double> matrix = with_spectrum(values, 5);
  const Spectrum one = host_spectrum(matrix, 300, {.vectors = true}, 1);
  for (const int threads : {2, 5}) {
    EXPECT_EQ(host_spectrum(matrix, 300, {.vectors = true}, threads).residual, one.residual) << threads;
  }
  EXPECT_EQ(symmetric_spectrum(matrix, 300, {.vectors = true}).residual, one.residual);
}

TEST(Spectrum, OfADiagonalIsExact) {
  const Spectrum spectrum = symmetric_spectrum({3, 0, 0, 0, -2, 0, 0, 0, 0}, 3, {.vectors = true});
  EXPECT_EQ(spectrum.eigenvalues, (std::vector<double>{-2, 0, 3}));
  EXPECT_EQ(spectrum.inertia, (Inertia{1, 1, 1}));
  EXPECT_EQ(spectrum.residual, 0);
  EXPECT_EQ(spectrum.zero.largest_zero, 0);
  EXPECT_EQ(spectrum.zero.smallest_nonzero, 2);
  const double expected[] = {0, 1, 0, 0, 0, 1, 1, 0, 0};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(std::abs(spectrum.eigenvectors[i]), expected[i]) << i;
  EXPECT_EQ(spectrum.device.rfind("cpu, OpenBLAS", 0), 0u) << spectrum.device;
}

TEST(Spectrum, ReadsTheUpperTriangleOnly) {
  const Spectrum spectrum = symmetric_spectrum({1, 2, 3, kNaN, 4, 5, kInfinity, 1e300, 6}, 3, {.vectors = true});
  const Spectrum full = symmetric_spectrum({1, 2, 3, 2, 4, 5, 3, 5, 6}, 3, {.vectors = true});
  EXPECT_EQ(spectrum.eigenvalues, full.eigenvalues);
  EXPECT_EQ(spectrum.residual, full.residual);
}

TEST(Spectrum, HasTheSameBitsForAnyNumberOfBlasThreads) {
  std::vector<double> values(300);
  Random random(3);
  for (double& value : values) value = random.normal();
  const std::vector<double> matrix = with_spectrum(values, 4);
  const int before = openblas_get_num_threads();
  openblas_set_num_threads(1);
  const Spectrum one = symmetric_spectrum(matrix, 300, {.vectors = true});
  openblas_set_num_threads(2);
  const Spectrum two = symmetric_spectrum(matrix, 300, {.vectors = true});
  EXPECT_EQ(openblas_get_num_threads(), 2);
  openblas_set_num_threads(before);
  EXPECT_EQ(one.eigenvalues, two.eigenvalues);
  EXPECT_EQ(one.eigenvectors, two.eigenvectors);
  EXPECT_EQ(one.residual, two.residual);
}

TEST(Inertia, HasTheStatedThreshold) {
  ZeroRule rule;
  EXPECT_EQ(count_inertia({1e-11, -1e-11, 2e-11, -2e-11, 0.5}, {}, &rule), (Inertia{2, 2, 1}));
  EXPECT_EQ(rule.threshold, 1e-11);
  EXPECT_EQ(rule.largest_zero, 1e-11);
  EXPECT_EQ(rule.smallest_nonzero, 2e-11);
  EXPECT_DOUBLE_EQ(rule.gap, 2);
  // 10·n·ε·‖H‖ with n = 3 and norm 2^30, which is above 1e-11.
  const double edge = 30 * kEpsilon * 0x1p30;
  EXPECT_EQ(count_inertia({edge, -1.001 * edge, -0x1p30}, {}, &rule), (Inertia{0, 1, 2}));
  EXPECT_DOUBLE_EQ(rule.threshold, edge);
  EXPECT_DOUBLE_EQ(rule.gap, 1.001);
}

TEST(Inertia, TakesAnotherThreshold) {
  ZeroRule rule;
  EXPECT_EQ(count_inertia({-3, 1, 2}, 1.5, &rule), (Inertia{1, 1, 1}));
  EXPECT_EQ(rule.threshold, 1.5);
  EXPECT_DOUBLE_EQ(rule.gap, 2);
  EXPECT_EQ(count_inertia({0, 1e-300, -1e-300}, 0.0), (Inertia{1, 1, 1}));
  EXPECT_EQ(symmetric_spectrum({1, 0, 0, 3}, 2, {.vectors = false, .zero_threshold = 2}).inertia, (Inertia{1, 1, 0}));
}

TEST(Inertia, HasAGapAtItsEnds) {
  ZeroRule rule;
  EXPECT_EQ(count_inertia({0, 0}, {}, &rule), (Inertia{0, 2, 0}));
  EXPECT_EQ(rule.smallest_nonzero, kInfinity);
  EXPECT_EQ(rule.gap, kInfinity);
  EXPECT_EQ(count_inertia({2, 4}, {}, &rule), (Inertia{2, 0, 0}));
  EXPECT_EQ(rule.largest_zero, 0);
  EXPECT_DOUBLE_EQ(rule.gap, 2 / (2 * kEpsilon * 4));
  EXPECT_EQ(count_inertia({}, {}, &rule), Inertia{});
}

TEST(Spectrum, RefusesBadInput) {
  EXPECT_ERROR(symmetric_spectrum({1, 2, 3}, 2), InvalidArgument, "3 entries for size 2");
  EXPECT_ERROR(symmetric_spectrum({}, 0), InvalidArgument, "n at least 1");
  EXPECT_ERROR(symmetric_spectrum({1}, -1), InvalidArgument, "size -1");
  EXPECT_ERROR(symmetric_spectrum({1, kNaN, 0, 1}, 2), InvalidArgument, "nan at (0, 1)");
  EXPECT_ERROR(symmetric_spectrum({1, 0, 0, -kInfinity}, 2), InvalidArgument, "-inf at (1, 1)");
  EXPECT_ERROR(count_inertia({1, kNaN}, {}), InvalidArgument, "entry 1 = nan");
  EXPECT_ERROR(count_inertia({1}, -1.0), InvalidArgument, "zero threshold -1");
  EXPECT_ERROR(count_inertia({1}, kNaN), InvalidArgument, "zero threshold nan");
  EXPECT_ERROR(symmetric_spectrum({1}, 1, {.vectors = false, .zero_threshold = -2}), InvalidArgument,
               "[symmetric_spectrum] received zero threshold -2");
  EXPECT_ERROR(symmetric_spectrum({1}, 32767, {.vectors = true}), InvalidArgument,
               "size 32767 with vectors, expected at most 32766; ask for the eigenvalues alone");
}

}  // namespace
}  // namespace lossatlas
