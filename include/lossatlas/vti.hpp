#pragma once

#include <filesystem>

#include <lossatlas/export.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// Writes a grid surface of z ≤ 3 as VTK image data for ParaView: one Float64 point array `loss_k` a head and their sum
/// `loss` (raw appended, little-endian), axis i of the section along x, y, z in that order. Complete or not at all.
/// Throws InvalidArgument for a list of points or z > 3, FileError.
LOSSATLAS_API void write_vti(const std::filesystem::path& file, const Surface& surface);

}  // namespace lossatlas
