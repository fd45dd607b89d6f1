#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lossatlas/surface.hpp>

namespace lossatlas {

/// What a value becomes: viridis over a range with colour bar, or three heads as red, green, blue.
enum class Colouring : std::uint8_t { automatic, viridis, heads };

struct RenderOptions {
  std::string title = {};
  Colouring colouring = Colouring::automatic;  ///< automatic: heads when there are three, else viridis of the sum
  std::optional<Range> range = std::nullopt;   ///< viridis: values at the ends of the colour bar; absent: finite range
  /// heads: loss of each head that is drawn as 0; absent: so that the smallest value is 0.
  std::vector<double> offset = {};
  bool sigmoid = false;    ///< heads: draw sigmoid(L − offset) ([C19] Figure 1)
  std::int64_t scale = 0;  ///< pixels per grid point; 0: chosen so that the plot is about 512 wide
};

/// One curve of a line plot.
struct Curve {
  std::string label;
  std::vector<double> x;
  std::vector<double> y;
};
struct PlotOptions {
  std::string title = {};  ///< broken where it is too long, and at line ends
  std::string x_label = {};
  std::string y_label = {};
  std::int64_t width = 560;
  std::int64_t height = 400;
};

}  // namespace lossatlas
