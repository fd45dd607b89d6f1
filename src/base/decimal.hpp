// Decimal numbers in text, of files and of options.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace lossatlas {

/// Whether the magnitude of a decimal number that no double holds is too small rather than too large.
inline bool is_below_range(std::string_view text) {
  const std::size_t e = text.find_first_of("eE");
  const std::string_view mantissa = text.substr(0, e);
  std::int64_t exponent = 0;
  if (e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    constexpr std::int64_t kFar = std::int64_t{1} << 62;
    if (error == std::errc::result_out_of_range) exponent = digits.starts_with('-') ? -kFar : kFar;
    exponent = std::clamp(exponent, -kFar, kFar);
  }
  // Places of the first digit that is not 0 before the point, from 1; after it, from 0 downwards.
  const std::size_t dot = std::min(mantissa.find('.'), mantissa.size());
  const auto first = static_cast<std::int64_t>(mantissa.find_first_of("123456789"));
  const std::int64_t place = static_cast<std::int64_t>(dot) - first + (first > static_cast<std::int64_t>(dot) ? 1 : 0);
  return place + exponent < 0;
}

/// The whole text as the nearest double: 0 below the least subnormal, ±infinity above the largest number. "inf" and
/// "nan" are numbers too. Nothing for other text.
inline std::optional<double> parse_decimal(std::string_view text) {
  double value = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || last != text.data() + text.size()) return std::nullopt;
  if (error == std::errc()) return value;
  if (error != std::errc::result_out_of_range) return std::nullopt;
  const double magnitude = is_below_range(text) ? 0 : std::numeric_limits<double>::infinity();
  return text.starts_with('-') ? -magnitude : magnitude;
}

}  // namespace lossatlas
