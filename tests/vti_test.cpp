#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>
#include <lossatlas/vti.hpp>

#include "expect_error.hpp"
#include "format/vti.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using namespace testing;

/// A surface whose loss of head k at point g is 10 g + k + 0.5.
Surface counting_surface(std::vector<Axis> axes, std::int64_t heads) {
  Surface surface;
  surface.grid = Grid(std::move(axes));
  surface.heads = heads;
  for (std::int64_t g = 0; g < surface.size(); ++g) {
    for (std::int64_t k = 0; k < heads; ++k)
      surface.losses.push_back(10.0 * static_cast<double>(g) + static_cast<double>(k) + 0.5);
  }
  return surface;
}

/// The text of attribute `name` at or after `from`.
std::string attribute(const std::string& xml, const std::string& name, std::size_t from = 0) {
  const std::size_t start = xml.find(' ' + name + "=\"", from) + name.size() + 3;
  return xml.substr(start, xml.find('"', start) - start);
}

/// An array of the appended data, as a reader of the format finds it.
std::vector<double> array(const std::string& file, const std::string& name) {
  const std::size_t declaration = file.find("Name=\"" + name + "\"");
  if (declaration == std::string::npos) return {};
  const std::size_t data = file.find('_', file.find("<AppendedData")) + 1;
  const std::size_t block = data + std::stoul(attribute(file, "offset", declaration));
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, file.data() + block, sizeof(bytes));
  std::vector<double> values(bytes / sizeof(double));
  std::memcpy(values.data(), file.data() + block + sizeof(bytes), bytes);
  return values;
}

TEST(Vti, StoresTheFirstAxisFastest) {
  const TemporaryFolder folder;
  const Surface surface = counting_surface({{0, 1, 2}, {-1, 1, 3}, {2, 5, 4}}, 2);
  write_vti(folder / "s.vti", surface);
  const std::string file = bytes_of(folder / "s.vti");
  EXPECT_EQ(attribute(file, "WholeExtent"), "0 1 0 2 0 3");
  EXPECT_EQ(attribute(file, "Extent"), "0 1 0 2 0 3");
  EXPECT_EQ(attribute(file, "Origin"), "0 -1 2");
  EXPECT_EQ(attribute(file, "Spacing"), "1 1 1");
  EXPECT_EQ(attribute(file, "byte_order"), "LittleEndian");
  EXPECT_EQ(attribute(file, "header_type"), "UInt64");
  for (const auto& [name, head] : {std::pair<std::string, int>{"loss_0", 0}, {"loss_1", 1}, {"loss", -1}}) {
    const std::vector<double> values = array(file, name);
    ASSERT_EQ(values.size(), 24u) << name;
    for (std::int64_t z = 0; z < 4; ++z) {
      for (std::int64_t y = 0; y < 3; ++y) {
        for (std::int64_t x = 0; x < 2; ++x) {
          const std::int64_t g = (x * 3 + y) * 4 + z;
          const double expected = head < 0 ? surface.total(g) : surface.at(g, head);
          EXPECT_EQ(values[static_cast<std::size_t>(x + 2 * (y + 3 * z))], expected) << name << ' ' << x << y << z;
        }
      }
    }
  }
  EXPECT_TRUE(file.ends_with("\n</AppendedData>\n</VTKFile>\n"));
}

TEST(Vti, BlocksFollowOneAnother) {
  const TemporaryFolder folder;
  write_vti(folder / "s.vti", counting_surface({{0, 1, 5}}, 2));
  const std::string file = bytes_of(folder / "s.vti");
  const std::size_t data = file.find('_', file.find("<AppendedData")) + 1;
  const std::size_t end = file.find("\n</AppendedData>");
  EXPECT_EQ(end - data, 3u * (8 + 5 * 8));
  EXPECT_EQ(attribute(file, "WholeExtent"), "0 4 0 0 0 0");
  EXPECT_EQ(attribute(file, "Spacing"), "0.25 1 1");
}

TEST(Vti, ReversesAnAxisThatRunsDown) {
  const TemporaryFolder folder;
  write_vti(folder / "s.vti", counting_surface({{3, 1, 3}, {7, 7, 1}}, 1));
  const std::string file = bytes_of(folder / "s.vti");
  EXPECT_EQ(attribute(file, "Origin"), "1 7 0");
  EXPECT_EQ(attribute(file, "Spacing"), "1 1 1");
  EXPECT_EQ(array(file, "loss"), (std::vector<double>{20.5, 10.5, 0.5}));
}

TEST(Vti, KeepsNonFiniteValues) {
  const TemporaryFolder folder;
  Surface surface = counting_surface({{0, 1, 2}}, 1);
  surface.losses = {NAN, INFINITY};
  write_vti(folder / "s.vti", surface);
  const std::vector<double> values = array(bytes_of(folder / "s.vti"), "loss_0");
  ASSERT_EQ(values.size(), 2u);
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], INFINITY);
}

// Small blocks of any shape, axes in either order: the bytes of the whole at once.
TEST(Vti, BlocksDoNotShow) {
  const TemporaryFolder folder;
  for (const std::int64_t heads : {1, 3}) {
    for (const std::vector<Axis>& axes : {std::vector<Axis>{{0, 1, 23}},
                                          {{1, 0, 5}, {0, 1, 7}},
                                          {{0, 1, 4}, {2, 1, 5}, {3, -3, 6}},
                                          {{0, 1, 4}, {0, 0, 1}, {1, 0, 9}}}) {
      const Surface surface = counting_surface(axes, heads);
      write_vti(folder / "whole.vti", surface);
      const std::string whole = bytes_of(folder / "whole.vti");
      for (const std::int64_t block : {1, 2, 7, 12, 20, 41, 60, 1000}) {
        const auto read = [&](std::int64_t first, std::span<double> losses) {
          EXPECT_LE(std::ssize(losses), std::max(block, heads));
          std::copy_n(surface.losses.begin() + first * heads, losses.size(), losses.begin());
        };
        write_vti(folder / "s.vti", surface.grid, heads, read, block);
        EXPECT_TRUE(bytes_of(folder / "s.vti") == whole) << surface.grid.describe() << ", blocks of " << block;
      }
      std::vector<std::int64_t> shape = surface.grid.shape();
      shape.push_back(heads);
      write_npy(folder / "s.npy", shape, surface.losses);
      write_vti(folder / "s.vti", folder / "s.npy", surface.grid, heads);
      EXPECT_TRUE(bytes_of(folder / "s.vti") == whole);
      EXPECT_ERROR(write_vti(folder / "s.vti", folder / "s.npy", surface.grid, heads + 1), FileError, "s.npy");
    }
  }
}

TEST(Vti, RefusesWhatItCannotStore) {
  const TemporaryFolder folder;
  const auto write = [&](const Surface& surface) { write_vti(folder / "s.vti", surface); };
  EXPECT_ERROR(write(counting_surface(std::vector<Axis>(4, Axis{0, 1, 2}), 1)), InvalidArgument, "4 axes");
  EXPECT_ERROR(write(counting_surface({{1, 1, 2}}, 1)), InvalidArgument, "axis 1 from 1 to 1");
  Surface list = counting_surface({{0, 1, 2}}, 1);
  list.points = {0, 1};
  EXPECT_ERROR(write(list), InvalidArgument, "a list of points");
  Surface wrong = counting_surface({{0, 1, 2}}, 1);
  wrong.losses.pop_back();
  EXPECT_ERROR(write(wrong), InvalidArgument, "received 1 losses");
  EXPECT_EQ(folder.count(), 0);
  EXPECT_ERROR(write_vti(folder / "none/s.vti", counting_surface({{0, 1, 2}}, 1)), FileError, "none/s.vti");
}

}  // namespace
}  // namespace lossatlas
