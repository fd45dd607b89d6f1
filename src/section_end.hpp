// The ends of a section: where its parameters may be given exactly.
#pragma once

#include <algorithm>
#include <span>

namespace lossatlas {

/// Whether α is a unit vector: an end of the section.
inline bool is_end(std::span<const double> alpha) {
  return std::ranges::count(alpha, 0.0) == std::ssize(alpha) - 1 && std::ranges::count(alpha, 1.0) == 1;
}

}  // namespace lossatlas
