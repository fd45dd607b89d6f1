#pragma once

#include <cstdint>
#include <filesystem>

#include <lossatlas/export.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// Writes a grid surface of z ≤ 3 as VTK image data for ParaView: one Float64 point array `loss_k` a head and their sum
/// `loss` (raw appended, little-endian), axis i of the section along x, y, z in that order. Complete or not at all.
/// Throws InvalidArgument for a list of points or z > 3, FileError.
LOSSATLAS_API void write_vti(const std::filesystem::path& file, const Surface& surface);

/// The same file from the losses (n₁, …, n_z, H) of a grid in an .npy file as write_section() makes it. Memory does not
/// grow with the grid: 256 MiB at most. The losses are read once for each of the H + 1 arrays, in runs that get short,
/// and slow, where the axes but the last have millions of points. Throws FileError, too, for any other file.
LOSSATLAS_API void write_vti(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
                             std::int64_t heads);

}  // namespace lossatlas
