#include "section_file/run_files.hpp"

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "file/checksum.hpp"
#include "file/output_path.hpp"
#include "format/npy_header.hpp"
#include "section_file/shard.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kReadValues = std::int64_t{1} << 16;
constexpr double kSyncSeconds = 1;  // a power cut loses at most so much work

fs::path with_suffix(fs::path file, const char* suffix) { return file += suffix; }

bool present(const fs::path& file) {
  std::error_code ignored;
  return fs::symlink_status(file, ignored).type() != fs::file_type::not_found;
}

}  // namespace

RunFiles::RunFiles(const fs::path& target, const TileSource& source, const SectionFileOptions& options)
    : target_(target),
      partial_(with_suffix(target, ".partial")),
      journal_file_(with_suffix(target, ".journal")),
      source_(source),
      options_(options),
      shard_(options.shard.value_or(Shard{})) {}

bool RunFiles::complete() {
  if (options_.unfinished == Unfinished::refuse || !options_.shard) return false;
  if (present(partial_) || present(journal_file_) || !present(target_)) return false;
  try {
    const OpenShard shard = open_shard(target_, kWriteSection);
    const RunHeader& header = shard.header;
    if (header.shard != shard_.index || header.shards != shard_.count || header.heads != source_.heads) return false;
    if (!(header.grid == source_.grid) || !differences(source_.identity, header.identity).empty()) return false;
    set_tile(header.tile_points);
    tell("verify", 0);
    LossTally tally;
    read_shard(
        shard, kWriteSection, options_.evaluate.control, [&](std::span<const double> losses) { tally.add(losses); },
        [&](std::int64_t points) { tell("verify", points); });
    tiles_.add(0, 0, tally);    // a shard is one tile, whose checksum read_shard() has compared
  } catch (const FileError&) {  // damaged, or no shard: replaced, as without resuming
    return false;
  }
  return true;
}

bool RunFiles::resume() {
  // Refuses the files of a live run as such, before suggesting to delete them.
  data_ = UpdateFile::open(partial_, kWriteSection);
  if (options_.unfinished == Unfinished::refuse) {
    UpdateFile::open(journal_file_, kWriteSection);
    for (const fs::path& file : {partial_, journal_file_}) {
      FileContext{file, kWriteSection}.require(
          !present(file), "of a run that did not finish, expected none; resume to go on from it (--resume), or delete ",
          display(partial_), " and ", display(journal_file_), " to start over");
    }
    return false;
  }
  journal_ = Journal::open(journal_file_, kWriteSection);
  if (journal_ && journal_->header()) {
    adopt(*journal_->header());
    return true;
  }
  FileContext{partial_, kWriteSection}.require(
      !data_, "without its journal, expected both as an unfinished run leaves them; delete it and ",
      display(journal_file_), " to start over");
  if (journal_) journal_->remove();
  journal_.reset();
  return false;
}

void RunFiles::adopt(const RunHeader& header) {
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
  data_ = UpdateFile::open(target_, kWriteSection);
  renamed_ = data_ && verify(*data_);
  if (renamed_) return;
  data_ = UpdateFile::create(partial_, kWriteSection);
  set_tile(header.tile_points);
  require_space();
}

void RunFiles::create(std::int64_t tile_points) {
  set_tile(tile_points);
  journal_ = Journal::create(journal_file_, kWriteSection, header_of(tile_points));
  made_ = true;
  data_ = UpdateFile::create(partial_, kWriteSection);
}

RunHeader RunFiles::header_of(std::int64_t tile_points) const {
  RunHeader header{source_.identity, source_.grid, source_.heads, 0, 0, tile_points};
  if (options_.shard) std::tie(header.shard, header.shards) = std::tie(shard_.index, shard_.count);
  return header;
}

void RunFiles::set_tile(std::int64_t tile_points) {
  TileLayout layout = shard_layout(source_.grid.size(), source_.heads, shard_, tile_points);
  std::vector<std::int64_t> shape = source_.grid.shape();
  shape.push_back(source_.heads);
  // A finished shard does not record its tile size, which may come from a measurement: its bytes are always the same.
  file_header_ =
      options_.shard ? encode(header_of(layout.points), kShardMagic, {target_, kWriteSection}) : npy_header_text(shape);
  layout.begin = static_cast<std::int64_t>(file_header_.size());
  tiles_ = FinishedTiles(layout);
}

bool RunFiles::verify(const UpdateFile& data) {
  tell("verify", 0);
  journal_->for_each([&](std::uint64_t tile, std::uint64_t checksum) {
    check_stop(options_.evaluate.control);
    if (!tiles_.knows(tile) || tiles_.has(static_cast<std::int64_t>(tile))) return;
    verify(data, static_cast<std::int64_t>(tile), checksum);
    tell("verify", tiles_.points());
  });
  return tiles_.all();
}

void RunFiles::verify(const UpdateFile& data, std::int64_t tile, std::uint64_t checksum) {
  const std::int64_t values = layout().tile_size(tile) * layout().heads;
  std::vector<double> block(static_cast<std::size_t>(std::min(values, kReadValues)));
  Checksum sum;
  LossTally tally;
  for (std::int64_t done = 0; done < values; done += kReadValues) {
    const auto part = std::span(block).first(static_cast<std::size_t>(std::min(kReadValues, values - done)));
    if (data.read(layout().offset(layout().tile_first(tile)) + 8 * done, std::as_writable_bytes(part)) <
        part.size_bytes()) {
      return;
    }
    sum.add(std::span<const double>(part));
    tally.add(part);
  }
  if (sum.value() == checksum) tiles_.add(tile, checksum, tally);
}

// Checks before an hour's work, not after.
void RunFiles::require_space() const {
  const TileLayout whole = shard_layout(source_.grid.size(), source_.heads, shard_, 1);
  const std::int64_t end = whole.end() + static_cast<std::int64_t>(file_header_.size());
  lossatlas::require_space(partial_, end - (data_ ? data_->allocated() : 0), {partial_, kWriteSection});
}

void RunFiles::write_header() { data_->write(0, std::as_bytes(std::span(file_header_))); }

void RunFiles::write(std::int64_t offset, std::span<const double> losses) {
  data_->write(offset, std::as_bytes(losses));
}

void RunFiles::add(std::int64_t tile, std::uint64_t checksum, const LossTally& tally) {
  journal_->add(static_cast<std::uint64_t>(tile), checksum);
  tiles_.add(tile, checksum, tally);
}

void RunFiles::sync_in_time() {
  if (std::chrono::duration<double>(Clock::now() - synced_).count() > kSyncSeconds) sync();
}

// A record that reaches the disk before its tile will not match it, and the tile is evaluated again.
void RunFiles::sync() {
  data_->require_named();
  data_->sync();
  journal_->sync();
  sync_folder(partial_);
  synced_ = Clock::now();
}

void RunFiles::finish() {
  std::int64_t end = layout().end();
  if (options_.shard) {
    const std::uint64_t sum = tiles_.checksum();
    data_->write(end, std::as_bytes(std::span(&sum, 1)));
    end += sizeof sum;
  }
  data_->truncate(end);
  data_->sync();
  if (!renamed_) data_->rename(target_);
  renamed_ = true;
  journal_->remove();
}

std::int64_t RunFiles::leave() noexcept {
  if (renamed_ || !journal_) return 0;
  try {
    const bool lost = !journal_->named() || (data_ && !data_->named());
    if (!lost && (tiles_.tiles() > 0 || !made_)) {
      if (data_) sync();
      return tiles_.tiles();
    }
    if (data_) data_->remove();
    journal_->remove();
    return 0;
  } catch (...) {  // the error that brought us here says more
    return tiles_.tiles();
  }
}

void RunFiles::tell(const char* stage, std::int64_t points) const {
  const Control& control = options_.evaluate.control;
  if (control.progress) control.progress({stage, points, layout().points, "points"});
}

}  // namespace lossatlas
