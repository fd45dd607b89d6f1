#include "numbers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>

#include <lossatlas/error.hpp>

#include "../base/decimal.hpp"

namespace lossatlas::cli {
namespace {

/// The whole text as decimal digits; nullopt if it is no number or does not fit.
template <class T>
std::optional<T> whole_number(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The whole text as a finite decimal number; nullopt if it is none.
std::optional<double> real_number(const std::string& text) {
  const std::optional<double> value = parse_decimal(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string short_text(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return std::string(text, end);
}

std::string expectation(const RealRange& range) {
  const bool from = range.least > RealRange{}.least, to = range.most < RealRange{}.most;
  const std::string least = short_text(range.least), most = short_text(range.most);
  std::string text = "a finite number";
  if (range.open) {
    if (from) text += " above " + least;
    if (to) text += std::string(from ? " and" : "") + " below " + most;
  } else {
    if (from) text += " from " + least;
    if (to) text += (from ? " to " : " up to ") + most;
  }
  return text;
}

bool within(double value, const RealRange& range) {
  return range.open ? range.least < value && value < range.most : range.least <= value && value <= range.most;
}

[[noreturn]] void refuse_option(const std::string& option, const std::string& received, const std::string& expected) {
  throw CLI::ValidationError(option, "received \"" + received + "\", expected " + expected);
}

[[noreturn]] void refuse(std::string_view option, const std::string& received, const std::string& expected) {
  throw InvalidArgument(std::string(option) + ": received \"" + received + "\", expected " + expected);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<std::int64_t> positive_list(std::string_view option, const std::string& text, char separator,
                                        const std::string& expected) {
  std::vector<std::int64_t> values;
  for (const std::string& part : split(text, separator)) {
    const auto value = whole_number<std::int64_t>(part);
    if (!value || *value < 1) refuse(option, text, expected);
    values.push_back(*value);
  }
  return values;
}

template <class T>
void broadcast(std::vector<T>& values, std::string_view option, const std::string& text, std::int64_t rank) {
  if (values.size() == 1) values.resize(static_cast<std::size_t>(rank), values.front());
  if (static_cast<std::int64_t>(values.size()) != rank) {
    refuse(option, text, "one entry, or one for each of the " + std::to_string(rank) + " axes");
  }
}

}  // namespace

template <class T>
CLI::Option* add_whole(CLI::App& command, const std::string& option, T& value, T least, T most,
                       const std::string& description) {
  const auto set = [&value, option, least, most](const std::string& text) {
    const auto number = whole_number<T>(text);
    if (!number || *number < least || *number > most) {
      refuse_option(option, text, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    value = *number;
  };
  return command.add_option_function<std::string>(option, set, description)->default_str(std::to_string(value));
}

template CLI::Option* add_whole(CLI::App&, const std::string&, int&, int, int, const std::string&);
template CLI::Option* add_whole(CLI::App&, const std::string&, std::int64_t&, std::int64_t, std::int64_t,
                                const std::string&);

template <class T>
CLI::Option* add_real(CLI::App& command, const std::string& option, T& value, RealRange range,
                      const std::string& description) {
  const auto set = [&value, option, range](const std::string& text) {
    const auto number = real_number(text);
    if (!number || !within(*number, range)) refuse_option(option, text, expectation(range));
    value = *number;
  };
  auto* added = command.add_option_function<std::string>(option, set, description);
  if constexpr (std::is_same_v<T, double>) added->default_str(short_text(value));
  return added;
}

template CLI::Option* add_real(CLI::App&, const std::string&, double&, RealRange, const std::string&);
template CLI::Option* add_real(CLI::App&, const std::string&, std::optional<double>&, RealRange, const std::string&);

void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& description) {
  add_whole(command, "--seed", seed, std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max(), description)
      ->type_name("S");
}

std::vector<double> parse_numbers(std::string_view option, const std::string& text, char separator) {
  std::vector<double> values;
  for (const std::string& part : split(text, separator)) {
    const auto value = real_number(part);
    if (!value) refuse(option, text, std::string("finite numbers with ") + separator + " between");
    values.push_back(*value);
  }
  return values;
}

std::vector<std::int64_t> parse_widths(std::string_view option, const std::string& text) {
  constexpr std::int64_t kWidest = std::numeric_limits<std::int32_t>::max();
  auto widths = positive_list(option, text, ',', "positive whole numbers with commas between, such as 64,2048");
  if (*std::max_element(widths.begin(), widths.end()) > kWidest) refuse(option, text, "widths below 2^31");
  return widths;
}

std::vector<std::int64_t> parse_grid(const std::string& text, std::int64_t rank) {
  auto shape = positive_list("--grid", text, 'x', "positive whole numbers with x between, such as 51x41");
  broadcast(shape, "--grid", text, rank);
  return shape;
}

std::vector<Range> parse_ranges(const std::string& text, std::int64_t rank) {
  std::vector<Range> ranges;
  for (const std::string& part : split(text, ',')) {
    const auto ends = split(part, ':');
    const auto lo = real_number(ends.front());
    const auto hi = real_number(ends.back());
    if (ends.size() != 2 || !lo || !hi || !std::isfinite(*hi - *lo)) {
      refuse("--range", text,
             "finite lo:hi for each axis with commas between, such as -1:1,0:2, and hi - lo within a double's range");
    }
    ranges.push_back({*lo, *hi});
  }
  broadcast(ranges, "--range", text, rank);
  return ranges;
}

std::vector<std::int64_t> parse_share(std::string_view option, const std::string& text) {
  auto parts = positive_list(option, text, '/', "I/N with 1 <= I <= N, such as 3/8");
  if (parts.size() != 2 || parts[0] > parts[1]) refuse(option, text, "I/N with 1 <= I <= N, such as 3/8");
  return parts;
}

}  // namespace lossatlas::cli
