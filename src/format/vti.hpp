// VTK image data from losses that need not be in memory.
#pragma once

#include <cstdint>
#include <filesystem>

#include <lossatlas/vti.hpp>

#include "format/loss_reader.hpp"

namespace lossatlas {

inline constexpr std::int64_t kVtiBlock = std::int64_t{1} << 24;

/// write_vti() of a grid of 1 to 3 axes, holding at most `block` losses and as many sums at a time.
void write_vti(const std::filesystem::path& file, const Grid& grid, std::int64_t heads, const LossReader& read,
               std::int64_t block = kVtiBlock);

}  // namespace lossatlas
