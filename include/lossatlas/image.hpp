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

/// A surface as a figure with axes: z = 1 a line per head, z = 2 a heat map, z = 3 slices along axis 1; higher z throws
/// InvalidArgument. Non-finite losses are drawn in magenta and counted in the caption.
LOSSATLAS_API Image render(const Surface& surface, const RenderOptions& options = {});
/// A pattern drawn the same way, value 0 black and 1 full (or viridis).
LOSSATLAS_API Image render(const Pattern& pattern, const RenderOptions& options = {});
/// render() and write_png().
LOSSATLAS_API void write_png(const std::filesystem::path& file, const Surface& surface,
                             const RenderOptions& options = {});

/// The same file from the losses (n₁, …, n_z, H) of a grid in an .npy file as write_section() makes it. Memory does not
/// grow with the grid: it holds some rows of the picture at a time, of z = 1 all of it. The losses are read twice, of
/// z = 1 a few times for each line. Throws FileError, too, for any other file.
LOSSATLAS_API void write_png(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
                             std::int64_t heads, const RenderOptions& options = {});

/// Figures side by side, tops aligned, on white.
LOSSATLAS_API Image side_by_side(std::span<const Image> images);

/// A line plot with axes, ticks and a legend; non-finite points break the line. Throws InvalidArgument without a finite
/// point.
LOSSATLAS_API Image plot(std::span<const Curve> curves, const PlotOptions& options = {});

/// |λ| of all eigenvalues on a logarithmic axis, largest first: positive ones red discs, negative ones blue squares,
/// zeros (by spectrum.zero) grey rings below the dashed line of the threshold, as in [Z21] Figure 3. Zeros more than 8
/// decades below the line share a row at the bottom. Throws InvalidArgument without eigenvalues or on a non-finite one.
LOSSATLAS_API Image plot_spectrum(const Spectrum& spectrum, const PlotOptions& options = {});
/// The same of several spectra side by side, with one scale of |λ| for all, each as large as `options` say and with a
/// title of its own. Throws InvalidArgument as plot_spectrum() does, on no spectra, and unless there are as many
/// titles.
LOSSATLAS_API Image plot_spectra(std::span<const Spectrum> spectra, std::span<const std::string> titles,
                                 const PlotOptions& options = {});

}  // namespace lossatlas
