#include "section_file/shard.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.hpp"
#include "file/checksum.hpp"
#include "file/input_file.hpp"

namespace lossatlas {

OpenShard open_shard(const std::filesystem::path& file, std::string_view function) {
  InputFile input(file, function);
  std::string start(static_cast<std::size_t>(std::min<std::int64_t>(input.size(), kMostHeaderBytes)), '\0');
  input.read(std::as_writable_bytes(std::span(start)));
  auto decoded = decode_run_header(start, kShardMagic, input.context());
  input.context().require(decoded.has_value(), "which ends inside its header, expected a shard; it is truncated");
  input.context().require(decoded->header.shards >= 1, "which is no shard, expected one; give what --shard wrote");
  OpenShard shard{file, std::move(decoded->header), {}};
  const Shard part{shard.header.shard, shard.header.shards};
  shard.layout = shard_layout(shard.header.grid.size(), shard.header.heads, part, shard.header.tile_points);
  shard.layout.begin = decoded->bytes;
  input.context().require(shard.layout.tiles() == 1, "of ", shard.layout.tiles(),
                          " tiles, expected one; the file is damaged");
  const std::int64_t bytes = shard.layout.end() + static_cast<std::int64_t>(sizeof(std::uint64_t));
  input.context().require(input.size() == bytes, "of ", input.size(), " bytes, expected ", bytes,
                          "; it is damaged or was not written to its end");
  return shard;
}

void read_shard(const OpenShard& shard, std::string_view function, const Control& control,
                const std::function<void(std::span<const double> losses)>& use,
                const std::function<void(std::int64_t points)>& done) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;
  InputFile input(shard.file, function);
  const TileLayout& layout = shard.layout;
  const std::int64_t values = layout.points * layout.heads;
  std::vector<double> block(static_cast<std::size_t>(std::min(kBlock, values)));
  input.seek(layout.begin);
  Checksum sum;
  for (std::int64_t read = 0; read < values; read += kBlock) {
    check_stop(control);
    const auto part = std::span(block).first(static_cast<std::size_t>(std::min(kBlock, values - read)));
    input.read(std::as_writable_bytes(part));
    sum.add(std::span<const double>(part));
    use(part);
    done((read + std::ssize(part)) / layout.heads);
  }
  std::uint64_t written = 0;
  input.read(std::as_writable_bytes(std::span(&written, 1)));
  input.context().require(
      sum.value() == written,
      "whose losses do not match their checksum, expected them as written; evaluate that shard again");
}

}  // namespace lossatlas
