#include <gtest/gtest.h>

#include <cmath>
#include <lossatlas/transfer.hpp>

#include "base/random.hpp"
#include "expect_error.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

/// A section of a random network that cuts off the inputs (first weights zero, z biases move).
Section cut_section(const Network& network, std::int64_t rank) {
  Section section{random_parameters(network, {.seed = 6}), {}, {}};
  const auto first = network.view(std::span<double>(section.origin), 0).weight;
  std::fill(first.data, first.data + first.size(), 0.0);
  section.directions.assign(static_cast<std::size_t>(rank) * section.origin.size(), 0.0);
  for (std::int64_t i = 0; i < rank; ++i) {
    section.directions[static_cast<std::size_t>(i) * section.origin.size() +
                       static_cast<std::size_t>(network.blocks()[1].offset + i)] = 2;
  }
  return section;
}

Dataset labelled(std::int64_t samples, const std::vector<double>& shares, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> inputs(static_cast<std::size_t>(samples * 3));
  for (double& value : inputs) value = random.normal();
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < samples; ++n) {
    double u = random.uniform();
    std::int32_t label = 0;
    while (u >= shares[static_cast<std::size_t>(label)] && label + 1 < static_cast<std::int32_t>(shares.size())) {
      u -= shares[static_cast<std::size_t>(label++)];
    }
    labels.push_back(label);
  }
  return Dataset::classification(std::move(inputs), 3, std::move(labels), static_cast<std::int64_t>(shares.size()));
}

TEST(TransferReport, MeasuredEqualsPredicted) {
  const Dataset home = labelled(500, {0.25, 0.25, 0.25, 0.25}, 1);
  const Dataset similar = labelled(400, {0.25, 0.25, 0.25, 0.25}, 2);
  const Dataset skewed = labelled(400, {0.7, 0.1, 0.2, 0.0}, 3);
  for (const Loss loss : {Loss::cross_entropy, Loss::mean_squared_error}) {
    const Network network = mlp({3, 5, 20, 8}, Activation::tanh, {.heads = 2});
    const Section section = cut_section(network, 2);
    const Landscape landscape(network, home, loss);
    const Surface surface = landscape.evaluate(section, Grid::box(-1, 1, {9, 11}));
    const TransferReport near = transfer_report(landscape, section, surface, similar);
    const TransferReport far = transfer_report(landscape, section, surface, skewed.renamed("skewed"));
    for (const TransferReport* report : {&near, &far}) {
      EXPECT_LT(report->max_disagreement, 1e-12);
      EXPECT_GT(report->rms_difference, 1e-4);
      EXPECT_NEAR(report->rms_difference, report->predicted_rms_difference, 1e-12);
    }
    EXPECT_LT(near.rms_difference, far.rms_difference);
    EXPECT_EQ(far.name, "skewed");
  }
}

TEST(TransferReport, ClassesThatDoNotOccurThere) {
  const Network network = mlp({3, 5, 4}, Activation::tanh);
  const Section section = cut_section(network, 1);
  const Landscape landscape(network, labelled(200, {0.25, 0.25, 0.25, 0.25}, 1), Loss::cross_entropy);
  const Surface surface = landscape.evaluate(section, Grid::unit({5}));
  EXPECT_LT(transfer_report(landscape, section, surface, labelled(50, {0.5, 0.5}, 1)).max_disagreement, 1e-12);
}

TEST(TransferReport, RealTargetsOfOneOutput) {
  const Network network = mlp({1, 4, 1}, Activation::sine);
  const Section section = cut_section(network, 1);
  const Landscape landscape(network, tanh3(), Loss::mean_squared_error);
  const Surface surface = landscape.evaluate(section, Grid::unit({20}));
  const TransferReport report = transfer_report(landscape, section, surface, tanh3().slice(10, 35));
  EXPECT_GT(report.rms_difference, 0.1);
  EXPECT_LT(report.max_disagreement, 1e-12);
}

TEST(TransferReport, BadArguments) {
  const Network network = mlp({3, 5, 4}, Activation::tanh);
  const Dataset home = labelled(50, {0.25, 0.25, 0.25, 0.25}, 1);
  const Landscape landscape(network, home, Loss::cross_entropy);
  const Section section = cut_section(network, 1);
  const Surface surface = landscape.evaluate(section, Grid::unit({3}));
  EXPECT_ERROR(transfer_report(landscape, section, surface, labelled(50, {0.2, 0.2, 0.2, 0.2, 0.2}, 1)),
               InvalidArgument, "5 classes");
  Surface other_heads = surface;
  other_heads.heads = 3;
  EXPECT_ERROR(transfer_report(landscape, section, other_heads, home), InvalidArgument, "3 heads");
  Surface empty = surface;
  empty.losses.clear();
  EXPECT_ERROR(transfer_report(landscape, section, empty, home), InvalidArgument, "0 losses");
  const Surface list = landscape.evaluate(section, std::vector<double>{0.5});
  EXPECT_ERROR(transfer_report(landscape, section, list, home), InvalidArgument, "list of points");
}

}  // namespace
}  // namespace lossatlas
