#include "file/checksum.hpp"

#include <zlib.h>

namespace lossatlas {

Checksum& Checksum::add(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
  if (bytes.empty()) return *this;  // zlib takes a null pointer as a request to start over
  crc_ = static_cast<std::uint32_t>(crc32_z(crc_, data, bytes.size()));
  adler_ = static_cast<std::uint32_t>(adler32_z(adler_, data, bytes.size()));
  return *this;
}

Checksum& Checksum::append(std::uint64_t value, std::int64_t bytes) {
  crc_ = static_cast<std::uint32_t>(crc32_combine(crc_, static_cast<std::uint32_t>(value >> 32), bytes));
  adler_ = static_cast<std::uint32_t>(adler32_combine(adler_, static_cast<std::uint32_t>(value), bytes));
  return *this;
}

Checksum& Checksum::add(std::string_view text) {
  add(static_cast<std::uint64_t>(text.size()));
  return add(std::as_bytes(std::span(text)));
}

}  // namespace lossatlas
