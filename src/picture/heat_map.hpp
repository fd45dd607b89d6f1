// Heat maps of values that need not be in memory, drawn in bands of pixel rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <lossatlas/grid.hpp>
#include <lossatlas/image.hpp>

#include "format/loss_reader.hpp"

namespace lossatlas {

inline constexpr const char* kRender = "render";  ///< errors are thrown in its name

/// What a surface, a file of losses and a pattern have in common: values (G, H) at the points of a grid.
struct Field {
  Grid grid;
  std::int64_t heads;
  LossReader read;
  bool pattern;
};

/// Calls use(values (H)) for every point of a field, in order.
template <class Use>
void for_each_point(const Field& field, Use&& use) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 14;
  const auto heads = static_cast<std::size_t>(field.heads);
  std::vector<double> values;
  for (std::int64_t first = 0; first < field.grid.size(); first += kBlock) {
    values.resize(static_cast<std::size_t>(std::min(kBlock, field.grid.size() - first)) * heads);
    field.read(first, values);
    for (std::size_t at = 0; at < values.size(); at += heads) use(std::span<const double>(values).subspan(at, heads));
  }
}

/// Whether to draw heads as red, green and blue, or as grey; otherwise viridis of their sum.
bool drawn_as_heads(const Field& field, const RenderOptions& options);

/// The figure of a field of two axes, or of three as slices along the first.
class HeatMaps {
 public:
  /// Reads all values once. Throws InvalidArgument, before that, if the figure is too large.
  HeatMaps(Field field, const RenderOptions& options);
  ~HeatMaps();

  std::int64_t width() const;
  std::int64_t height() const;
  /// Draws pixel rows first..first+count−1. Reads only the values that they show.
  Image rows(std::int64_t first, std::int64_t count) const;

 private:
  struct Figure;
  std::unique_ptr<const Figure> figure_;
};

}  // namespace lossatlas
