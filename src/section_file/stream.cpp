#include "section_file/stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "file/checksum.hpp"
#include "file/output_path.hpp"
#include "file/update_file.hpp"
#include "format/npy_header.hpp"
#include "section_file/journal.hpp"
#include "section_file/pieces.hpp"
#include "section_file/shard.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kFunction = "write_section";
constexpr std::int64_t kReadValues = std::int64_t{1} << 16;
constexpr double kSyncSeconds = 1;  // at most so much work is lost with the power

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

fs::path with_suffix(fs::path file, const char* suffix) { return file += suffix; }

bool present(const fs::path& file) {
  std::error_code ignored;
  return fs::symlink_status(file, ignored).type() != fs::file_type::not_found;
}

void check_target(const fs::path& file) {
  const FileContext context{file, kFunction};
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
  require(source.grid.rank() >= 1 && source.grid.rank() <= kMostAxes, kFunction, "received a grid of ",
          source.grid.rank(), " axes, expected 1 to ", kMostAxes);
  require(points <= (std::int64_t{1} << 62) / 8 / source.heads, kFunction, "received ", points, " points of ",
          source.heads, " heads, expected at most 2^62 bytes of losses; use a smaller grid");
  require(parts >= 1 && parts <= points && shard.index >= 1 && shard.index <= parts, kFunction, "received shard ",
          shard.index, " of ", parts, ", expected one of 1 to ", parts, " and no more shards than the ", points,
          " points");
  require(options.tile_points >= 0, kFunction, "received tiles of ", options.tile_points,
          " points, expected at least 1");
  if (options.tile_points == 0) return;
  const std::int64_t tiles = shard_layout(points, source.heads, shard, options.tile_points).tiles();
  require(tiles <= kMostTiles, kFunction, "received tiles of ", options.tile_points, " points, which makes ", tiles,
          " of them, expected at most ", kMostTiles, "; use larger tiles");
}

/// One call of write_section().
class SectionStream {
 public:
  SectionStream(const fs::path& file, const TileSource& source, const SectionFileOptions& options)
      : target_(file),
        partial_(with_suffix(target_, ".partial")),
        journal_file_(with_suffix(target_, ".journal")),
        source_(source),
        options_(options),
        control_(options.evaluate.control),
        pieces_(source),
        shard_(options.shard.value_or(Shard{})) {}

  SectionFileReport run() {
    const auto start = Clock::now();
    try {
      if (complete()) return report(seconds_since(start));
      if (!resume()) begin();
      data_->write(0, std::as_bytes(std::span(file_header_)));
      evaluate_missing();
      finish();
    } catch (const Interrupted&) {
      const std::int64_t kept = leave();
      if (kept == 0) throw Interrupted("interrupted before the first tile was finished");
      throw Interrupted("interrupted after " + std::to_string(kept) + " of " + std::to_string(layout_.tiles()) +
                        " tiles, which are in " + display(partial_) + "; resume to go on from them (--resume)");
    } catch (...) {
      leave();
      throw;
    }
    return report(seconds_since(start));
  }

 private:
  /// Whether the file is already the shard to resume, as it was written.
  bool complete();
  /// Goes on from an unfinished run; false when there is none.
  bool resume();
  void begin();
  void prepare();
  void adopt(const RunHeader& header);
  RunHeader header_of(std::int64_t tile_points) const;
  void set_tile(std::int64_t tile_points);
  /// Keeps the journal's tiles that are in the file as they were written; whether that is all.
  bool verify(const UpdateFile& data);
  void verify(const UpdateFile& data, std::int64_t tile, std::uint64_t checksum);
  void require_space() const;
  void evaluate_missing();
  void evaluate(std::int64_t tile);
  void sync();
  void finish();
  std::uint64_t checksum() const;
  std::int64_t leave() noexcept;
  void tell(const char* stage, std::int64_t points) const;
  Control inner(std::int64_t tile) const;
  SectionFileReport report(double seconds) const;

  fs::path target_, partial_, journal_file_;
  const TileSource& source_;
  const SectionFileOptions& options_;
  const Control& control_;
  PieceEvaluator pieces_;
  std::string file_header_;  ///< what the file begins with
  TileLayout layout_;
  std::optional<Journal> journal_;
  std::optional<UpdateFile> data_;
  Shard shard_;        ///< of one when none is asked for
  bool made_ = false;  ///< by this call
  bool prepared_ = false;
  bool renamed_ = false;  ///< partial_ to target_, also by an earlier call, which was killed just before its end
  Clock::time_point synced_ = Clock::now();
  std::vector<std::uint64_t> checksums_;  ///< (tiles), of the finished ones
  std::vector<char> finished_;            ///< (tiles)
  std::int64_t finished_tiles_ = 0, finished_points_ = 0;
  std::int64_t resumed_tiles_ = 0, evaluated_points_ = 0;
  LossTally tally_;
};

bool SectionStream::complete() {
  if (options_.unfinished == Unfinished::refuse || !options_.shard) return false;
  if (present(partial_) || present(journal_file_) || !present(target_)) return false;
  try {
    const OpenShard shard = open_shard(target_, kFunction);
    const RunHeader& header = shard.header;
    if (header.shard != shard_.index || header.shards != shard_.count || header.heads != source_.heads) return false;
    if (!(header.grid == source_.grid) || !differences(source_.identity, header.identity).empty()) return false;
    set_tile(header.tile_points);
    tell("verify", 0);
    read_shard(
        shard, kFunction, control_, [&](std::span<const double> losses) { tally_.add(losses); },
        [&](std::int64_t points) { tell("verify", points); });
  } catch (const FileError&) {  // damaged, or none: replaced, as without resuming
    return false;
  }
  resumed_tiles_ = layout_.tiles();
  return true;
}

bool SectionStream::resume() {
  // Those of a live run are refused as such before anything is said of deleting them.
  data_ = UpdateFile::open(partial_, kFunction);
  if (options_.unfinished == Unfinished::refuse) {
    UpdateFile::open(journal_file_, kFunction);
    for (const fs::path& file : {partial_, journal_file_}) {
      FileContext{file, kFunction}.require(
          !present(file), "of a run that did not finish, expected none; resume to go on from it (--resume), or delete ",
          display(partial_), " and ", display(journal_file_), " to start over");
    }
    return false;
  }
  journal_ = Journal::open(journal_file_, kFunction);
  if (journal_ && journal_->header()) {
    adopt(*journal_->header());
    return true;
  }
  FileContext{partial_, kFunction}.require(
      !data_, "without its journal, expected both as an unfinished run leaves them; delete it and ",
      display(journal_file_), " to start over");
  if (journal_) journal_->remove();
  journal_.reset();
  return false;
}

void SectionStream::adopt(const RunHeader& header) {
  const FileContext& context = journal_->context();
  const std::string other = differences(source_.identity, header.identity);
  context.require(other.empty(), "of a run that began with something else, expected the same to resume; this run has ",
                  other, "; use what it began with, or delete it and ", display(partial_), " to start over");
  const RunHeader ours = header_of(header.tile_points);
  context.require(header.shard == ours.shard && header.shards == ours.shards, "of shard ", header.shard, '/',
                  header.shards, ", expected shard ", ours.shard, '/', ours.shards,
                  " (0/0: an .npy file); give each shard a file of its own");
  const std::int64_t points = shard_layout(source_.grid.size(), source_.heads, shard_, 1).points;
  const std::int64_t asked = std::min(options_.tile_points, points);
  context.require(asked == 0 || asked == header.tile_points, "with tiles of ", header.tile_points, " points, expected ",
                  asked, "; leave the size out to resume");
  set_tile(header.tile_points);
  if (data_) {
    verify(*data_);
    require_space();
    return;
  }
  data_ = UpdateFile::open(target_, kFunction);
  renamed_ = data_ && verify(*data_);
  if (renamed_) return;
  data_ = UpdateFile::create(partial_, kFunction);
  set_tile(header.tile_points);
  require_space();
}

void SectionStream::begin() {
  layout_ = shard_layout(source_.grid.size(), source_.heads, shard_, 1);
  require_space();
  prepare();
  const std::int64_t tile = options_.tile_points == 0
                                ? pieces_.choose_tile(layout_.first, layout_.points, kMostTiles, {{}, control_.stop})
                                : std::min(options_.tile_points, layout_.points);
  set_tile(tile);
  journal_ = Journal::create(journal_file_, kFunction, header_of(tile));
  made_ = true;
  data_ = UpdateFile::create(partial_, kFunction);
}

RunHeader SectionStream::header_of(std::int64_t tile_points) const {
  RunHeader header{source_.identity, source_.grid, source_.heads, 0, 0, tile_points};
  if (options_.shard) std::tie(header.shard, header.shards) = std::tie(shard_.index, shard_.count);
  return header;
}

void SectionStream::set_tile(std::int64_t tile_points) {
  layout_ = shard_layout(source_.grid.size(), source_.heads, shard_, tile_points);
  std::vector<std::int64_t> shape = source_.grid.shape();
  shape.push_back(source_.heads);
  // A finished shard says nothing of tiles, whose size may come from a measurement: its bytes are always the same.
  file_header_ =
      options_.shard ? encode(header_of(layout_.points), kShardMagic, {target_, kFunction}) : npy_header_text(shape);
  layout_.begin = static_cast<std::int64_t>(file_header_.size());
  const auto tiles = static_cast<std::size_t>(layout_.tiles());
  checksums_.assign(tiles, 0);
  finished_.assign(tiles, 0);
  finished_tiles_ = finished_points_ = resumed_tiles_ = 0;
  tally_ = {};
}

bool SectionStream::verify(const UpdateFile& data) {
  tell("verify", 0);
  journal_->for_each([&](std::uint64_t tile, std::uint64_t checksum) {
    check_stop(control_);
    if (tile >= finished_.size() || finished_[static_cast<std::size_t>(tile)] != 0) return;
    verify(data, static_cast<std::int64_t>(tile), checksum);
    tell("verify", finished_points_);
  });
  resumed_tiles_ = finished_tiles_;
  return finished_tiles_ == layout_.tiles();
}

void SectionStream::verify(const UpdateFile& data, std::int64_t tile, std::uint64_t checksum) {
  const std::int64_t values = layout_.tile_size(tile) * layout_.heads;
  std::vector<double> block(static_cast<std::size_t>(std::min(values, kReadValues)));
  Checksum sum;
  LossTally tally;
  for (std::int64_t done = 0; done < values; done += kReadValues) {
    const auto part = std::span(block).first(static_cast<std::size_t>(std::min(kReadValues, values - done)));
    if (data.read(layout_.offset(layout_.tile_first(tile)) + 8 * done, std::as_writable_bytes(part)) <
        part.size_bytes()) {
      return;
    }
    sum.add(std::span<const double>(part));
    tally.add(part);
  }
  if (sum.value() != checksum) return;
  finished_[static_cast<std::size_t>(tile)] = 1;
  checksums_[static_cast<std::size_t>(tile)] = checksum;
  ++finished_tiles_;
  finished_points_ += layout_.tile_size(tile);
  tally_.add(tally);
}

// Said before an hour's work, not after.
void SectionStream::require_space() const {
  lossatlas::require_space(partial_, layout_.end() - (data_ ? data_->allocated() : 0), {partial_, kFunction});
}

void SectionStream::prepare() {
  if (!std::exchange(prepared_, true)) pieces_.prepare(control_);
}

void SectionStream::evaluate_missing() {
  if (finished_tiles_ < layout_.tiles()) prepare();
  tell("section", finished_points_);
  for (std::int64_t tile = 0; tile < layout_.tiles(); ++tile) {
    if (finished_[static_cast<std::size_t>(tile)] != 0) continue;
    check_stop(control_);
    evaluate(tile);
    if (seconds_since(synced_) > kSyncSeconds) sync();
    tell("section", finished_points_);
  }
}

void SectionStream::evaluate(std::int64_t tile) {
  std::int64_t offset = layout_.offset(layout_.tile_first(tile));
  Checksum sum;
  pieces_.run(layout_.tile_first(tile), layout_.tile_size(tile), inner(tile), [&](std::span<const double> losses) {
    data_->write(offset, std::as_bytes(losses));
    offset += static_cast<std::int64_t>(losses.size_bytes());
    sum.add(losses);
    tally_.add(losses);
  });
  journal_->add(static_cast<std::uint64_t>(tile), sum.value());
  finished_[static_cast<std::size_t>(tile)] = 1;
  checksums_[static_cast<std::size_t>(tile)] = sum.value();
  ++finished_tiles_;
  finished_points_ += layout_.tile_size(tile);
  evaluated_points_ += layout_.tile_size(tile);
}

// A record that reaches the disk before its tile does not match it, and the tile is evaluated again.
void SectionStream::sync() {
  data_->require_named();
  data_->sync();
  journal_->sync();
  sync_folder(partial_);
  synced_ = Clock::now();
}

void SectionStream::finish() {
  std::int64_t end = layout_.end();
  if (options_.shard) {
    const std::uint64_t sum = checksum();
    data_->write(end, std::as_bytes(std::span(&sum, 1)));
    end += sizeof sum;
  }
  data_->truncate(end);
  data_->sync();
  if (!renamed_) data_->rename(target_);
  renamed_ = true;
  journal_->remove();
}

/// Of all losses, in order.
std::uint64_t SectionStream::checksum() const {
  Checksum sum;
  for (std::int64_t tile = 0; tile < layout_.tiles(); ++tile) {
    sum.append(checksums_[static_cast<std::size_t>(tile)], layout_.loss_bytes(layout_.tile_size(tile)));
  }
  return sum.value();
}

/// After an error: keeps what is finished, and nothing when that is nothing. How many tiles it kept.
std::int64_t SectionStream::leave() noexcept {
  if (renamed_ || !journal_) return 0;
  try {
    const bool lost = !journal_->named() || (data_ && !data_->named());
    if (!lost && (finished_tiles_ > 0 || !made_)) {
      if (data_) sync();
      return finished_tiles_;
    }
    if (data_) data_->remove();
    journal_->remove();
    return 0;
  } catch (...) {  // the error that brought us here says more
    return finished_tiles_;
  }
}

void SectionStream::tell(const char* stage, std::int64_t points) const {
  if (control_.progress) control_.progress({stage, points, layout_.points, "points"});
}

/// Progress within a tile, as points of the whole.
Control SectionStream::inner(std::int64_t tile) const {
  Control control{{}, control_.stop};
  if (!control_.progress) return control;
  const auto size = static_cast<double>(std::min<std::int64_t>(layout_.tile_size(tile), std::int64_t{1} << 52));
  control.progress = [this, size](const ProgressEvent& event) {
    if (event.total <= 0) return;
    const double part = size * static_cast<double>(event.done) / static_cast<double>(event.total);
    tell("section", finished_points_ + static_cast<std::int64_t>(part));
  };
  return control;
}

SectionFileReport SectionStream::report(double seconds) const {
  SectionFileReport report;
  report.points = layout_.points;
  report.heads = layout_.heads;
  report.range = tally_.range();
  report.nonfinite = tally_.nonfinite();
  report.tiles = layout_.tiles();
  report.resumed_tiles = resumed_tiles_;
  report.tile_points = layout_.tile_points;
  report.evaluated_points = evaluated_points_;
  report.seconds = seconds;
  return report;
}

}  // namespace

TileLayout shard_layout(std::int64_t points, std::int64_t heads, Shard shard, std::int64_t tile_points) {
  const std::int64_t each = points / shard.count, more = points % shard.count;
  const std::int64_t before = shard.index - 1;
  return {.begin = 0,
          .first = each * before + std::min(before, more),
          .points = each + (before < more ? 1 : 0),
          .heads = heads,
          .tile_points = tile_points};
}

void LossTally::add(std::span<const double> losses) {
  for (const double loss : losses) {
    if (!std::isfinite(loss)) {
      ++nonfinite_;
      continue;
    }
    if (!(range_.lo <= loss)) range_.lo = loss;
    if (!(range_.hi >= loss)) range_.hi = loss;
  }
}

void LossTally::add(const LossTally& other) {
  if (!(range_.lo <= other.range_.lo) && !std::isnan(other.range_.lo)) range_.lo = other.range_.lo;
  if (!(range_.hi >= other.range_.hi) && !std::isnan(other.range_.hi)) range_.hi = other.range_.hi;
  nonfinite_ += other.nonfinite_;
}

SectionFileReport stream_section(const fs::path& file, const TileSource& source, const SectionFileOptions& options) {
  check_options(source, options);
  const fs::path target = followed({file, kFunction});
  check_target(target);
  return SectionStream(target, source, options).run();
}

}  // namespace lossatlas
