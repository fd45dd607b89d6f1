#pragma once

#include <filesystem>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

// All writers of the library treat a name alike. The file appears complete or not at all, and is durable when the call
// returns. Symbolic links are followed, even to a file that does not exist yet, and stay. A device or pipe is written
// to directly. The ending of the name does not matter.

/// Where a writer given `file` really writes: links are followed, the rest stays as given. Throws FileError if the
/// links lead nowhere: in a loop, or to a file that has lost its name.
/// @snippet api/files.cpp paths
LOSSATLAS_API std::filesystem::path followed(const std::filesystem::path& file);

/// Writes `text`. Throws FileError if the file cannot be made, WriteError if writing it fails.
LOSSATLAS_API void write_text(const std::filesystem::path& file, std::string_view text);

}  // namespace lossatlas
