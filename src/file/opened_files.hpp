// Where readers report what they opened.
#pragma once

#include <cstdint>
#include <filesystem>

#include <lossatlas/opened_files.hpp>

namespace lossatlas {

/// Adds a file to the thread's OpenedFiles, if there is one.
void note_opened(const std::filesystem::path& file, std::uint64_t device, std::uint64_t inode);

}  // namespace lossatlas
