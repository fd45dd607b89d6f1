#include "file/bounded_json.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace lossatlas {

double JsonValue::number() const {
  if (const auto* whole = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*whole);
  if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
  return std::get<double>(value_);
}

std::size_t JsonValue::size() const { return entries().size() + items().size(); }

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object& members = items();
  const auto found = std::ranges::find(members, key, &JsonMember::key);
  return found == members.end() ? nullptr : &found->value;
}

const JsonValue& JsonValue::operator[](std::string_view key) const {
  static const JsonValue null;
  const JsonValue* found = find(key);
  return found != nullptr ? *found : null;
}

const JsonValue::Array& JsonValue::entries() const {
  static const Array none;
  const Array* all = std::get_if<Array>(&value_);
  return all != nullptr ? *all : none;
}

const JsonValue::Object& JsonValue::items() const {
  static const Object none;
  const Object* all = std::get_if<Object>(&value_);
  return all != nullptr ? *all : none;
}

/// Builds the tree from the parser's events.
class JsonReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonReader(std::string_view what, const FileContext& context, JsonLimits limits)
      : what_(what), context_(context), limits_(limits) {}

  JsonValue take() { return std::move(root_); }

  bool null() override { return add(JsonValue()); }
  bool boolean(bool value) override { return add(JsonValue(value)); }
  bool number_integer(std::int64_t value) override { return add(JsonValue(value)); }
  bool number_unsigned(std::uint64_t value) override { return add(JsonValue(value)); }
  bool number_float(double value, const std::string&) override { return add(JsonValue(value)); }
  bool string(std::string& value) override { return add(JsonValue(std::move(value))); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(JsonValue(JsonValue::Object())); }
  bool start_array(std::size_t) override { return open(JsonValue(JsonValue::Array())); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& text) override {
    count();
    context_.require(keys_.back().insert(text).second, "whose ", what_, " has the key ", printable(text),
                     " twice, expected it once");
    std::get<JsonValue::Object>(open_.back()->value_).push_back({std::move(text), JsonValue()});
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&, const nlohmann::json::exception& error) override {
    if (dynamic_cast<const nlohmann::json::out_of_range*>(&error) != nullptr) {
      context_.fail("whose ", what_, " holds a number out of range, expected a JSON object");
    }
    context_.fail("whose ", what_, " is not valid JSON at byte ", byte, ", expected a JSON object");
  }

 private:
  void count() {
    context_.require(++values_ <= limits_.values, "whose ", what_, " is too large, expected at most ", limits_.values,
                     " values");
  }

  /// Puts the value at the parser's current place in the tree.
  JsonValue& place(JsonValue value) {
    count();
    if (open_.empty()) return root_ = std::move(value);
    if (auto* array = std::get_if<JsonValue::Array>(&open_.back()->value_))
      return array->emplace_back(std::move(value));
    return std::get<JsonValue::Object>(open_.back()->value_).back().value = std::move(value);
  }

  bool add(JsonValue value) {
    place(std::move(value));
    return true;
  }

  bool open(JsonValue value) {
    context_.require(std::ssize(open_) < limits_.depth, "whose ", what_, " is nested too deeply, expected at most ",
                     limits_.depth, " levels");
    open_.push_back(&place(std::move(value)));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  std::string_view what_;
  const FileContext& context_;
  JsonLimits limits_;
  std::int64_t values_ = 0;
  JsonValue root_;
  std::vector<JsonValue*> open_;  ///< only the innermost grows, so pointers to the others stay valid
  std::vector<std::set<std::string>> keys_;
};

JsonValue parse_bounded_json(std::string_view text, std::string_view what, const FileContext& context,
                             JsonLimits limits) {
  JsonReader reader(what, context, limits);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  JsonValue json = reader.take();
  context.require(json.is_object(), "whose ", what, " is not a JSON object, expected one");
  return json;
}

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string json_text(double number) { return nlohmann::json(number).dump(); }

std::string json_list(const std::vector<std::string>& texts, std::string_view brackets) {
  std::string list(1, brackets.front());
  for (const std::string& text : texts) list += (list.size() > 1 ? "," : "") + text;
  return list + brackets.back();
}

}  // namespace lossatlas
