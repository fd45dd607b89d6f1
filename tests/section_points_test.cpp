// Points of a grid and of a list, and what evaluating a grid takes of the host's memory.
#include "section/section_points.hpp"

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/landscape.hpp>

#include "section_instance.hpp"
#include "test_device.hpp"

namespace {
constexpr std::size_t kLarge = std::size_t{1} << 18;  // more than the emulated device allocates at a time
std::atomic<std::size_t> large_bytes{0};              // of allocations of at least kLarge
}  // namespace

// Not inlined, or the compiler takes free() for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (size >= kLarge) large_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace lossatlas {
namespace {

std::vector<double> copied(const SectionPoints& points, std::int64_t first, std::int64_t count) {
  std::vector<double> alpha(static_cast<std::size_t>(count * points.rank()));
  points.copy(first, count, alpha);
  return alpha;
}

TEST(SectionPoints, PartsOfAGridAndOfItsListAreTheSame) {
  const Grid grid({{-1, 1, 5}, {0, 3, 4}, {2, 7, 3}});
  std::vector<double> all(60 * 3);
  grid.points(0, 60, all);
  const SectionPoints of_grid(grid, 0, 60), of_list(all, 3);
  EXPECT_EQ(of_list.count(), 60);
  EXPECT_EQ(of_list.grid(), nullptr);
  EXPECT_TRUE(of_grid.list().empty());
  const SectionPoints part = of_grid.part(7, 40).part(3, 30), list_part = of_list.part(7, 40).part(3, 30);
  EXPECT_EQ(part.first(), 10);
  EXPECT_EQ(part.count(), 30);
  EXPECT_EQ(list_part.count(), 30);
  const std::vector<double> expected(all.begin() + 3 * 12, all.begin() + 3 * 37);
  EXPECT_EQ(copied(part, 2, 25), expected);
  EXPECT_EQ(copied(list_part, 2, 25), expected);
}

// Of the losses alone: coordinates would be three times as many.
TEST(SectionPoints, OfAGridTakeNoMemory) {
  const Grid grid = Grid::box(-1, 1, {16, 32, 64});
  for (const Support support : {Support::theorem1, Support::last, Support::all}) {
    if (support == Support::all && test_device().kind() == Device::Kind::cuda) continue;  // much for the emulated one
    const Instance instance = make_instance({.widths = {2, 3, 2},
                                             .loss = Loss::mean_squared_error,
                                             .support = support,
                                             .samples = 2,
                                             .rank = 3,
                                             .seed = 8});
    const Landscape landscape(instance.network, instance.data, instance.loss, test_device());
    landscape.evaluate(instance.section, Grid::unit({1, 1, 1}));  // a device's libraries take theirs at their first use
    large_bytes = 0;
    const Surface surface = landscape.evaluate(instance.section, grid);
    const std::size_t sums = support == Support::all ? 1 : 0;  // as many partial sums
    EXPECT_EQ(large_bytes, (1 + sums) * 8 * surface.losses.size()) << static_cast<int>(support);
  }
}

}  // namespace
}  // namespace lossatlas
