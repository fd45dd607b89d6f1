#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lossatlas/surface.hpp>

namespace lossatlas {

/// How values become colours: viridis over a range, with a colour bar, or three heads as red, green and blue.
enum class Colouring : std::uint8_t { automatic, viridis, heads };

/// Options of render() and write_png().
/// @snippet api/files.cpp figures
struct RenderOptions {
  std::string title = {};
  Colouring colouring = Colouring::automatic;  ///< automatic: heads when there are three, else viridis of the sum
  std::optional<Range> range = std::nullopt;   ///< viridis: values at the ends of the colour bar; absent: finite range
  /// heads: the loss drawn as 0 for each head; absent: the smallest one.
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
/// Options of plot(), plot_spectrum() and plot_spectra().
struct PlotOptions {
  std::string title = {};  ///< wrapped where it is too long, and at line ends
  std::string x_label = {};
  std::string y_label = {};
  std::int64_t width = 560;
  std::int64_t height = 400;
};

}  // namespace lossatlas
