#include <algorithm>
#include <chrono>
#include <utility>

#include "io/atomic_file.hpp"
#include "io/bytes.hpp"
#include "io/checksum.hpp"
#include "io/input_file.hpp"
#include "io/npy_header.hpp"
#include "parallel.hpp"
#include "section_file_stream.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFunction = "merge_sections";

/// A shard whose header is known; its checksums are at the end.
struct OpenShard {
  fs::path file;
  RunHeader header;
  TileLayout layout;
};

OpenShard open_shard(const fs::path& file, std::string_view function) {
  InputFile input(file, function);
  std::string start(static_cast<std::size_t>(std::min<std::int64_t>(input.size(), kMostHeaderBytes)), '\0');
  input.read(std::as_writable_bytes(std::span(start)));
  auto decoded = decode_run_header(start, kShardMagic, input.context());
  input.context().require(decoded.has_value(), "which ends inside its header, expected a shard; it is truncated");
  RunHeader& header = decoded->header;
  OpenShard shard{file, std::move(header), {}};
  shard.layout = shard_layout(shard.header.grid.size(), shard.header.heads, {shard.header.shard, shard.header.shards},
                              shard.header.tile_points);
  shard.layout.begin = decoded->bytes;
  const std::int64_t bytes = shard.layout.end() + 8 * (shard.layout.tiles() + 1);
  input.context().require(input.size() == bytes, "of ", input.size(), " bytes, expected ", bytes,
                          "; it is damaged or was not written to its end");
  return shard;
}

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

void check_together(std::span<const OpenShard> shards) {
  const OpenShard& first = shards.front();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const FileContext context{shards[i].file, kFunction};
    const RunHeader& header = shards[i].header;
    const std::string other = differences(header.identity, first.header.identity);
    context.require(other.empty() && header.grid == first.header.grid && header.heads == first.header.heads, "with ",
                    other.empty() ? "another grid" : other, " (", display(first.file),
                    "), expected shards of one section");
    context.require(header.shards == first.header.shards, "of ", header.shards, " shards, expected one of ",
                    first.header.shards, " as ", display(first.file), " is");
    if (i == 0) continue;
    const std::int64_t before = shards[i - 1].header.shard;
    context.require(header.shard != before, "which is shard ", before, '/', header.shards, " as ",
                    display(shards[i - 1].file), " is, expected each once");
  }
  for (std::int64_t index = 1; index <= first.header.shards; ++index) {
    const bool there = index <= std::ssize(shards) && shards[static_cast<std::size_t>(index - 1)].header.shard == index;
    if (!there) {
      throw FileError(message(kFunction, "received ", shards.size(), " shards without ", index, '/',
                              first.header.shards, ", expected all; evaluate it with --shard ", index, '/',
                              first.header.shards));
    }
  }
}

/// Copies the losses of a shard, each tile checked.
void copy(const OpenShard& shard, AtomicFile& output, LossTally& tally, const Control& control) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;
  InputFile input(shard.file, kFunction);
  const TileLayout& layout = shard.layout;
  const std::vector<std::uint64_t> checksums = read_checksums(input, layout);
  std::vector<double> block(static_cast<std::size_t>(std::min(kBlock, layout.points * layout.heads)));
  input.seek(layout.begin);
  for (std::int64_t tile = 0; tile < layout.tiles(); ++tile) {
    Checksum sum;
    const std::int64_t values = layout.tile_size(tile) * layout.heads;
    for (std::int64_t done = 0; done < values; done += kBlock) {
      check_stop(control);
      const auto part = std::span(block).first(static_cast<std::size_t>(std::min(kBlock, values - done)));
      input.read(std::as_writable_bytes(part));
      sum.add(std::span<const double>(part));
      tally.add(part);
      output.write(std::span<const double>(part));
    }
    input.context().require(sum.value() == checksums[static_cast<std::size_t>(tile)], "whose tile ", tile,
                            " does not match its checksum, expected it as written; evaluate that shard again");
    const std::int64_t done = layout.tile_first(tile) + layout.tile_size(tile);
    if (control.progress) control.progress({"merge", done, shard.header.grid.size(), "points"});
  }
}

SectionFileReport describe(const OpenShard& shard, const LossTally& tally) {
  SectionFileReport report;
  report.points = shard.header.grid.size();
  report.heads = shard.header.heads;
  report.range = tally.range();
  report.nonfinite = tally.nonfinite();
  for (const IdentityPart& part : shard.header.identity) {
    if (part.name == "device") report.device = part.text;
    if (part.name == "precision") report.precision = parse_precision(part.text);
  }
  return report;
}

}  // namespace

SectionFileReport merge_sections(const fs::path& file, std::span<const fs::path> files, const Control& control) {
  const auto start = std::chrono::steady_clock::now();
  require(!files.empty(), kFunction, "received no shards, expected at least 1");
  std::vector<OpenShard> shards;
  for (const fs::path& shard : files) {
    std::error_code ignored;
    FileContext{file, kFunction}.require(!fs::equivalent(file, shard, ignored), "which is also a shard, ",
                                         "expected another file for the result");
    shards.push_back(open_shard(shard, kFunction));
  }
  std::ranges::stable_sort(shards, {}, [](const OpenShard& shard) { return shard.header.shard; });
  check_together(shards);

  const RunHeader& header = shards.front().header;
  std::vector<std::int64_t> shape = header.grid.shape();
  shape.push_back(header.heads);
  const std::string start_of_file = npy_header_text(shape);
  AtomicFile output(file, kFunction);
  output.require_space(static_cast<std::int64_t>(start_of_file.size()) + 8 * header.heads * header.grid.size());
  output.write(start_of_file);
  LossTally tally;
  for (const OpenShard& shard : shards) {
    copy(shard, output, tally, control);
  }
  output.commit();
  SectionFileReport report = describe(shards.front(), tally);
  for (const OpenShard& shard : shards) report.tiles += shard.layout.tiles();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

Grid shard_grid(const fs::path& shard) { return open_shard(shard, "shard_grid").header.grid; }

}  // namespace lossatlas
