#include <algorithm>
#include <chrono>
#include <utility>

#include "file/atomic_file.hpp"
#include "format/npy_header.hpp"
#include "section_file/shard.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFunction = "merge_sections";

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

Precision recorded_precision(const OpenShard& shard, const std::string& text) {
  try {
    return parse_precision(text);
  } catch (const InvalidArgument&) {
    FileContext{shard.file, kFunction}.fail("of precision ", printable(text),
                                            ", expected f64, f32 or fast; it is damaged or of another version");
  }
}

/// What the header says about the whole section.
SectionFileReport describe(const OpenShard& shard) {
  SectionFileReport report;
  report.points = shard.header.grid.size();
  report.heads = shard.header.heads;
  for (const IdentityPart& part : shard.header.identity) {
    if (part.name == "device") report.device = part.text;
    if (part.name == "precision") report.precision = recorded_precision(shard, part.text);
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
  SectionFileReport report = describe(shards.front());

  const RunHeader& header = shards.front().header;
  std::vector<std::int64_t> shape = header.grid.shape();
  shape.push_back(header.heads);
  const std::string start_of_file = npy_header_text(shape);
  AtomicFile output(file, kFunction);
  output.require_space(static_cast<std::int64_t>(start_of_file.size()) + 8 * header.heads * header.grid.size());
  output.write(start_of_file);
  LossTally tally;
  for (const OpenShard& shard : shards) {
    const auto copy = [&](std::span<const double> losses) {
      tally.add(losses);
      output.write(losses);
    };
    read_shard(shard, kFunction, control, copy, [&](std::int64_t points) {
      if (control.progress) control.progress({"merge", shard.layout.first + points, header.grid.size(), "points"});
    });
  }
  output.commit();
  report.range = tally.range();
  report.nonfinite = tally.nonfinite();
  for (const OpenShard& shard : shards) report.tiles += shard.layout.tiles();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

Grid shard_grid(const fs::path& shard) { return open_shard(shard, "shard_grid").header.grid; }

std::int64_t shard_heads(const fs::path& shard) { return open_shard(shard, "shard_heads").header.heads; }

}  // namespace lossatlas
