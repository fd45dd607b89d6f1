#pragma once

#include <cstdint>
#include <filesystem>

#include <lossatlas/export.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// Writes a grid surface of z ≤ 3 as VTK image data for ParaView: one Float64 point array `loss_k` per head and their
/// sum `loss` (raw appended, little-endian), axis i of the section along x, y, z in that order. The file appears
/// complete or not at all. Throws InvalidArgument for a list of points or z > 3, FileError.
/// @snippet api/files.cpp figures
LOSSATLAS_API void write_vti(const std::filesystem::path& file, const Surface& surface);

/// The same file, from the losses (n₁, …, n_z, H) of a grid in an .npy file that write_section() made. Memory does not
/// grow with the grid: 256 MiB at most. The losses are read once for each of the H + 1 arrays, in runs that are short,
/// and slow, if the axes other than the last have millions of points. Throws FileError for any other file, too.
/// @snippet api/files.cpp figures
LOSSATLAS_API void write_vti(const std::filesystem::path& file, const std::filesystem::path& losses, const Grid& grid,
                             std::int64_t heads);

}  // namespace lossatlas
