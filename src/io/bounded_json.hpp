// JSON from a file that may be hostile: bounded depth and size, no key twice.
#pragma once

#include <string_view>

#include <nlohmann/json.hpp>

#include "io/file_context.hpp"

namespace lossatlas {

struct JsonLimits {
  int depth = 4;                 ///< arrays and objects inside one another
  std::int64_t values = 100000;  ///< of any kind, keys included
};

/// Throws FileError when `text` is not one JSON object within the limits; `what` names it in the message.
nlohmann::json parse_bounded_json(std::string_view text, std::string_view what, const FileContext& context,
                                  JsonLimits limits = {});

}  // namespace lossatlas
