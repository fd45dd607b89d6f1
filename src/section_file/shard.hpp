// The files that section shards are written to and read from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "section_file/run_header.hpp"
#include "section_file/tiles.hpp"

namespace lossatlas {

/// A shard whose header is known. It is one tile: a header, the losses, their checksum.
struct OpenShard {
  std::filesystem::path file;
  RunHeader header;
  TileLayout layout;
};

/// Throws FileError when the file is no shard or not of the size that its header says.
OpenShard open_shard(const std::filesystem::path& file, std::string_view function);

/// use(losses) for all losses in order, in blocks; after each done(points) with how many points of the shard were read.
/// Throws FileError at the end when the checksum does not match, Interrupted.
void read_shard(const OpenShard& shard, std::string_view function, const Control& control,
                const std::function<void(std::span<const double> losses)>& use,
                const std::function<void(std::int64_t points)>& done);

}  // namespace lossatlas
