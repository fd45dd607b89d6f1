// Numbers in option values: decimal, within a stated range, with errors that name the option.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas::cli {

inline constexpr std::int64_t kMostWhole = std::numeric_limits<std::int64_t>::max();

/// An option of one whole number from `least` to `most`; T is int, std::int64_t or std::uint64_t.
template <class T>
CLI::Option* add_whole(CLI::App& command, const std::string& option, T& value, T least, T most,
                       const std::string& description);

/// The finite numbers from `least` to `most`; `open` excludes both ends.
struct RealRange {
  double least = -std::numeric_limits<double>::max();
  double most = std::numeric_limits<double>::max();
  bool open = false;  ///< excludes both ends
};

/// An option of one real number; T is double or std::optional<double>.
template <class T>
CLI::Option* add_real(CLI::App& command, const std::string& option, T& value, RealRange range,
                      const std::string& description);

/// --seed: a whole number of 64 bits; wider ones are refused, not cut short.
void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& description);

/// "0.3,0.3,0.4": finite numbers.
std::vector<double> parse_numbers(std::string_view option, const std::string& text, char separator);
/// "64,2048": positive whole numbers below 2³¹.
std::vector<std::int64_t> parse_widths(std::string_view option, const std::string& text);
/// "128x128": points per axis; one number stands for all `rank` axes.
std::vector<std::int64_t> parse_grid(const std::string& text, std::int64_t rank);
/// "-1:1,0:2": lo:hi per axis; one range stands for all `rank` axes.
std::vector<Range> parse_ranges(const std::string& text, std::int64_t rank);
/// "3/8" as {3, 8}.
std::vector<std::int64_t> parse_share(std::string_view option, const std::string& text);

}  // namespace lossatlas::cli
