#include "section_file/stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "file/checksum.hpp"
#include "file/output_path.hpp"
#include "section_file/pieces.hpp"
#include "section_file/run_files.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_target(const fs::path& file) {
  const FileContext context{file, kWriteSection};
  std::error_code ignored;
  const fs::file_status status = fs::status(file, ignored);
  context.require(file.has_filename() && !fs::is_directory(status), "which is a folder, expected the name of a file");
  const fs::path folder = file.has_parent_path() ? file.parent_path() : ".";
  context.require(fs::is_directory(folder, ignored) && ::access(folder.c_str(), W_OK) == 0,
                  "in a folder that is not there or may not be written, expected one that may");
  if (!fs::exists(status)) return;
  context.require(fs::is_regular_file(status), "which is not a regular file, expected one that can be replaced");
  context.require(::access(file.c_str(), W_OK) == 0, "which may not be written, expected one that can be replaced");
}

void check_options(const TileSource& source, const SectionFileOptions& options) {
  const Shard shard = options.shard.value_or(Shard{});
  const std::int64_t points = source.grid.size(), parts = shard.count;
  require(source.grid.rank() >= 1 && source.grid.rank() <= kMostAxes, kWriteSection, "received a grid of ",
          source.grid.rank(), " axes, expected 1 to ", kMostAxes);
  require(points <= (std::int64_t{1} << 62) / 8 / source.heads, kWriteSection, "received ", points, " points of ",
          source.heads, " heads, expected at most 2^62 bytes of losses; use a smaller grid");
  require(parts >= 1 && parts <= points && shard.index >= 1 && shard.index <= parts, kWriteSection, "received shard ",
          shard.index, " of ", parts, ", expected one of 1 to ", parts, " and no more shards than the ", points,
          " points");
  require(options.tile_points >= 0, kWriteSection, "received tiles of ", options.tile_points,
          " points, expected at least 1");
  if (options.tile_points == 0) return;
  const std::int64_t tiles = shard_layout(points, source.heads, shard, options.tile_points).tiles();
  require(tiles <= kMostTiles, kWriteSection, "received tiles of ", options.tile_points, " points, which makes ", tiles,
          " of them, expected at most ", kMostTiles, "; use larger tiles");
}

/// One call of write_section(): the loop over the tiles.
class SectionStream {
 public:
  SectionStream(const fs::path& target, const TileSource& source, const SectionFileOptions& options)
      : source_(source),
        options_(options),
        control_(options.evaluate.control),
        pieces_(source),
        files_(target, source, options) {}

  SectionFileReport run() {
    const auto start = Clock::now();
    try {
      const bool complete = files_.complete();
      if (!complete && !files_.resume()) begin();
      resumed_tiles_ = files_.tiles().tiles();
      if (!complete) {
        files_.write_header();
        evaluate_missing();
        files_.finish();
      }
    } catch (const Interrupted&) {
      const std::int64_t kept = files_.leave();
      if (kept == 0) throw Interrupted("interrupted before the first tile was finished");
      throw Interrupted("interrupted after " + std::to_string(kept) + " of " + std::to_string(files_.layout().tiles()) +
                        " tiles, which are in " + display(files_.partial()) + "; resume to go on from them (--resume)");
    } catch (...) {
      files_.leave();
      throw;
    }
    return report(seconds_since(start));
  }

 private:
  void begin();
  void prepare();
  void evaluate_missing();
  void evaluate(std::int64_t tile);
  Control inner(std::int64_t tile) const;
  SectionFileReport report(double seconds) const;

  const TileSource& source_;
  const SectionFileOptions& options_;
  const Control& control_;
  PieceEvaluator pieces_;
  RunFiles files_;
  bool prepared_ = false;
  std::int64_t resumed_tiles_ = 0, evaluated_points_ = 0;
};

void SectionStream::begin() {
  const Shard shard = options_.shard.value_or(Shard{});
  const TileLayout whole = shard_layout(source_.grid.size(), source_.heads, shard, 1);
  files_.require_space();
  prepare();
  const std::int64_t tile = options_.tile_points == 0
                                ? pieces_.choose_tile(whole.first, whole.points, kMostTiles, {{}, control_.stop})
                                : std::min(options_.tile_points, whole.points);
  files_.create(tile);
}

void SectionStream::prepare() {
  if (!std::exchange(prepared_, true)) pieces_.prepare(control_);
}

void SectionStream::evaluate_missing() {
  const FinishedTiles& tiles = files_.tiles();
  if (!tiles.all()) prepare();
  files_.tell("section", tiles.points());
  for (std::int64_t tile = 0; tile < tiles.layout().tiles(); ++tile) {
    if (tiles.has(tile)) continue;
    check_stop(control_);
    evaluate(tile);
    files_.sync_in_time();
    files_.tell("section", tiles.points());
  }
}

void SectionStream::evaluate(std::int64_t tile) {
  const TileLayout& layout = files_.layout();
  std::int64_t offset = layout.offset(layout.tile_first(tile));
  Checksum sum;
  LossTally tally;
  pieces_.run(layout.tile_first(tile), layout.tile_size(tile), inner(tile), [&](std::span<const double> losses) {
    files_.write(offset, losses);
    offset += static_cast<std::int64_t>(losses.size_bytes());
    sum.add(losses);
    tally.add(losses);
  });
  files_.add(tile, sum.value(), tally);
  evaluated_points_ += layout.tile_size(tile);
}

/// Reports progress within a tile as points of the whole.
Control SectionStream::inner(std::int64_t tile) const {
  Control control{{}, control_.stop};
  if (!control_.progress) return control;
  const auto size = static_cast<double>(std::min<std::int64_t>(files_.layout().tile_size(tile), std::int64_t{1} << 52));
  control.progress = [this, size](const ProgressEvent& event) {
    if (event.total <= 0) return;
    const double part = size * static_cast<double>(event.done) / static_cast<double>(event.total);
    files_.tell("section", files_.tiles().points() + static_cast<std::int64_t>(part));
  };
  return control;
}

SectionFileReport SectionStream::report(double seconds) const {
  const FinishedTiles& tiles = files_.tiles();
  SectionFileReport report;
  report.points = tiles.layout().points;
  report.heads = tiles.layout().heads;
  report.range = tiles.tally().range();
  report.nonfinite = tiles.tally().nonfinite();
  report.tiles = tiles.layout().tiles();
  report.resumed_tiles = resumed_tiles_;
  report.tile_points = tiles.layout().tile_points;
  report.evaluated_points = evaluated_points_;
  report.seconds = seconds;
  return report;
}

}  // namespace

SectionFileReport stream_section(const fs::path& file, const TileSource& source, const SectionFileOptions& options) {
  check_options(source, options);
  const fs::path target = followed({file, kWriteSection});
  check_target(target);
  return SectionStream(target, source, options).run();
}

}  // namespace lossatlas
