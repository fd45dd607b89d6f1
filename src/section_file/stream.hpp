// Sections into files, whatever computes the losses.
#pragma once

#include <filesystem>

#include "section_file/tiles.hpp"

namespace lossatlas {

/// write_section() of any source; leaves device, precision and plan of the report empty.
SectionFileReport stream_section(const std::filesystem::path& file, const TileSource& source,
                                 const SectionFileOptions& options);

}  // namespace lossatlas
