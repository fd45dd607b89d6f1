#include <lossatlas/text.hpp>

#include <cstddef>

namespace lossatlas {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80; }

/// The first character of a non-empty text and its length in bytes; 0 bytes if it is not valid UTF-8.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 0;
};

Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (bytes == 0 || text.size() < bytes) return {};
  char32_t code = lead & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!continues(text[i])) return {};
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  }
  const bool shortest = bytes == 2 || (bytes == 3 ? code >= 0x800 : code >= 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return shortest && !surrogate && code <= 0x10FFFF ? Character{code, bytes} : Character{};
}

bool steers(char32_t code) {
  const auto within = [code](char32_t lo, char32_t hi) { return lo <= code && code <= hi; };
  const bool control = code < 0x20 || within(0x7F, 0x9F);
  const bool line_end = within(0x2028, 0x2029);
  const bool direction = code == 0x061C || within(0x200E, 0x200F) || within(0x202A, 0x202E) || within(0x2066, 0x2069);
  return control || line_end || direction;
}

void append_escaped(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

void append(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Character next = first_character(text);
    const std::string_view bytes = text.substr(0, next.bytes == 0 ? 1 : next.bytes);
    next.bytes == 0 || steers(next.code) ? append_escaped(out, bytes) : void(out += bytes);
    text.remove_prefix(bytes.size());
  }
}

}  // namespace

std::string one_line(std::string_view text) {
  constexpr std::size_t kLongest = 1000, kEnd = 400;  // a message ends with what was expected
  std::string out;
  if (text.size() <= kLongest) {
    append(out, text);
    return out;
  }
  std::size_t head = kLongest - kEnd, tail = text.size() - kEnd;
  while (head > 0 && continues(text[head])) --head;
  while (tail < text.size() && continues(text[tail])) ++tail;
  append(out, text.substr(0, head));
  out += "...";
  append(out, text.substr(tail));
  return out;
}

}  // namespace lossatlas
