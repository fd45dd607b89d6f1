// Shards of sections, alone and with the other half of a section: as they are, and as a header's JSON, a line end and
// the losses, to which their checksum is added.
#include <lossatlas/array.hpp>

#include "run_file.hpp"
#include "section_file/shard.hpp"

using namespace lossatlas;
using namespace lossatlas::testing;

namespace {

constexpr std::int64_t kFewBytes = 8192;

/// A shard of that header, whose losses are `values`, repeated or cut; nothing where it would be large or is refused.
std::optional<std::string> shard_file(std::string_view json, std::string_view values) {
  const auto header = run_header(json);
  if (!header || header->shards < 1) return std::nullopt;
  const TileLayout layout =
      shard_layout(header->grid.size(), header->heads, {header->shard, header->shards}, header->tile_points);
  if (layout.points > kFewBytes / 8 / layout.heads || layout.tiles() != 1) return std::nullopt;
  std::string losses(static_cast<std::size_t>(layout.end()), '\0');
  for (std::size_t i = 0; i < losses.size() && !values.empty(); ++i) losses[i] = values[i % values.size()];
  const std::uint64_t sum = Checksum().add(std::as_bytes(std::span(losses))).value();
  return run_header_bytes(kShardMagic, json) + losses + little(sum);
}

bool try_merge(const std::vector<std::filesystem::path>& shards, const std::filesystem::path& out) {
  const auto report = accepted([&] { return merge_sections(out, shards); });
  if (!report) return false;
  const Array merged = read_npy(out);
  std::vector<std::int64_t> shape = shard_grid(shards.front()).shape();
  shape.push_back(shard_heads(shards.front()));
  expect(merged.shape == shape, "a merged section has the shape of its grid and heads");
  expect(report->points * report->heads == merged.size(), "the report counts the losses of the file");
  expect(std::filesystem::remove(out), "a merged section is a file");
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TemporaryFolder folder;
  static const RewrittenFile tried(folder / "tried");
  static const auto half = folder / "half";
  static const auto out = folder / "merged.npy";
  [[maybe_unused]] static const auto written =
      stream_section(half, formula_source(), {.shard = Shard{2, 2}, .tile_points = 4});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto [json, values] = recipe(bytes);
  const std::optional<std::string> made = shard_file(json, values);
  for (const std::string& file : {std::string(bytes), made.value_or("")}) {
    tried.store(file);
    const auto grid = accepted([&] { return shard_grid(tried.path()); });
    expect(grid || file != made, "a shard is accepted as it should be written");
    const bool whole = try_merge({tried.path()}, out);
    const bool joined = try_merge({half, tried.path()}, out);
    expect(grid || !(whole || joined), "only shards are merged");
    expect(!std::filesystem::exists(out), "what is refused leaves no file");
  }
  return 0;
}
