// Files for tests, made from bytes by hand: nothing here uses the library's writers.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lossatlas::testing {

/// A folder of this process, removed with what is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lossatlas-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// A file of this folder with the given bytes.
  std::filesystem::path file(std::string_view name, std::string_view bytes) const {
    const std::filesystem::path path = path_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::ptrdiff_t count() const {
    return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
  }

 private:
  std::filesystem::path path_;
};

/// A file that is kept open and holds other bytes again and again: creating thousands, or truncating at each open,
/// takes a disk seconds.
class RewrittenFile {
 public:
  explicit RewrittenFile(std::filesystem::path path)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) {}
  ~RewrittenFile() { ::close(descriptor_); }
  RewrittenFile(const RewrittenFile&) = delete;
  RewrittenFile& operator=(const RewrittenFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void store(std::string_view bytes) const {
    const auto size = static_cast<ssize_t>(bytes.size());
    const bool stored =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == size && ::ftruncate(descriptor_, size) == 0;
    if (!stored) throw std::runtime_error("cannot write " + path_.string());
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

inline std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// The bytes of a number, least significant first.
template <class T>
std::string little(T value) {
  std::string bytes(sizeof(T), '\0');
  std::copy_n(reinterpret_cast<const char*>(&value), sizeof(T), bytes.begin());
  return bytes;
}

/// Most significant first.
template <class T>
std::string big(T value) {
  std::string bytes = little(value);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

template <class T>
std::string little_list(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes += little(value);
  return bytes;
}

/// An .npy file of version 1 with this header dict.
inline std::string npy_with_header(const std::string& dict, std::string_view data, char version = 1) {
  std::string file = "\x93NUMPY";
  file += version;
  file += '\0';
  file +=
      version == 1 ? little(static_cast<std::uint16_t>(dict.size())) : little(static_cast<std::uint32_t>(dict.size()));
  return file.append(dict).append(data);
}

inline std::string npy(const std::string& descr, const std::string& shape, std::string_view data, bool fortran = false,
                       char version = 1) {
  return npy_with_header(
      "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }\n",
      data, version);
}

/// An IDX file of unsigned bytes.
inline std::string idx(std::initializer_list<std::uint32_t> shape, std::string_view data, char type = 8) {
  std::string file = {'\0', '\0', type, static_cast<char>(shape.size())};
  for (const std::uint32_t size : shape) file += big(size);
  return file.append(data);
}

inline std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzip = 16 + MAX_WBITS;
  constexpr int kMemory = 8;
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string png_chunk(const std::string& type, std::string_view data) {
  const std::string body = type + std::string(data);
  const auto sum =
      static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  return big(static_cast<std::uint32_t>(data.size())) + body + big(sum);
}

struct PngLayout {
  std::uint32_t width = 1;
  std::uint32_t height = 1;
  char depth = 8;
  char colour = 0;          ///< 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  std::string chunks = {};  ///< between IHDR and IDAT
};

/// A PNG of the packed rows (height, bytes of a row), each stored without a filter.
inline std::string png(const PngLayout& layout, std::string_view rows) {
  const std::size_t row_bytes = rows.size() / layout.height;
  std::string raw;
  for (std::size_t r = 0; r < layout.height; ++r) raw.append(1, '\0').append(rows.substr(r * row_bytes, row_bytes));
  uLongf size = compressBound(raw.size());
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  packed.resize(size);
  const std::string header =
      big(layout.width) + big(layout.height) + layout.depth + layout.colour + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + layout.chunks + png_chunk("IDAT", packed) +
         png_chunk("IEND", "");
}

/// Recomputes the checksum of every chunk that is still whole.
inline std::string repair_png(std::string bytes) {
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (length > bytes.size() - at - 12) break;
    bytes.replace(at, length + 12, png_chunk(bytes.substr(at + 4, 4), std::string_view(bytes).substr(at + 8, length)));
    at += length + 12;
  }
  return bytes;
}

inline std::string safetensors(std::string_view header, std::string_view data) {
  return little(std::uint64_t{header.size()}).append(header).append(data);
}

}  // namespace lossatlas::testing
