#include "format/npy_header.hpp"

#include <charconv>
#include <set>
#include <string>

namespace lossatlas {
namespace {

constexpr std::size_t kMaxRank = 64;

class Parser {
 public:
  Parser(std::string_view text, const FileContext& context) : text_(text), context_(context) {}

  NpyHeader parse() {
    NpyHeader header;
    std::set<std::string_view> keys;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      if (!keys.insert(key).second) malformed("a key that occurs once");
      expect(':');
      value(key, header);
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (position_ != text_.size()) malformed("the end of the dict");
    if (keys.size() != 3) malformed("the keys descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void malformed(std::string_view expected) const {
    context_.fail("whose .npy header is malformed at byte ", position_, " of ", printable(text_), ", expected ",
                  expected);
  }

  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
  }

  bool accept(char c) {
    skip_space();
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) malformed(std::string("'") + c + '\'');
  }

  bool accept_word(std::string_view word) {
    skip_space();
    if (text_.substr(position_, word.size()) != word) return false;
    position_ += word.size();
    return true;
  }

  std::string_view string() {
    skip_space();
    const char quote = position_ < text_.size() ? text_[position_] : '\0';
    if (quote != '\'' && quote != '"') malformed("a string");
    const std::size_t end = text_.find(quote, position_ + 1);
    if (end == std::string_view::npos) malformed("a closed string");
    const std::string_view content = text_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    return content;
  }

  void value(std::string_view key, NpyHeader& header) {
    if (key == "descr") {
      descr(header);
    } else if (key == "fortran_order") {
      header.fortran = accept_word("True");
      if (!header.fortran && !accept_word("False")) malformed("True or False");
    } else if (key == "shape") {
      shape(header.shape);
    } else {
      malformed("only the keys descr, fortran_order and shape");
    }
  }

  void descr(NpyHeader& header) {
    skip_space();
    if (text_.substr(position_, 1) == "[") unsupported("a structured type");
    const std::string_view type = string();
    if (type.size() != 3 || std::string_view("<>|").find(type[0]) == std::string_view::npos)
      unsupported(printable(type));
    header.order = type[0] == '>' ? std::endian::big : std::endian::little;
    header.kind = type[1];
    header.bytes = type[2] - '0';
    const std::string_view known = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1";
    const bool order_known = type[0] != '|' || header.bytes == 1;
    if (known.find(type.substr(1)) == std::string_view::npos || !order_known) unsupported(printable(type));
  }

  [[noreturn]] void unsupported(std::string_view type) const {
    context_.fail("of element type ", type,
                  ", expected f2, f4, f8, i1..i8, u1..u8 or b1; convert it with astype('float64')");
  }

  void shape(std::vector<std::int64_t>& sizes) {
    expect('(');
    while (!accept(')')) {
      sizes.push_back(integer());
      if (sizes.size() > kMaxRank) malformed("at most 64 axes");
      if (accept(',')) continue;
      // (3) is a parenthesised number in Python; the tuple of one is (3,).
      if (sizes.size() == 1) malformed("','");
      expect(')');
      break;
    }
  }

  std::int64_t integer() {
    skip_space();
    std::int64_t size = 0;
    const char* begin = text_.data() + position_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), size);
    if (error != std::errc() || size < 0) malformed("a size of at most 2^63 - 1");
    position_ += static_cast<std::size_t>(end - begin);
    accept_word("L");  // Python 2 wrote long integers like this
    return size;
  }

  std::string_view text_;
  const FileContext& context_;
  std::size_t position_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const FileContext& context) { return Parser(text, context).parse(); }

std::string npy_header_text(std::span<const std::int64_t> shape) {
  std::string dict = "{'descr': '<f8', 'fortran_order': False, 'shape': (";
  for (const std::int64_t size : shape) dict += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) dict.resize(dict.size() - 2);
  dict += "), }";
  // The values start at a multiple of 64, so that the file can be mapped.
  constexpr std::size_t kPrefix = 10;
  constexpr std::size_t kAlign = 64;
  dict.append((kAlign - (kPrefix + dict.size() + 1) % kAlign) % kAlign, ' ');
  dict += '\n';
  std::string text(kNpyMagic);
  text.append({'\1', '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)});
  return text + dict;
}

}  // namespace lossatlas
