#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

namespace lossatlas {

/// How far a long call has come: `done` of `total` units of `stage`.
struct ProgressEvent {
  std::string_view stage;  ///< a few words such as "section" or "features"; a string literal
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string_view unit = {};  ///< of done and total, such as "points"; empty if a rate is meaningless
};

/// Called often, from one thread at a time; it must return quickly and must not throw.
using Progress = std::function<void(const ProgressEvent&)>;

/// How a long call reports progress and is stopped. Once a stop is requested, the call throws Interrupted at its next
/// check (at most 100 ms later; a LAPACK call in flight finishes first).
/// @snippet api/networks.cpp control
struct Control {
  Progress progress;
  std::stop_token stop;
};

}  // namespace lossatlas
