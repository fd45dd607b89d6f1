// Reads JSON from files that may be hostile: bounded depth and size, no duplicate keys. Writes JSON text too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "file/file_context.hpp"

namespace lossatlas {

struct JsonMember;

/// A JSON value. Unlike the parser's own tree it allocates nothing when it is destroyed, where running out of memory
/// would end the process.
class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;  ///< in the order of the text

  JsonValue() = default;
  template <class T>
  explicit JsonValue(T value) : value_(std::move(value)) {}

  bool is_object() const { return holds<Object>(); }
  bool is_array() const { return holds<Array>(); }
  bool is_string() const { return holds<std::string>(); }
  bool is_boolean() const { return holds<bool>(); }
  bool is_number() const { return holds<double>() || holds<std::int64_t>() || is_number_unsigned(); }
  /// A whole number ≥ 0 that fits 64 bits.
  bool is_number_unsigned() const { return holds<std::uint64_t>(); }

  /// The value, as the type that is_...() has reported: bool, std::string or std::uint64_t.
  template <class T>
  const T& get() const {
    return std::get<T>(value_);
  }
  /// Any number, as a double.
  double number() const;

  /// Number of entries or members; 0 for other kinds.
  std::size_t size() const;
  /// The member of an object; null if there is none or this is no object.
  const JsonValue* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  /// find(), or a null value if there is none.
  const JsonValue& operator[](std::string_view key) const;

  /// The entries of an array; none for other kinds.
  const Array& entries() const;
  /// The members of an object; none for other kinds.
  const Object& items() const;

 private:
  friend class JsonReader;

  template <class T>
  bool holds() const {
    return std::holds_alternative<T>(value_);
  }

  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

struct JsonLimits {
  int depth = 4;                 ///< nesting of arrays and objects
  std::int64_t values = 100000;  ///< of any kind, counting keys
};

/// Throws FileError unless `text` is one JSON object within the limits; `what` names it in the message.
JsonValue parse_bounded_json(std::string_view text, std::string_view what, const FileContext& context,
                             JsonLimits limits = {});

/// The text quoted, in ASCII.
std::string json_text(std::string_view text);
/// The shortest decimal that reads back as the same number; null if it is not finite.
std::string json_text(double number);
/// Joins the texts of values as "[a,b]" or, with `brackets` "{}", those of members as "{a,b}".
std::string json_list(const std::vector<std::string>& texts, std::string_view brackets = "[]");

}  // namespace lossatlas
