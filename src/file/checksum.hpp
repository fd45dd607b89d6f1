// Checksums of what is on a disk, against damage by accident.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace lossatlas {

/// CRC-32 and Adler-32 side by side, 64 bits. The CRC alone finds every burst of up to 32 wrong bits; anything else
/// passes both with a chance below 2⁻⁵⁰. No defence against forgery. Bits do not depend on how bytes are cut into
/// calls.
class Checksum {
 public:
  Checksum& add(std::span<const std::byte> bytes);
  Checksum& add(std::span<const double> values) { return add(std::as_bytes(values)); }
  /// A string with its length, so that a list of them has one reading only.
  Checksum& add(std::string_view text);
  /// As many bytes as stated that have such a value of their own.
  Checksum& append(std::uint64_t value, std::int64_t bytes);
  /// One number, as it lies in memory.
  template <class T>
  requires std::is_arithmetic_v<T> Checksum& add(T value) { return add(std::as_bytes(std::span(&value, 1))); }

  std::uint64_t value() const { return std::uint64_t{crc_} << 32 | adler_; }

 private:
  std::uint32_t crc_ = 0;
  std::uint32_t adler_ = 1;
};

}  // namespace lossatlas
