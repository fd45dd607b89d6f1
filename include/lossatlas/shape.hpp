#pragma once

#include <cstdint>

namespace lossatlas {

/// Shape (C, H, W) of a value; a plain vector has height and width 1.
struct Shape {
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  std::int64_t size() const { return channels * height * width; }

  friend bool operator==(const Shape&, const Shape&) = default;
};

}  // namespace lossatlas
