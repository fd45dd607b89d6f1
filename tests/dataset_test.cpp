#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <lossatlas/dataset.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

TEST(Dataset, LabelsAndOneHotTargets) {
  const Dataset data = Dataset::classification({1, 2, 3, 4, 5, 6}, 2, {2, 0, 2}, 3, "small");
  EXPECT_EQ(data.size(), 3);
  EXPECT_EQ(data.features(), 2);
  EXPECT_EQ(data.outputs(), 3);
  EXPECT_EQ(data.input(1)[0], 3);
  EXPECT_EQ(data.target(0, 2), 1);
  EXPECT_EQ(data.target(0, 0), 0);
  const LabelStatistics statistics = label_statistics(data);
  EXPECT_DOUBLE_EQ(statistics.mean[0], 1.0 / 3);
  EXPECT_EQ(statistics.mean[1], 0);
  EXPECT_EQ(statistics.mean_square, 1);
  EXPECT_DOUBLE_EQ(statistics.variance, 1 - 1.0 / 9 - 4.0 / 9);
}

TEST(Dataset, TargetsAndTheirMoments) {
  const Dataset data = Dataset::regression({0, 0}, 1, {1e8 + 1, 5, 1e8 - 1, 7}, 2);
  const LabelStatistics statistics = label_statistics(data);
  EXPECT_DOUBLE_EQ(statistics.mean[0], 1e8);
  EXPECT_DOUBLE_EQ(statistics.mean[1], 6);
  EXPECT_DOUBLE_EQ(statistics.variance, 2);  // E‖y‖² − ‖ȳ‖² would lose all digits
}

TEST(Dataset, SliceKeepsClassesAndSharesNothingWrong) {
  const Dataset data = Dataset::classification({1, 2, 3, 4}, 1, {0, 1, 2, 0}, 3);
  const Dataset part = data.slice(1, 3);
  EXPECT_EQ(part.size(), 2);
  EXPECT_EQ(part.outputs(), 3);
  EXPECT_EQ(part.inputs()[0], 2);
  EXPECT_EQ(part.labels()[1], 2);
  EXPECT_ERROR(data.slice(2, 2), InvalidArgument, "2:2");
  EXPECT_ERROR(data.slice(0, 5), InvalidArgument, "0:5");
  EXPECT_ERROR(data.slice(-1, 2), InvalidArgument, "-1:2");
}

TEST(Dataset, WithMoreClasses) {
  const Dataset data = Dataset::classification({1, 2, 3}, 1, {0, 1, 1}, 2);
  const Dataset named = data.with_class_names(std::vector<std::string>(static_cast<std::size_t>(data.outputs()), "x"));
  EXPECT_EQ(named.class_names().size(), static_cast<std::size_t>(data.outputs()));
  EXPECT_EQ(named.with_classes(4).renamed("y").slice(0, 1).class_names(), named.class_names());
  EXPECT_TRUE(data.class_names().empty());
  EXPECT_ERROR(data.with_class_names({}), InvalidArgument, "0 names, expected");
  EXPECT_ERROR(tanh3().with_class_names({"a"}), InvalidArgument, "1 names, expected 0");
  EXPECT_EQ(data.with_classes(4).outputs(), 4);
  EXPECT_EQ(label_statistics(data.with_classes(3)).mean[2], 0);
  EXPECT_ERROR(data.with_classes(1), InvalidArgument, "1 classes, expected 2");
  EXPECT_ERROR(tanh3().with_classes(2), InvalidArgument, "real targets");
}

TEST(Dataset, Standardised) {
  const Dataset data = Dataset::regression({1, 7, 3, 7, 5, 7}, 2, {0, 0, 0}, 1).standardised();
  EXPECT_DOUBLE_EQ(data.input(0)[0], -std::sqrt(1.5));
  EXPECT_DOUBLE_EQ(data.input(1)[0], 0);
  EXPECT_EQ(data.input(2)[1], 0);  // a constant feature
}

TEST(Dataset, BadArguments) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  EXPECT_ERROR(Dataset::classification({}, 1, {}, 2), InvalidArgument, "no samples");
  EXPECT_ERROR(Dataset::classification({1, 2, 3}, 2, {0, 1}, 2), InvalidArgument, "multiple of 2");
  EXPECT_ERROR(Dataset::classification({1, 2}, 1, {0}, 2), InvalidArgument, "1 labels for 2 samples");
  EXPECT_ERROR(Dataset::classification({1, 2}, 1, {0, 2}, 2), InvalidArgument, "label 2 at sample 1");
  EXPECT_ERROR(Dataset::classification({1, 2}, 1, {0, -1}, 2), InvalidArgument, "label -1");
  EXPECT_ERROR(Dataset::classification({1, nan}, 1, {0, 1}, 2), InvalidArgument, "entry 1");
  EXPECT_ERROR(Dataset::regression({1, 2}, 1, {0, inf}, 1), InvalidArgument, "targets");
  EXPECT_ERROR(Dataset::regression({1, 2}, 1, {0, 1, 2}, 2), InvalidArgument, "3 targets");
  EXPECT_ERROR(Dataset::regression({1, 2}, 0, {0, 1}, 1), InvalidArgument, "0 features");
  EXPECT_ERROR(tanh3().with_inputs({1, 2}, 1), InvalidArgument, "2 samples, expected 50");
}

TEST(Tanh3, AsInTheory) {
  const Dataset data = tanh3();
  ASSERT_EQ(data.size(), 50);
  EXPECT_EQ(data.inputs().front(), -15);
  EXPECT_EQ(data.inputs().back(), 15);
  EXPECT_NEAR(data.inputs()[1] - data.inputs()[0], 30.0 / 49, 1e-14);
  for (std::int64_t n = 0; n < 50; ++n) EXPECT_NEAR(data.target(n, 0), -data.target(49 - n, 0), 1e-13);
  // Width 1 critical point of theory.md section 6: R = 0.1090227420901827 with w, b = 0, a as given there.
  double loss = 0;
  for (std::int64_t n = 0; n < 50; ++n) {
    const double p = 3.7469510271074928 * std::tanh(0.08953659128478933 * data.input(n)[0]);
    loss += (p - data.target(n, 0)) * (p - data.target(n, 0)) / 50;
  }
  EXPECT_NEAR(loss, 0.1090227420901827, 1e-15);
}

}  // namespace
}  // namespace lossatlas
