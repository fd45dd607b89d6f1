// A regular file that this process and later ones read and write at chosen offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "file/file_context.hpp"

namespace lossatlas {

/// Locked by the process that opens it, if the file system supports locks. create() and open() throw FileError, also if
/// another process holds the file; members that write throw WriteError. Each message names the path and the system's
/// reason. Never follows a symbolic link.
class UpdateFile {
 public:
  /// Creates a new file; throws if the name exists.
  static UpdateFile create(const std::filesystem::path& file, std::string_view function);
  /// Opens the file of that name; nullopt if there is none.
  static std::optional<UpdateFile> open(const std::filesystem::path& file, std::string_view function);
  UpdateFile(UpdateFile&& other) noexcept;
  UpdateFile& operator=(UpdateFile&& other) noexcept;
  ~UpdateFile();

  const FileContext& context() const { return context_; }
  std::int64_t size() const;
  /// Bytes allocated on the disk: fewer than size() if the file has holes.
  std::int64_t allocated() const;
  /// Whether the name still refers to this file.
  bool named() const;
  /// Throws WriteError unless named().
  void require_named() const;
  /// Reads what there is from `offset` on, at most bytes.size() bytes; returns how many.
  std::size_t read(std::int64_t offset, std::span<std::byte> bytes) const;
  void write(std::int64_t offset, std::span<const std::byte> bytes);
  void truncate(std::int64_t size);
  /// Waits until the content is on the disk.
  void sync();
  /// Renames onto `target`, keeping the permissions of an existing target. Durable on return. Throws WriteError, with
  /// the target untouched, if the name no longer refers to this file.
  void rename(const std::filesystem::path& target);
  /// Removes the name if it still refers to this file. If that fails, all it costs is that the next run ends with an
  /// error that names the file.
  void remove() const;

 private:
  UpdateFile(std::filesystem::path file, std::string_view function, int descriptor);
  void hold() const;

  FileContext context_;
  int descriptor_ = -1;
};

}  // namespace lossatlas
