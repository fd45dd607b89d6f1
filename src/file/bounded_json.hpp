// JSON from a file that may be hostile: bounded depth and size, no key twice. And JSON texts of our own.
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

/// A value of a JSON text. Unlike the parser's own tree it asks for no memory when it is destroyed, where a lack of it
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
  /// A whole number from 0 that fits 64 bits.
  bool is_number_unsigned() const { return holds<std::uint64_t>(); }

  /// What is_...() has said it is: bool, std::string or std::uint64_t.
  template <class T>
  const T& get() const {
    return std::get<T>(value_);
  }
  /// Of any number.
  double number() const;

  /// Entries or members; 0 for others.
  std::size_t size() const;
  /// The member of an object; null when there is none, or no object.
  const JsonValue* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  /// find(), or a null value.
  const JsonValue& operator[](std::string_view key) const;

  /// Of an array, the entries; of others none.
  const Array& entries() const;
  /// Of an object, the members; of others none.
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
  int depth = 4;                 ///< arrays and objects inside one another
  std::int64_t values = 100000;  ///< of any kind, keys included
};

/// Throws FileError when `text` is not one JSON object within the limits; `what` names it in the message.
JsonValue parse_bounded_json(std::string_view text, std::string_view what, const FileContext& context,
                             JsonLimits limits = {});

/// The text in quotes, in ASCII.
std::string json_text(std::string_view text);
/// Shortest decimals that give the number back; null when it is not finite.
std::string json_text(double number);
/// "[a,b]" of texts of values, with `brackets` "[]", or "{a,b}" of members with "{}".
std::string json_list(const std::vector<std::string>& texts, std::string_view brackets = "[]");

}  // namespace lossatlas
