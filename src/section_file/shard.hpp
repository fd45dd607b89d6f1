// The files that shards of a section are written to and read from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "section_file/run_header.hpp"
#include "section_file/tiles.hpp"

namespace lossatlas {

/// A shard whose header has been read. It is one tile: a header, the losses, their checksum.
struct OpenShard {
  std::filesystem::path file;
  RunHeader header;
  TileLayout layout;
};

/// Throws FileError if the file is no shard or not of the size that its header says.
OpenShard open_shard(const std::filesystem::path& file, std::string_view function);

/// Calls use(losses) for all losses in order, in blocks, and after each block done(points) with the number of points
/// read so far. Throws FileError at the end if the checksum does not match; throws Interrupted.
void read_shard(const OpenShard& shard, std::string_view function, const Control& control,
                const std::function<void(std::span<const double> losses)>& use,
                const std::function<void(std::int64_t points)>& done);

}  // namespace lossatlas
