// Reads and writes PNG files as samples.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
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

struct PngEncoder;

/// An 8-bit RGB file written row by row from the top; complete or not at all.
class PngWriter {
 public:
  PngWriter(const std::filesystem::path& file, std::int64_t width, std::int64_t height, std::string_view function);
  ~PngWriter();

  /// Writes whole rows (count, width, 3).
  void write(std::span<const std::uint8_t> rgb);
  /// Call it after the last row.
  void commit();

 private:
  std::unique_ptr<PngEncoder> encoder_;
};

}  // namespace lossatlas
