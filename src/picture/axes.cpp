#include "picture/axes.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace lossatlas {
namespace {

/// Digits from std::to_chars, with − for -, and ×10ⁿ for an exponent.
std::string typeset(std::string_view digits) {
  constexpr std::array<const char*, 10> kSuper{"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string result;
  const std::size_t mantissa = std::min(digits.find('e'), digits.size());
  for (const char c : digits.substr(0, mantissa)) result += c == '-' ? std::string("−") : std::string(1, c);
  if (mantissa == digits.size()) return result;
  result += "×10";
  bool leading = true;
  for (const char c : digits.substr(mantissa + 1)) {
    if (c == '-') result += "⁻";
    if (c < '0' || c > '9' || (c == '0' && leading)) continue;
    leading = false;
    result += kSuper[static_cast<std::size_t>(c - '0')];
  }
  return leading ? result + kSuper[0] : result;
}

// Uses std::to_chars because a program may have set a locale with a decimal comma.
std::string format(double value, std::chars_format form, int precision) {
  std::array<char, 400> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, form, precision).ptr;
  return typeset({buffer.data(), static_cast<std::size_t>(end - buffer.data())});
}

int decade(double value) { return static_cast<int>(std::floor(std::log10(value) + 1e-9)); }

/// The multiples of `step` in [lo, hi], with a tolerance of step/10⁹ at the ends.
std::vector<double> multiples(double lo, double hi, double step, std::int64_t most) {
  const double first = std::ceil(lo / step - 1e-9), last = std::floor(hi / step + 1e-9);
  std::vector<double> result;
  if (!(last - first < static_cast<double>(most))) return result;
  // Division by 1/step keeps 0.3 = 3/10 exact where 3 · 0.1 is not.
  for (double k = first; k <= last; ++k) result.push_back(step < 1 ? k / std::round(1 / step) : k * step);
  return result;
}

std::vector<std::string> labels(std::span<const double> values, double step) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  std::vector<std::string> result;
  for (const double value : values) {
    if (value == 0) {
      result.emplace_back("0");
    } else if (largest >= 1e-3 && largest < 1e5) {
      result.push_back(format(value, std::chars_format::fixed, std::max(0, -decade(step))));
    } else {
      result.push_back(
          format(value, std::chars_format::scientific, std::max(0, decade(std::abs(value)) - decade(step))));
    }
  }
  return result;
}

/// Number of bytes in the first character of UTF-8 text.
std::size_t character_bytes(std::string_view text) {
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) ++bytes;
  return bytes;
}

struct Prefix {
  std::size_t bytes = 0;
  double width = 0;
};

/// The longest prefix of the text that is no wider than `width`.
Prefix fitting_prefix(std::string_view text, double width, double height) {
  Prefix prefix;
  while (prefix.bytes < text.size()) {
    const std::size_t bytes = character_bytes(text.substr(prefix.bytes));
    const double more = text_width(text.substr(prefix.bytes, bytes), height);
    if (prefix.width + more > width) break;
    prefix = {prefix.bytes + bytes, prefix.width + more};
  }
  return prefix;
}

std::int64_t rounded(double value) { return static_cast<std::int64_t>(std::llround(value)); }

}  // namespace

double Ticks::widest(double height) const {
  double result = 0;
  for (const std::string& label : labels) result = std::max(result, text_width(label, height));
  return result;
}

Ticks round_ticks(double lo, double hi, std::int64_t most) {
  if (lo > hi) std::swap(lo, hi);
  const double span = hi - lo, magnitude = std::max(std::abs(lo), std::abs(hi));
  if (most < 2 || span == 0) return {{lo}, {number_label(lo, 6)}};
  // If the ends are closer than that, or more than the largest double apart, multiples of a step coincide or overflow.
  if (span > 1e-12 * magnitude && span >= 1e-290 && std::isfinite(span)) {
    for (int power = decade(span / static_cast<double>(most)); power <= decade(span); ++power) {
      for (const double factor : {1, 2, 5}) {
        const double step = power < 0 ? factor / std::pow(10, -power) : factor * std::pow(10, power);
        std::vector<double> values = multiples(lo, hi, step, most);
        if (values.size() >= 2) return {values, labels(values, step)};
      }
    }
  }
  return {{lo, hi}, {number_label(lo, 17), number_label(hi, 17)}};
}

Ticks fitting_ticks(double lo, double hi, double pixels, double label_height, bool stacked) {
  for (std::int64_t most = 8; most > 1; --most) {
    Ticks ticks = round_ticks(lo, hi, most);
    double space = pixels;
    for (std::size_t k = 1; k < ticks.values.size(); ++k) {
      const double apart = position(ticks.values[k], lo, hi) - position(ticks.values[k - 1], lo, hi);
      space = std::min(space, std::abs(apart) * pixels);
    }
    const double needed = stacked ? 3 * label_height : ticks.widest(label_height) + 1.6 * label_height;
    if (space >= needed) return ticks;
  }
  return round_ticks(lo, hi, 1);
}

std::string number_label(double value, int digits) {
  return value == 0 ? "0" : format(value, std::chars_format::general, digits);
}

double position(double value, double lo, double hi) {
  if (lo == hi) return 0.5;
  // Halves the terms only if the difference overflows, because half of the smallest double is 0.
  return std::isfinite(hi - lo) ? (value - lo) / (hi - lo) : (value / 2 - lo / 2) / (hi / 2 - lo / 2);
}

std::vector<std::string> wrap(std::string_view text, double width, double height) {
  if (const std::size_t end = text.find('\n'); end != std::string_view::npos) {
    std::vector<std::string> lines = wrap(text.substr(0, end), width, height);
    for (std::string& line : wrap(text.substr(end + 1), width, height)) lines.push_back(std::move(line));
    return lines;
  }
  std::vector<std::string> lines;
  std::string line;
  double used = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' ', 1));
    const Prefix prefix = fitting_prefix(word, width - used, height);
    if (line.empty() || prefix.bytes == word.size()) {
      // A word too long for a whole line is cut, but never to nothing.
      const std::size_t taken = std::max(prefix.bytes, character_bytes(word));
      line += word.substr(0, taken);
      used += prefix.width;
      text.remove_prefix(taken);
    } else {
      lines.push_back(std::exchange(line, {}));
      used = 0;
      text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    }
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

Style::Style(std::int64_t side) : unit(std::max(1.0, static_cast<double>(side) / 900)) {
  line = rounded(unit);
  tick = rounded(4 * unit);
  gap = rounded(6 * unit);
  margin = rounded(16 * unit);
  label.height = 9 * unit;
  name.height = 10.5 * unit;
  title.height = 12 * unit;
  title.pen = 0.135;
}

std::int64_t Style::title_height(std::size_t lines) const {
  return lines == 0 ? 0 : rounded(static_cast<double>(lines) * 1.8 * title.height) + gap;
}

std::int64_t Style::caption_height(std::size_t lines) const {
  return lines == 0 ? 0 : rounded(static_cast<double>(lines) * 1.9 * label.height) + gap;
}

void draw_title(Canvas& canvas, std::span<const std::string> lines, double middle, const Style& style) {
  TextStyle text = style.title;
  text.align = Align::centre;
  double y = static_cast<double>(style.margin) + text.height;
  for (const std::string& line : lines) {
    const double half = text_width(line, text.height) / 2, width = static_cast<double>(canvas.area().width);
    canvas.text({middle + half > width || middle < half ? width / 2 : middle, std::round(y)}, line, text);
    y += 1.8 * text.height;
  }
}

void draw_caption(Canvas& canvas, std::span<const std::string> lines, std::int64_t top, const Style& style) {
  double y = static_cast<double>(top + style.gap) + style.label.height;
  for (const std::string& line : lines) {
    canvas.text({static_cast<double>(style.margin), std::round(y)}, line, style.label);
    y += 1.9 * style.label.height;
  }
}

void draw_tick_below(Canvas& canvas, const Rectangle& area, double x, std::string_view label, const Style& style) {
  TextStyle text = style.label;
  text.align = Align::centre;
  const std::int64_t bottom = area.bottom() + style.line + style.tick;
  canvas.fill({rounded(x - static_cast<double>(style.line) / 2), area.bottom(), style.line, bottom - area.bottom()},
              kInk);
  canvas.text({x, std::round(static_cast<double>(bottom + style.gap) + text.height)}, label, text);
}

void draw_tick_left(Canvas& canvas, const Rectangle& area, double y, std::string_view label, const Style& style) {
  TextStyle text = style.label;
  text.align = Align::right;
  const std::int64_t left = area.left - style.line - style.tick;
  canvas.fill({left, rounded(y - static_cast<double>(style.line) / 2), area.left - left, style.line}, kInk);
  canvas.text({static_cast<double>(left - style.line - 1), std::round(y + text.height / 2)}, label, text);
}

void draw_tick_right(Canvas& canvas, const Rectangle& area, double y, std::string_view label, const Style& style) {
  const std::int64_t left = area.right(), right = left + style.line + style.tick;
  canvas.fill({left, rounded(y - static_cast<double>(style.line) / 2), right - left, style.line}, kInk);
  canvas.text({static_cast<double>(right + style.line + 1), std::round(y + style.label.height / 2)}, label,
              style.label);
}

}  // namespace lossatlas
