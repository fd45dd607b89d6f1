// PNG to and from samples.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace lossatlas {

/// Samples in [0, 1] in the file's own encoding (no gamma is applied), alpha composited on white.
struct Raster {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;   ///< 1 for grey files, else 3
  std::vector<double> values;  ///< (height, width, channels)
};

/// Decodes a PNG of any colour type and depth; 16-bit samples keep their precision. Throws FileError naming `function`.
Raster read_png(const std::filesystem::path& file, std::string_view function);

}  // namespace lossatlas
