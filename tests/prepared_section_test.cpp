#include "surface/prepared_section.hpp"

#include <algorithm>
#include <stop_token>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>
#include <lossatlas/landscape.hpp>

#include "section_instance.hpp"
#include "test_device.hpp"

namespace lossatlas {
namespace {

Landscape landscape_of(const Instance& instance) {
  return Landscape(instance.network, instance.data, instance.loss, test_device());
}

TEST(PreparedSection, GivesTheBitsOfEvaluateInAnyNumberOfCalls) {
  for (const Support support : {Support::all, Support::theorem1, Support::theorem2, Support::last}) {
    const Instance instance = make_instance(
        {.widths = {4, 9, 5}, .loss = Loss::mean_squared_error, .support = support, .samples = 40, .points = 30});
    const Landscape landscape = landscape_of(instance);
    const Surface surface = landscape.evaluate(instance.section, instance.points);
    PreparedSection section(landscape, instance.section, {});
    EXPECT_EQ(section.precision(), surface.precision);
    const std::span<const double> points = instance.points;
    for (std::size_t g = 0; g < surface.losses.size(); ++g) {
      double loss = -1;
      section.losses({points.subspan(2 * g, 2), 2}, {}, {&loss, 1});
      EXPECT_EQ(loss, surface.losses[g]);
    }
  }
}

TEST(PreparedSection, KnowsTheExactEnds) {
  const Instance instance = make_instance({.widths = {4, 9, 5}, .seed = 3});
  const Landscape landscape = landscape_of(instance);
  const std::vector<double> a = random_parameters(instance.network, {.seed = 4}),
                            b = random_parameters(instance.network, {.seed = 5});
  const Section line = line_section(instance.network, a, b);
  PreparedSection section(landscape, line, {.precision = Precision::f32});
  std::vector<double> losses(3);
  section.losses({std::vector<double>{0.5, 1, 0}, 1}, {}, losses);
  EXPECT_EQ(losses[1], landscape.evaluate(b).losses[0]);
}

// A grid of more points than are held at once.
TEST(PreparedSection, ALargeGridIsDoneInBlocks) {
  if (test_device().kind() == Device::Kind::cuda) GTEST_SKIP() << "too much for the emulated device";
  const Instance instance =
      make_instance({.widths = {2, 3, 2}, .support = Support::theorem1, .samples = 5, .rank = 1, .seed = 8});
  const Landscape landscape = landscape_of(instance);
  const std::int64_t count = (std::int64_t{1} << 20) + 77;
  const Grid grid = Grid::box(-1, 1, {count});
  PreparedSection section(landscape, instance.section, {});
  std::int64_t done = 0;
  bool rises = true;
  const Surface surface = section.surface(grid, {},
                                          {[&](const ProgressEvent& event) {
                                             rises = rises && event.done >= done && event.total == count;
                                             done = event.done;
                                           },
                                           {}});
  EXPECT_TRUE(rises);
  EXPECT_EQ(done, count);
  ASSERT_EQ(std::ssize(surface.losses), count);
  for (std::int64_t g : {std::int64_t{0}, count / 2, count - 78, count - 77, count - 76, count - 1}) {
    const double alpha = grid.axes()[0].at(g);
    double loss = -1;
    section.losses({{&alpha, 1}, 1}, {}, {&loss, 1});
    EXPECT_EQ(surface.losses[static_cast<std::size_t>(g)], loss) << g;
  }
}

TEST(PreparedSection, AStopEndsPlanSetUpAndCall) {
  std::stop_source stopped;
  stopped.request_stop();
  const Control stop{{}, stopped.get_token()};
  const Instance instance = make_instance({.widths = {4, 9, 5}});
  const Landscape landscape = landscape_of(instance);
  EXPECT_THROW(PreparedSection(landscape, instance.section, {.control = stop}), Interrupted);
  PreparedSection section(landscape, instance.section, {});
  EXPECT_THROW(section.prepare(stop), Interrupted);
  std::vector<double> losses(static_cast<std::size_t>(instance.count()));
  section.prepare({});
  EXPECT_THROW(section.losses({instance.points, 2}, stop, losses), Interrupted);
  EXPECT_THROW(section.surface(Grid::box(-1, 1, {5, 5}), {}, stop), Interrupted);
  section.losses({instance.points, 2}, {}, losses);
  EXPECT_EQ(losses, landscape.evaluate(instance.section, instance.points).losses);
}

}  // namespace
}  // namespace lossatlas
