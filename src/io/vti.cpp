#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string>

#include <lossatlas/vti.hpp>

#include "io/atomic_file.hpp"

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
  std::ostringstream text;
  text.imbue(std::locale::classic());
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

/// The values at all points, x fastest: in the grid the last axis is.
template <class Value>
void write_points(AtomicFile& output, const Geometry& box, const Value& value) {
  const auto& [nx, ny, nz] = box.points;
  const auto index = [&](std::size_t axis, std::int64_t k) {
    return box.reversed[axis] ? box.points[axis] - 1 - k : k;
  };
  std::vector<double> line(static_cast<std::size_t>(nx));
  for (std::int64_t z = 0; z < nz; ++z) {
    for (std::int64_t y = 0; y < ny; ++y) {
      for (std::int64_t x = 0; x < nx; ++x) {
        line[static_cast<std::size_t>(x)] = value((index(0, x) * ny + index(1, y)) * nz + index(2, z));
      }
      output.write(line);
    }
  }
}

}  // namespace

void write_vti(const std::filesystem::path& file, const Surface& surface) {
  const std::int64_t rank = surface.grid.rank();
  require(surface.points.empty() && rank >= 1 && rank <= std::int64_t{kAxes}, kFunction, "received a surface of ",
          surface.points.empty() ? "a grid" : "a list of points", " with ", rank, " axes, expected a grid of 1 to 3");
  require(surface.heads >= 1 && std::ssize(surface.losses) == surface.size() * surface.heads, kFunction, "received ",
          surface.losses.size(), " losses, expected ", surface.size(), " points times ", surface.heads, " heads");
  const Geometry box = geometry(surface.grid);
  const std::vector<std::string> names = array_names(surface.heads);
  const auto bytes = static_cast<std::uint64_t>(surface.size()) * sizeof(double);
  const auto block_bytes = static_cast<std::int64_t>(sizeof(std::uint64_t) + bytes);
  AtomicFile output(file, kFunction);
  output.require_space(block_bytes * std::ssize(names));
  output.write(xml(box, names, block_bytes));
  output.write_u64(bytes);
  write_points(output, box, [&](std::int64_t g) { return surface.total(g); });
  for (std::int64_t head = 0; head < surface.heads; ++head) {
    output.write_u64(bytes);
    write_points(output, box, [&](std::int64_t g) { return surface.at(g, head); });
  }
  output.write("\n</AppendedData>\n</VTKFile>\n");
  output.commit();
}

}  // namespace lossatlas
