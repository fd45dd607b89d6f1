#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include <lossatlas/export.hpp>
#include <lossatlas/figure_options.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/pattern.hpp>
#include <lossatlas/rgb_image.hpp>
#include <lossatlas/spectrum_values.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// Draws a surface as a figure with axes: a line per head for z = 1, a heat map for z = 2, slices along axis 1 for z =
/// 3. Throws InvalidArgument for higher z. Non-finite losses are drawn in magenta and counted in the caption.
/// @snippet api/files.cpp figures
LOSSATLAS_API Image render(const Surface& surface, const RenderOptions& options = {});
/// Draws a pattern in the same way: value 0 is black, 1 is full (or viridis).
LOSSATLAS_API Image render(const Pattern& pattern, const RenderOptions& options = {});
/// Writes what render() draws as a PNG file.
/// @snippet api/files.cpp figures
LOSSATLAS_API void write_png(const std::filesystem::path& file, const Surface& surface,
                             const RenderOptions& options = {});

/// The same file, from the losses (n₁, …, n_z, H) of a grid in an .npy file that write_section() made. Memory does not
/// grow with the grid: only some rows of the picture are held at a time (for z = 1, all of it). The losses are read
/// twice, for z = 1 a few times per line. Throws FileError for any other file, too.
/// @snippet api/files.cpp figures
LOSSATLAS_API void write_png(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
                             std::int64_t heads, const RenderOptions& options = {});

/// Figures side by side, tops aligned, on white.
/// @snippet api/files.cpp plot
LOSSATLAS_API Image side_by_side(std::span<const Image> images);

/// A line plot with axes, ticks and a legend; non-finite points break the line. Throws InvalidArgument if no point is
/// finite.
/// @snippet api/files.cpp plot
LOSSATLAS_API Image plot(std::span<const Curve> curves, const PlotOptions& options = {});

/// |λ| of all eigenvalues on a logarithmic axis, largest first: positive ones red discs, negative ones blue squares,
/// zeros (by spectrum.zero) grey rings below the dashed line of the threshold, as in [Z21] Figure 3. Zeros more than 8
/// decades below the line share a row at the bottom. Throws InvalidArgument without eigenvalues or on a non-finite one.
/// @snippet api/files.cpp plot
LOSSATLAS_API Image plot_spectrum(const Spectrum& spectrum, const PlotOptions& options = {});
/// The same for several spectra side by side, with one scale of |λ|; each plot has the size in `options` and its own
/// title. Throws InvalidArgument as plot_spectrum() does, for no spectra, and if the number of titles differs.
/// @snippet api/files.cpp plot
LOSSATLAS_API Image plot_spectra(std::span<const Spectrum> spectra, std::span<const std::string> titles,
                                 const PlotOptions& options = {});

}  // namespace lossatlas
