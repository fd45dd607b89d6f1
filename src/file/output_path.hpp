// Where an output goes, whether its name still refers to it, and what is thrown if it cannot be written.
#pragma once

#include <cstdint>
#include <filesystem>

#include "file/file_context.hpp"

namespace lossatlas {

/// Resolves the symbolic links of the file that `context` names, whether or not the file exists; returns a device or
/// pipe as given. Throws FileError if the links lead nowhere.
std::filesystem::path followed(const FileContext& context);

/// Whether `file`, itself no link, names the open file.
bool names(const std::filesystem::path& file, int descriptor);
/// Throws WriteError unless names(file, descriptor).
void require_named(const std::filesystem::path& file, int descriptor, const FileContext& context);

/// Throws FileError with the system's reason, or WriteError if the path is not to blame.
[[noreturn]] void fail_to_open(const FileContext& context, int error);
/// Throws WriteError with the system's reason.
[[noreturn]] void fail_to_write(const FileContext& context, int error);

/// Throws WriteError if the disk of `file` cannot take `bytes` more, FileError if it never could.
void require_space(const std::filesystem::path& file, std::int64_t bytes, const FileContext& context);

/// Waits until names created, changed or removed in the folder of `file` are on the disk.
void sync_folder(const std::filesystem::path& file);

}  // namespace lossatlas
