// Bytes of a file, plain or gzip; the content decides which.
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
  /// Reads exactly bytes.size() bytes; throws FileError if the file ends first or the compressed data are corrupt.
  void read(std::span<std::byte> bytes);
  /// Throws FileError if a file of this size cannot hold `bytes` more; call it before allocating them.
  void require_possible(std::int64_t bytes) const;
  /// Throws FileError if a plain file is of a known kind other than `expected`.
  void refuse_foreign(std::string_view expected);
  /// Throws FileError unless all bytes have been read and gzip's checksum agrees.
  void require_end();

 private:
  struct Inflater;

  std::size_t inflate(std::span<std::byte> bytes);

  InputFile input_;
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace lossatlas
