#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// An 8-bit RGB raster, row 0 on top.
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  ///< (height, width, 3)
};

/// Writes a PNG file, which appears complete or not at all. Throws FileError.
/// @snippet api/files.cpp plot
LOSSATLAS_API void write_png(const std::filesystem::path& file, const Image& image);

}  // namespace lossatlas
