// Sections as files where memory runs out.
#include <new>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::FormulaRun;
using testing::read_bytes;
using Names = std::vector<std::string>;

class SectionMemory : public testing::SectionRunTest {};

TEST_F(SectionMemory, RunningOutHalvesTheTileAndKeepsTheBits) {
  const Grid grid = Grid::unit({10, 10});
  const std::string expected = formula_file(grid, 2);
  for (const std::int64_t most : {1, 2, 6, 33}) {
    FormulaRun run(grid, 2);
    run.before = [&](std::int64_t, std::int64_t count) {
      if (count <= most) return;
      if (count % 2 == 0) throw OutOfMemory("too much", 1000 * count);
      throw std::bad_alloc();
    };
    for (const std::int64_t tile : {0, 50}) {
      run.write(path("s.npy"), tile);
      EXPECT_TRUE(read_bytes(path("s.npy")) == expected) << most;
    }
  }
  FormulaRun run(grid, 2);
  run.before = [](std::int64_t, std::int64_t count) { throw OutOfMemory("too much", 1000 * count); };
  for (const std::int64_t tile : {0, 50}) {
    EXPECT_ERROR(run.write(path("t.npy"), tile), OutOfMemory, "1000 bytes");
    EXPECT_EQ(files(), Names{"s.npy"}) << "nothing was finished, nothing stays";
  }
  const auto bytes_told = [&] {
    try {
      run.write(path("t.npy"), 50);
    } catch (const OutOfMemory& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("the reason"));
      return error.bytes();
    }
    return std::int64_t{-1};
  };
  struct Reasoned : std::bad_alloc {
    const char* what() const noexcept override { return "the reason"; }
  };
  run.before = [](std::int64_t, std::int64_t) { throw Reasoned(); };
  EXPECT_EQ(bytes_told(), 12345) << "counted, where what ran out does not say";
  run.before = [](std::int64_t, std::int64_t) { throw OutOfMemory("the reason", 0); };
  EXPECT_EQ(bytes_told(), 12345);
  run.source.prepare = [](const Control&) { throw Reasoned(); };
  EXPECT_EQ(bytes_told(), 12345) << "in the set-up, too";
  run.source.prepare = [](const Control&) { throw OutOfMemory("the reason", 0); };
  EXPECT_EQ(bytes_told(), 12345);
  run.source.prepare = [](const Control&) { throw OutOfMemory("the reason", 7); };
  EXPECT_EQ(bytes_told(), 7);
  run.source.prepare = {};
  run.before = [](std::int64_t, std::int64_t) { throw OutOfMemory("the reason", 3); };
  EXPECT_EQ(bytes_told(), 3) << "less than the losses take is what was said";
}

}  // namespace
}  // namespace lossatlas
