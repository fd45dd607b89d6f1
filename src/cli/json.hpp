// JSON as the program writes it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lossatlas::cli {

/// A finished JSON value, held as its text: what cannot be written fails where it is made, before any output, and the
/// destructor allocates nothing. Members stay in the order in which they were set; a NaN or an infinity becomes null;
/// text is ASCII, with U+FFFD for bytes that are not UTF-8.
class Json {
 public:
  struct Member;

  Json() : text_("null") {}
  Json(bool value) : text_(value ? "true" : "false") {}
  template <std::integral T>
  Json(T value) : text_(std::to_string(value)) {}
  Json(double value);
  Json(std::string_view text);
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(const std::string& text) : Json(std::string_view(text)) {}
  template <class T>
  Json(const std::vector<T>& values) : Json(array()) {
    for (const auto& value : values) push_back(value);
  }
  /// An object with these members.
  Json(std::initializer_list<Member> members);

  static Json array();

  /// Adds an entry to an array.
  void push_back(const Json& value);
  /// Adds a member to an object that has none of that key.
  void add(std::string_view key, const Json& value);
  /// Adds the members of another object.
  void add(const Json& object);

  /// Over several lines, with two spaces per level and a final line end.
  std::string pretty() const;

 private:
  void append(std::string_view items);

  std::string text_;
};

struct Json::Member {
  std::string_view key;
  Json value;
};

}  // namespace lossatlas::cli
