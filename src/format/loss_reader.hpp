// Losses of a grid that need not be in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include <lossatlas/grid.hpp>

namespace lossatlas {

/// Reads losses (count, H) of the grid's points first..first+count−1; losses.size() is count·H.
using LossReader = std::function<void(std::int64_t first, std::span<double> losses)>;

/// Reads losses (G, H) in memory, which must outlive the reader.
LossReader loss_reader(std::span<const double> losses, std::int64_t heads);
/// Reads an .npy file (n₁, …, n_z, H) as write_section() makes it; throws FileError, in the name of `function`, for any
/// other file.
LossReader loss_reader(const std::filesystem::path& file, const Grid& grid, std::int64_t heads,
                       std::string_view function);

}  // namespace lossatlas
