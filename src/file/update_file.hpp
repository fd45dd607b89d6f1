// A regular file that is read and written at chosen places, now and by later processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "file/file_context.hpp"

namespace lossatlas {

/// A process holds it for itself, where the file system knows locks. create() and open() throw FileError, also when
/// another process holds the file; members that write throw WriteError. Each names the path and the system's reason.
/// Never follows a symbolic link.
class UpdateFile {
 public:
  /// A new file; throws when there is one of that name.
  static UpdateFile create(const std::filesystem::path& file, std::string_view function);
  /// The file of that name; nothing when there is none.
  static std::optional<UpdateFile> open(const std::filesystem::path& file, std::string_view function);
  UpdateFile(UpdateFile&& other) noexcept;
  UpdateFile& operator=(UpdateFile&& other) noexcept;
  ~UpdateFile();

  const FileContext& context() const { return context_; }
  std::int64_t size() const;
  /// Bytes that the disk holds for it: less than size() with holes.
  std::int64_t allocated() const;
  /// Whether the name is still this file's.
  bool named() const;
  /// Throws WriteError unless it is.
  void require_named() const;
  /// As many bytes as there are from `offset`, at most bytes.size(); returns how many.
  std::size_t read(std::int64_t offset, std::span<std::byte> bytes) const;
  void write(std::int64_t offset, std::span<const std::byte> bytes);
  void truncate(std::int64_t size);
  /// Returns when the content is on the disk.
  void sync();
  /// Onto `target`, whose permissions are kept if it exists. Lasts when it returns. Throws WriteError, the target
  /// untouched, when the name is no longer this file's.
  void rename(const std::filesystem::path& target);
  /// Removes the name if it is still this file's; one that stays costs the next run no more than an error that names
  /// it.
  void remove() const;

 private:
  UpdateFile(std::filesystem::path file, std::string_view function, int descriptor);
  void hold() const;

  FileContext context_;
  int descriptor_ = -1;
};

}  // namespace lossatlas
