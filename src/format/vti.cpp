#include "format/vti.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "file/atomic_file.hpp"
#include "file/input_file.hpp"
#include "format/npy_header.hpp"

namespace lossatlas {
namespace {

constexpr std::string_view kFunction = "write_vti";
constexpr std::size_t kAxes = 3;

/// The section's axes along x, y, z, padded with axes of one point. VTK wants positive spacing: an axis that runs
/// down is stored reversed.
struct Geometry {
  std::array<std::int64_t, kAxes> points{1, 1, 1};
  std::array<double, kAxes> origin{};
  std::array<double, kAxes> spacing{1, 1, 1};
  std::array<bool, kAxes> reversed{};
};

Geometry geometry(const Grid& grid) {
  Geometry box;
  for (std::size_t i = 0; i < grid.axes().size(); ++i) {
    const Axis& axis = grid.axes()[i];
    box.points[i] = axis.points;
    box.origin[i] = axis.points == 1 ? axis.lo : std::min(axis.lo, axis.hi);
    if (axis.points == 1) continue;
    box.spacing[i] = std::abs(axis.hi - axis.lo) / static_cast<double>(axis.points - 1);
    box.reversed[i] = axis.hi < axis.lo;
    require(box.spacing[i] > 0 && std::isfinite(box.spacing[i]), kFunction, "received axis ", i + 1, " from ", axis.lo,
            " to ", axis.hi, " with ", axis.points, " points, expected a finite range that is not empty");
  }
  return box;
}

std::vector<std::string> array_names(std::int64_t heads) {
  std::vector<std::string> names = {"loss"};
  for (std::int64_t head = 0; head < heads; ++head) names.push_back("loss_" + std::to_string(head));
  return names;
}

std::string xml(const Geometry& box, const std::vector<std::string>& names, std::int64_t block_bytes) {
  TextStream text;
  text.precision(17);
  const auto triple = [&](std::string_view name, const std::array<double, kAxes>& values) {
    text << ' ' << name << "=\"" << values[0] << ' ' << values[1] << ' ' << values[2] << '"';
  };
  const auto extent = [&](std::string_view name) {
    text << ' ' << name << "=\"0 " << box.points[0] - 1 << " 0 " << box.points[1] - 1 << " 0 " << box.points[2] - 1
         << '"';
  };
  text << "<?xml version=\"1.0\"?>\n"
       << "<VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n<ImageData";
  extent("WholeExtent");
  triple("Origin", box.origin);
  triple("Spacing", box.spacing);
  text << ">\n<Piece";
  extent("Extent");
  text << ">\n<PointData Scalars=\"loss\">\n";
  std::int64_t offset = 0;
  for (const std::string& name : names) {
    text << "<DataArray type=\"Float64\" Name=\"" << name << "\" format=\"appended\" offset=\"" << offset << "\"/>\n";
    offset += block_bytes;
  }
  text << "</PointData>\n</Piece>\n</ImageData>\n<AppendedData encoding=\"raw\">\n_";
  return text.str();
}

/// Part of the points, in the file's order: from and count along x, y, z.
struct Block {
  std::array<std::int64_t, kAxes> from{};
  std::array<std::int64_t, kAxes> count{};
};

/// The points of each axis in a block: consecutive in the file, at most `most` in all.
std::array<std::int64_t, kAxes> block_shape(const Geometry& box, std::int64_t most) {
  const auto& [nx, ny, nz] = box.points;
  const std::int64_t dx = std::min(nx, most);
  const std::int64_t dy = dx < nx ? 1 : std::min(ny, std::max<std::int64_t>(1, most / nx));
  const std::int64_t dz = dx < nx || dy < ny ? 1 : std::min(nz, std::max<std::int64_t>(1, most / nx / ny));
  return {dx, dy, dz};
}

/// One array of the file: a head's losses, or (head < 0) their sums over the heads.
class ArrayWriter {
 public:
  ArrayWriter(AtomicFile& output, const Geometry& box, std::int64_t heads, const LossReader& read, std::int64_t block)
      : output_(output),
        box_(box),
        heads_(static_cast<std::size_t>(heads)),
        read_(read),
        shape_(block_shape(box, std::max<std::int64_t>(1, block / heads))) {}

  void write(std::int64_t head) {
    const auto& [nx, ny, nz] = box_.points;
    Block block;
    auto& [x, y, z] = block.from;
    for (z = 0; z < nz; z += shape_[2]) {
      for (y = 0; y < ny; y += shape_[1]) {
        for (x = 0; x < nx; x += shape_[0]) {
          for (std::size_t i = 0; i < kAxes; ++i) block.count[i] = std::min(shape_[i], box_.points[i] - block.from[i]);
          write(block, head);
        }
      }
    }
  }

 private:
  double value(std::span<const double> point, std::int64_t head) const {
    if (head >= 0) return point[static_cast<std::size_t>(head)];
    return std::accumulate(point.begin(), point.end(), 0.0);
  }

  /// The last axis varies fastest in the grid, x in the file: reads runs in one order, places values by the other.
  void write(const Block& block, std::int64_t head) {
    const auto& [cx, cy, cz] = block.count;
    std::array<std::int64_t, kAxes> first{};  // in the grid
    for (std::size_t i = 0; i < kAxes; ++i) {
      const std::int64_t past = block.from[i] + block.count[i];
      first[i] = box_.reversed[i] ? box_.points[i] - past : block.from[i];
    }
    std::int64_t run = cz;
    if (cz == box_.points[2]) run *= cy;
    if (cz == box_.points[2] && cy == box_.points[1]) run *= cx;
    const std::int64_t points = cx * cy * cz;
    values_.resize(static_cast<std::size_t>(points));
    losses_.resize(static_cast<std::size_t>(run) * heads_);
    for (std::int64_t done = 0; done < points; done += run) {
      const std::int64_t x = done / cz / cy, y = done / cz % cy, z = done % cz;
      read_(((first[0] + x) * box_.points[1] + first[1] + y) * box_.points[2] + first[2] + z, losses_);
      for (std::int64_t k = 0; k < run; ++k)
        values_[place(block, done + k)] =
            value(std::span(losses_).subspan(static_cast<std::size_t>(k) * heads_, heads_), head);
    }
    output_.write(std::span<const double>(values_));
  }

  /// Where a block's k-th point in the grid's order lies in the file's order.
  std::size_t place(const Block& block, std::int64_t k) const {
    const auto& [cx, cy, cz] = block.count;
    std::array<std::int64_t, kAxes> at{k / cz / cy, k / cz % cy, k % cz};
    for (std::size_t i = 0; i < kAxes; ++i) {
      if (box_.reversed[i]) at[i] = block.count[i] - 1 - at[i];
    }
    return static_cast<std::size_t>((at[2] * cy + at[1]) * cx + at[0]);
  }

  AtomicFile& output_;
  const Geometry& box_;
  std::size_t heads_;
  const LossReader& read_;
  std::array<std::int64_t, kAxes> shape_;
  std::vector<double> values_, losses_;
};

}  // namespace

void write_vti(const std::filesystem::path& file, const Grid& grid, std::int64_t heads, const LossReader& read,
               std::int64_t block) {
  require(grid.rank() >= 1 && grid.rank() <= std::int64_t{kAxes}, kFunction, "received a grid with ", grid.rank(),
          " axes, expected 1 to 3");
  const Geometry box = geometry(grid);
  const std::vector<std::string> names = array_names(heads);
  const auto bytes = static_cast<std::uint64_t>(grid.size()) * sizeof(double);
  const auto block_bytes = static_cast<std::int64_t>(sizeof(std::uint64_t) + bytes);
  AtomicFile output(file, kFunction);
  output.require_space(block_bytes * std::ssize(names));
  output.write(xml(box, names, block_bytes));
  ArrayWriter arrays(output, box, heads, read, block);
  for (std::int64_t head = -1; head < heads; ++head) {
    output.write_u64(bytes);
    arrays.write(head);
  }
  output.write("\n</AppendedData>\n</VTKFile>\n");
  output.commit();
}

void write_vti(const std::filesystem::path& file, const Surface& surface) {
  require(surface.points.empty(), kFunction, "received a surface of a list of points, expected one of a grid");
  require(surface.heads >= 1 && std::ssize(surface.losses) == surface.size() * surface.heads, kFunction, "received ",
          surface.losses.size(), " losses, expected ", surface.size(), " points times ", surface.heads, " heads");
  write_vti(file, surface.grid, surface.heads, loss_reader(surface.losses, surface.heads));
}

void write_vti(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
               std::int64_t heads) {
  write_vti(file, grid, heads, loss_reader(losses, grid, heads, kFunction));
}

}  // namespace lossatlas
