#include "io/bounded_json.hpp"

#include <set>
#include <string>
#include <vector>

namespace lossatlas {

nlohmann::json parse_bounded_json(std::string_view text, std::string_view what, const FileContext& context,
                                  JsonLimits limits) {
  using Json = nlohmann::json;
  std::int64_t values = 0;
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    context.require(depth < limits.depth || event == Json::parse_event_t::value, "whose ", what,
                    " is nested too deeply, expected at most ", limits.depth, " levels");
    context.require(++values <= limits.values, "whose ", what, " is too large, expected at most ", limits.values,
                    " values");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      context.require(keys.back().insert(key).second, "whose ", what, " has the key ", printable(key),
                      " twice, expected it once");
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), check);
  } catch (const Json::parse_error& error) {
    context.fail("whose ", what, " is not valid JSON at byte ", error.byte, ", expected a JSON object");
  } catch (const Json::exception&) {
    context.fail("whose ", what, " holds a number out of range, expected a JSON object");
  }
  context.require(json.is_object(), "whose ", what, " is not a JSON object, expected one");
  return json;
}

}  // namespace lossatlas
