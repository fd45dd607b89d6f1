#pragma once

#include <filesystem>
#include <string_view>

#include <lossatlas/export.hpp>

namespace lossatlas {

// All writers of the library treat a name alike: the file appears complete or not at all, and lasts when the call
// returns; symbolic links are followed, also to a file that is not there yet, and stay; a device or pipe is written to
// directly. What a name ends in does not matter to them.

/// Where a writer puts what it is told to write to `file`: links followed, the rest as given. Throws FileError when
/// they lead nowhere: in a loop, or to a file that has lost its name.
LOSSATLAS_API std::filesystem::path followed(const std::filesystem::path& file);

/// Throws FileError when the file cannot be made, WriteError when writing it fails.
LOSSATLAS_API void write_text(const std::filesystem::path& file, std::string_view text);

}  // namespace lossatlas
