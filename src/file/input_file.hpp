// A regular file open for reading, whose size bounds what a reader may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "file/file_context.hpp"

namespace lossatlas {

class InputFile {
 public:
  /// Throws FileError when the file cannot be opened or is not a regular file.
  InputFile(std::filesystem::path file, std::string_view function);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::int64_t size() const { return size_; }
  std::int64_t remaining() const { return size_ - position_; }
  const FileContext& context() const { return context_; }

  /// Reads exactly bytes.size() bytes; throws FileError if the file ends first.
  void read(std::span<std::byte> bytes);
  void seek(std::int64_t position);

 private:
  FileContext context_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
  std::int64_t position_ = 0;
};

/// Reads a whole regular file. Throws FileError.
std::string read_file(const std::filesystem::path& file, std::string_view function);

}  // namespace lossatlas
