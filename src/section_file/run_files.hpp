// The files of one run of write_section(): FILE.partial, FILE.journal, and FILE at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "file/update_file.hpp"
#include "section_file/journal.hpp"
#include "section_file/run_header.hpp"
#include "section_file/tiles.hpp"

namespace lossatlas {

class RunFiles {
 public:
  /// Source and options outlive it.
  RunFiles(const std::filesystem::path& target, const TileSource& source, const SectionFileOptions& options);

  /// Whether the file is already the shard to resume, intact.
  bool complete();
  /// Goes on from an unfinished run, with the tiles that are in the file as they were written; false when there is
  /// none.
  bool resume();
  /// Throws WriteError when the disk has no room for what is still to be written.
  void require_space() const;
  /// Begins a run in tiles of so many points.
  void create(std::int64_t tile_points);

  /// The header of FILE, where the losses follow.
  void write_header();
  void write(std::int64_t offset, std::span<const double> losses);
  /// Enters a tile that has been written into the journal.
  void add(std::int64_t tile, std::uint64_t checksum, const LossTally& tally);
  /// Brings what is finished to the disk, once a second.
  void sync_in_time();
  /// All tiles are there: FILE.partial becomes FILE.
  void finish();
  /// After an error, keeps what is finished, or no file if nothing is. Returns the number of tiles kept.
  std::int64_t leave() noexcept;

  const TileLayout& layout() const { return tiles_.layout(); }
  const FinishedTiles& tiles() const { return tiles_; }
  const std::filesystem::path& partial() const { return partial_; }
  /// Reports so many points.
  void tell(const char* stage, std::int64_t points) const;

 private:
  void adopt(const RunHeader& header);
  RunHeader header_of(std::int64_t tile_points) const;
  void set_tile(std::int64_t tile_points);
  /// Keeps the journal's tiles that lie intact in the file; returns whether all of its tiles do.
  bool verify(const UpdateFile& data);
  void verify(const UpdateFile& data, std::int64_t tile, std::uint64_t checksum);
  void sync();

  std::filesystem::path target_, partial_, journal_file_;
  const TileSource& source_;
  const SectionFileOptions& options_;
  Shard shard_;              ///< 1 of 1 unless a shard is asked for
  std::string file_header_;  ///< what the file begins with
  FinishedTiles tiles_;
  std::optional<Journal> journal_;
  std::optional<UpdateFile> data_;
  bool made_ = false;     ///< by this call
  bool renamed_ = false;  ///< FILE.partial to FILE; perhaps by an earlier call that was killed just before its end
  std::chrono::steady_clock::time_point synced_ = std::chrono::steady_clock::now();
};

/// What errors of these files name as their function.
inline constexpr std::string_view kWriteSection = "write_section";

}  // namespace lossatlas
