// Checksums of data on a disk, against accidental damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace lossatlas {

/// CRC-32 and Adler-32 side by side, 64 bits. The CRC alone finds every burst of up to 32 wrong bits; other damage
/// passes both with a probability below 2⁻⁵⁰. No defence against forgery. How bytes are cut into calls does not matter.
class Checksum {
 public:
  Checksum& add(std::span<const std::byte> bytes);
  Checksum& add(std::span<const double> values) { return add(std::as_bytes(values)); }
  /// Adds a string and its length, so that a list of strings has only one reading.
  Checksum& add(std::string_view text);
  /// Appends `bytes` bytes whose own checksum is `value`.
  Checksum& append(std::uint64_t value, std::int64_t bytes);
  /// Adds one number, as it lies in memory.
  template <class T>
  requires std::is_arithmetic_v<T> Checksum& add(T value) { return add(std::as_bytes(std::span(&value, 1))); }

  std::uint64_t value() const { return std::uint64_t{crc_} << 32 | adler_; }

 private:
  std::uint32_t crc_ = 0;
  std::uint32_t adler_ = 1;
};

}  // namespace lossatlas
