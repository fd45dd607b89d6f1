// Bytes of a file, plain or gzip, told by content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "file/input_file.hpp"

namespace lossatlas {

class ByteSource {
 public:
  /// Throws FileError when the file cannot be opened.
  ByteSource(std::filesystem::path file, std::string_view function);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  const FileContext& context() const { return input_.context(); }
  /// The next bytes, all of them; throws FileError when they end before or the compressed data are corrupt.
  void read(std::span<std::byte> bytes);
  /// Throws FileError when `bytes` more cannot be in a file of this size, before anything is allocated for them.
  void require_possible(std::int64_t bytes) const;
  /// Throws FileError when a plain file is of a known kind other than the `expected` one.
  void refuse_foreign(std::string_view expected);
  /// Throws FileError unless all bytes are read and the checksum of gzip agrees.
  void require_end();

 private:
  struct Inflater;

  std::size_t inflate(std::span<std::byte> bytes);

  InputFile input_;
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace lossatlas
