#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// While it lives, keeps which files the library's readers open on the thread that made it: models, data sets, arrays,
/// pictures and shards. A program that must not write over its input compares with it before it writes; the library's
/// writers do not, for a caller may well read a file and replace it.
///
/// Of several on one thread the youngest keeps them; they end in the reverse order.
class LOSSATLAS_API OpenedFiles {
 public:
  OpenedFiles();
  ~OpenedFiles();
  OpenedFiles(const OpenedFiles&) = delete;
  OpenedFiles& operator=(const OpenedFiles&) = delete;

  /// The path under which the file that `file` names was opened, whatever links lead to either; nothing when it was not
  /// or `file` names none.
  std::optional<std::filesystem::path> find(const std::filesystem::path& file) const;

 private:
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
