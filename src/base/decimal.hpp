// Decimal numbers in files and options.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace lossatlas {

/// For a decimal number beyond double's range: whether its magnitude is too small rather than too large.
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
  // Decimal place of the first digit that is not 0: 1, 2, ... leftwards before the point; 0, −1, ... after it.
  const std::size_t dot = std::min(mantissa.find('.'), mantissa.size());
  const auto first = static_cast<std::int64_t>(mantissa.find_first_of("123456789"));
  const std::int64_t place = static_cast<std::int64_t>(dot) - first + (first > static_cast<std::int64_t>(dot) ? 1 : 0);
  return place + exponent < 0;
}

/// Parses the whole text as the nearest double: 0 below the least subnormal, ±infinity above the largest number.
/// Accepts "inf" and "nan" too; nullopt for other text.
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
