#include <lossatlas/image.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "format/png.hpp"
#include "picture/canvas.hpp"
#include "picture/heat_map.hpp"
#include "picture/plot.hpp"

namespace lossatlas {
namespace {

void check_arguments(const Field& field, const RenderOptions& options) {
  require(field.grid.rank() >= 1 && field.grid.rank() <= 3, kRender, "received ", field.grid.rank(),
          " axes, expected 1 to 3; draw a slice of the surface, or write it with write_vti or write_npy");
  require(options.scale >= 0 && options.scale <= kLargestSide, kRender, "received scale ", options.scale,
          ", expected 0 to ", kLargestSide, "; pass the pixels per grid point, or 0");
  if (options.range) {
    require(
        std::isfinite(options.range->lo) && std::isfinite(options.range->hi) && options.range->lo < options.range->hi,
        kRender, "received range [", options.range->lo, ", ", options.range->hi,
        "], expected finite ends in rising order; change or omit it");
  }
  if (!drawn_as_heads(field, options)) return;
  require(field.heads == 1 || field.heads == 3, kRender, "received Colouring::heads for ", field.heads,
          " heads, expected 3 (red, green, blue) or 1 (grey); use Colouring::viridis");
  require(options.offset.empty() || static_cast<std::int64_t>(options.offset.size()) == field.heads, kRender,
          "received ", options.offset.size(), " offsets for ", field.heads,
          " heads, expected one per head; change or omit them");
  require_finite(options.offset, kRender, "offset");
}

/// The k-th value of a point: that of head k or, after the last head, the sum.
double value_of(std::span<const double> values, std::size_t k) {
  if (k < values.size()) return values[k];
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

/// Draws a line per head and, if there are several, their sum.
Image lines(const Field& field, const RenderOptions& options) {
  const Axis axis = field.grid.axes()[0];
  const auto count = static_cast<std::size_t>(field.heads + (field.heads > 1 ? 1 : 0));
  std::vector<PlotCurve> curves(count);
  for (std::size_t k = 0; k < count; ++k) {
    if (count > 1) curves[k].label = k + 1 == count ? "sum" : "head " + std::to_string(k + 1);
    curves[k].points = [&field, axis, k](const auto& visit) {
      std::int64_t g = 0;
      for_each_point(field, [&](std::span<const double> values) { visit(axis.at(g++), value_of(values, k)); });
    };
  }
  PlotDetails details{.function = kRender, .y_range = options.range};
  details.nonfinite = [&field, axis, count](const auto& mark) {
    std::int64_t g = 0;
    for_each_point(field, [&](std::span<const double> values) {
      bool finite = true;
      for (std::size_t k = 0; k < count; ++k) finite = finite && std::isfinite(value_of(values, k));
      if (!finite) mark(axis.at(g));
      ++g;
    });
  };
  std::int64_t nonfinite = 0;
  details.nonfinite([&nonfinite](double) { ++nonfinite; });
  if (nonfinite > 0) {
    details.caption.push_back(std::to_string(nonfinite) + " of " + std::to_string(axis.points) +
                              " points not finite (magenta)");
  }
  PlotOptions plot{.title = options.title, .x_label = "α", .y_label = field.pattern ? "value" : "loss"};
  constexpr std::int64_t kRoom = 80;  // beside the axes, for numbers and margins
  require(options.scale == 0 || axis.points <= (kLargestSide - kRoom) / options.scale, kRender, "received ",
          axis.points, " grid points at scale ", options.scale, ", expected a figure of at most ", kLargestSide,
          " pixels on a side; choose a smaller scale or a coarser grid");
  if (options.scale > 0) plot.width = std::max(plot.width, axis.points * options.scale + kRoom);
  return draw_plot(curves, plot, details);
}

Image render(const Field& field, const RenderOptions& options) {
  check_arguments(field, options);
  if (field.grid.rank() == 1) return lines(field, options);
  const HeatMaps figure(field, options);
  return figure.rows(0, figure.height());
}

}  // namespace

Image render(const Surface& surface, const RenderOptions& options) {
  require(surface.points.empty(), kRender,
          "received a surface of a list of points, expected one of a grid; evaluate the section on a Grid");
  require(surface.heads >= 1 && std::ssize(surface.losses) == surface.size() * surface.heads, kRender, "received ",
          surface.losses.size(), " values for ", surface.size(), " points of ", surface.heads,
          " heads, expected one value for each; fill the surface first");
  return render(Field{surface.grid, surface.heads, loss_reader(surface.losses, surface.heads), false}, options);
}

Image render(const Pattern& pattern, const RenderOptions& options) {
  const LossReader values = loss_reader(pattern.values(), pattern.channels());
  return render(Field{pattern.grid(), pattern.channels(), values, true}, options);
}

void write_png(const std::filesystem::path& file, const Surface& surface, const RenderOptions& options) {
  write_png(file, render(surface, options));
}

void write_png(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
               std::int64_t heads, const RenderOptions& options) {
  constexpr std::int64_t kBand = std::int64_t{1} << 22;  // pixels
  const Field field{grid, heads, loss_reader(losses, grid, heads, "write_png"), false};
  check_arguments(field, options);
  if (grid.rank() == 1) return write_png(file, lines(field, options));
  const HeatMaps figure(field, options);
  PngWriter writer(file, figure.width(), figure.height(), "write_png");
  const std::int64_t band = std::max<std::int64_t>(1, kBand / figure.width());
  for (std::int64_t first = 0; first < figure.height(); first += band) {
    writer.write(figure.rows(first, std::min(band, figure.height() - first)).rgb);
  }
  writer.commit();
}

Image side_by_side(std::span<const Image> images) {
  constexpr std::int64_t kGap = 12;
  constexpr const char* kName = "side_by_side";
  require(!images.empty(), kName, "received no images, expected at least one; pass figures");
  std::int64_t width = -kGap, height = 0;
  for (const Image& image : images) {
    require(image.width >= 1 && image.height >= 1 && image.width <= kLargestSide && image.height <= kLargestSide &&
                static_cast<std::int64_t>(image.rgb.size()) == 3 * image.width * image.height,
            kName, "received an image of ", image.width, " × ", image.height, " pixels with ", image.rgb.size(),
            " bytes, expected 1 to ", kLargestSide, " on a side and three bytes each; pass what render() returns");
    width += image.width + kGap;
    height = std::max(height, image.height);
  }
  Canvas canvas(width, height, kName);
  Image result = std::move(canvas).take();
  std::int64_t left = 0;
  for (const Image& image : images) {
    for (std::int64_t y = 0; y < image.height; ++y) {
      std::copy_n(image.rgb.begin() + 3 * y * image.width, 3 * image.width,
                  result.rgb.begin() + 3 * (y * width + left));
    }
    left += image.width + kGap;
  }
  return result;
}

}  // namespace lossatlas
