// Names whose Hessian an error is about.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lossatlas {

/// The function, and the point, that an error about a Hessian names.
struct HessianCaller {
  std::string_view function;
  std::int64_t point = -1;  ///< which of several; -1: the only one

  std::string parameters() const { return point < 0 ? "parameters" : "parameters of point " + std::to_string(point); }
};

}  // namespace lossatlas
