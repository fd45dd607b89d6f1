// Inertias in the program's JSON.
#pragma once

#include <cstdint>

#include <lossatlas/spectrum_values.hpp>
#include <nlohmann/json.hpp>

namespace lossatlas::testing {

inline Inertia inertia(const nlohmann::json& json) {
  return {json.at("positive").get<std::int64_t>(), json.at("zero").get<std::int64_t>(),
          json.at("negative").get<std::int64_t>()};
}

}  // namespace lossatlas::testing
