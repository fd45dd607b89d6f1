// Losses of a grid that need not be in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include <lossatlas/grid.hpp>

namespace lossatlas {

/// losses (count, H) of the grid's points first..first+count−1; losses.size() is count·H.
using LossReader = std::function<void(std::int64_t first, std::span<double> losses)>;

/// Of losses (G, H) in memory, which outlive it.
LossReader loss_reader(std::span<const double> losses, std::int64_t heads);
/// Of an .npy file (n₁, …, n_z, H) as write_section() makes it; throws FileError, in the name of `function`, for any
/// other file.
LossReader loss_reader(const std::filesystem::path& file, const Grid& grid, std::int64_t heads,
                       std::string_view function);

}  // namespace lossatlas
