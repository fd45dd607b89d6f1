#include "section_file_shard.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "io/checksum.hpp"
#include "io/input_file.hpp"
#include "parallel.hpp"

namespace lossatlas {

OpenShard open_shard(const std::filesystem::path& file, std::string_view function) {
  InputFile input(file, function);
  std::string start(static_cast<std::size_t>(std::min<std::int64_t>(input.size(), kMostHeaderBytes)), '\0');
  input.read(std::as_writable_bytes(std::span(start)));
  auto decoded = decode_run_header(start, kShardMagic, input.context());
  input.context().require(decoded.has_value(), "which ends inside its header, expected a shard; it is truncated");
  input.context().require(decoded->header.shards >= 1, "which is no shard, expected one; give what --shard wrote");
  OpenShard shard{file, std::move(decoded->header), {}};
  shard.layout = shard_layout(shard.header.grid.size(), shard.header.heads, {shard.header.shard, shard.header.shards},
                              shard.header.tile_points);
  shard.layout.begin = decoded->bytes;
  input.context().require(shard.layout.tiles() <= kMostTiles, "of ", shard.layout.tiles(), " tiles, expected at most ",
                          kMostTiles, "; the file is damaged");
  const std::int64_t bytes = shard.layout.end() + 8 * (shard.layout.tiles() + 1);
  input.context().require(input.size() == bytes, "of ", input.size(), " bytes, expected ", bytes,
                          "; it is damaged or was not written to its end");
  return shard;
}

namespace {

std::vector<std::uint64_t> read_checksums(InputFile& input, const TileLayout& layout) {
  std::vector<std::uint64_t> words(static_cast<std::size_t>(layout.tiles() + 1));
  input.seek(layout.end());
  input.read(std::as_writable_bytes(std::span(words)));
  const std::uint64_t own = words.back();
  words.pop_back();
  input.context().require(Checksum().add(std::as_bytes(std::span(words))).value() == own,
                          "whose list of checksums is damaged, expected it as written; evaluate that shard again");
  return words;
}

}  // namespace

void read_shard(const OpenShard& shard, std::string_view function, const Control& control,
                const std::function<void(std::span<const double> losses)>& use,
                const std::function<void(std::int64_t points)>& done) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;
  InputFile input(shard.file, function);
  const TileLayout& layout = shard.layout;
  const std::vector<std::uint64_t> checksums = read_checksums(input, layout);
  std::vector<double> block(static_cast<std::size_t>(std::min(kBlock, layout.points * layout.heads)));
  input.seek(layout.begin);
  for (std::int64_t tile = 0; tile < layout.tiles(); ++tile) {
    Checksum sum;
    const std::int64_t values = layout.tile_size(tile) * layout.heads;
    for (std::int64_t read = 0; read < values; read += kBlock) {
      check_stop(control);
      const auto part = std::span(block).first(static_cast<std::size_t>(std::min(kBlock, values - read)));
      input.read(std::as_writable_bytes(part));
      sum.add(std::span<const double>(part));
      use(part);
    }
    input.context().require(sum.value() == checksums[static_cast<std::size_t>(tile)], "whose tile ", tile,
                            " does not match its checksum, expected it as written; evaluate that shard again");
    done(tile * layout.tile_points + layout.tile_size(tile));
  }
}

}  // namespace lossatlas
