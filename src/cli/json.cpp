#include "json.hpp"

#include <nlohmann/json.hpp>

namespace lossatlas::cli {

Json::Json(double value) : text_(nlohmann::json(value).dump()) {}

Json::Json(std::string_view text)
    : text_(nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)) {}

Json::Json(std::initializer_list<Member> members) : text_("{}") {
  for (const Member& member : members) add(member.key, member.value);
}

Json Json::array() {
  Json list;
  list.text_ = "[]";
  return list;
}

void Json::append(std::string_view items) {
  const char end = text_.back();
  text_.pop_back();
  if (text_.size() > 1) text_ += ',';
  text_ += items;
  text_ += end;
}

void Json::push_back(const Json& value) { append(value.text_); }

void Json::add(std::string_view key, const Json& value) { append(Json(key).text_ + ':' + value.text_); }

void Json::add(const Json& object) {
  if (object.text_.size() > 2) append(std::string_view(object.text_).substr(1, object.text_.size() - 2));
}

std::string Json::pretty() const {
  std::string out;
  std::size_t depth = 0;
  bool quoted = false;
  const auto line = [&] { out.append("\n").append(2 * depth, ' '); };
  for (std::size_t i = 0; i < text_.size(); ++i) {
    const char c = text_[i];
    if (quoted) {
      out += c;
      if (c == '\\') out += text_[++i];
      quoted = c != '"';
      continue;
    }
    const bool opens = c == '[' || c == '{', closes = c == ']' || c == '}';
    const bool empty = closes && (text_[i - 1] == '[' || text_[i - 1] == '{');
    if (closes && !empty) --depth, line();
    out += c;
    if (opens && text_[i + 1] != ']' && text_[i + 1] != '}') ++depth, line();
    if (c == ',') line();
    if (c == ':') out += ' ';
    quoted = c == '"';
  }
  return out + '\n';
}

}  // namespace lossatlas::cli
