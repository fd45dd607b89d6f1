// Output that appears complete or not at all: written beside its target, then renamed onto it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "file/file_context.hpp"

namespace lossatlas {

/// A file under construction. Until commit() the target is untouched; without commit() nothing is left behind.
///
/// Follows a symbolic link; writes directly to a device or pipe, which cannot be replaced. The constructor throws
/// FileError with the target's path and the system's reason; every member that writes throws WriteError.
class AtomicFile {
 public:
  AtomicFile(std::filesystem::path target, std::string_view function);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws if the disk cannot take `bytes` more, before an hour's work rather than after it: WriteError if that may
  /// change, FileError if it never can.
  void require_space(std::int64_t bytes) const;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Little-endian IEEE doubles.
  void write(std::span<const double> values);
  void write_u64(std::uint64_t value);
  /// Flushes to the disk and renames onto the target, which is durable on return.
  void commit();

 private:
  void open_temporary();
  void flush();
  void discard() noexcept;

  FileContext context_;              ///< the path as given
  std::filesystem::path target_;     ///< links resolved
  std::filesystem::path temporary_;  ///< empty when the target is written directly
  int descriptor_ = -1;
  std::vector<std::byte> buffer_;
};

/// Writes one buffer as a file, complete or not at all.
void write_file(const std::filesystem::path& target, std::string_view bytes, std::string_view function);

}  // namespace lossatlas
