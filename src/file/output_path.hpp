// Where an output goes, whether its name is still its own, and what is thrown when it cannot be written.
#pragma once

#include <cstdint>
#include <filesystem>

#include "file/file_context.hpp"

namespace lossatlas {

/// The file that `context` names with symbolic links followed, whether or not it is there yet; a device or pipe as
/// given. Throws FileError when the links lead nowhere.
std::filesystem::path followed(const FileContext& context);

/// Whether `file`, itself no link, is the open file's name.
bool names(const std::filesystem::path& file, int descriptor);
/// Throws WriteError unless it is.
void require_named(const std::filesystem::path& file, int descriptor, const FileContext& context);

/// Throws FileError with the system's reason; WriteError when that is not about the path.
[[noreturn]] void fail_to_open(const FileContext& context, int error);
/// Throws WriteError with the system's reason.
[[noreturn]] void fail_to_write(const FileContext& context, int error);

/// Throws WriteError when the disk of `file` cannot take so many bytes more, FileError when it never could.
void require_space(const std::filesystem::path& file, std::int64_t bytes, const FileContext& context);

/// Returns when names made, changed and removed in the folder of `file` are on the disk.
void sync_folder(const std::filesystem::path& file);

}  // namespace lossatlas
