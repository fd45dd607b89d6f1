#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// While it lives, records which files the library's readers open on the thread that made it: models, data sets,
/// arrays, pictures and shards. A program that must not overwrite its input checks here before it writes. The library's
/// writers do not check, since a caller may well read a file and replace it.
///
/// If a thread has several, the youngest records; they must end in reverse order.
/// @snippet api/files.cpp opened files
class LOSSATLAS_API OpenedFiles {
 public:
  OpenedFiles();
  ~OpenedFiles();
  OpenedFiles(const OpenedFiles&) = delete;
  OpenedFiles& operator=(const OpenedFiles&) = delete;

  /// The path under which a reader opened the file that `file` names, whatever links lead to either; nothing if no
  /// reader did or if `file` names none.
  std::optional<std::filesystem::path> find(const std::filesystem::path& file) const;

 private:
  /// What a reader opened.
  struct Entry {
    std::filesystem::path file;
    std::uint64_t device;
    std::uint64_t inode;
  };
  friend void note_opened(const std::filesystem::path& file, std::uint64_t device, std::uint64_t inode);

  std::vector<Entry> entries_;
  OpenedFiles* outer_;
};

}  // namespace lossatlas
