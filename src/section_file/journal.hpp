// The journal of a long run: which tiles are finished, and the checksums of their bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "file/update_file.hpp"
#include "section_file/run_header.hpp"

namespace lossatlas {

/// A header that says what the run computes, then a record for each finished tile, in the order in which they finished.
/// Records are only appended, so a process that is killed leaves at worst an incomplete last one, which is ignored. A
/// process locks its journal.
class Journal {
 public:
  /// Creates a journal; throws FileError if one exists or it cannot be written.
  static Journal create(const std::filesystem::path& file, std::string_view function, const RunHeader& header);
  /// Opens the journal of that name, if any. Throws FileError if another process holds it or its header is damaged.
  static std::optional<Journal> open(const std::filesystem::path& file, std::string_view function);

  /// nullopt if the file ends inside its header: the process was killed before the run began.
  const std::optional<RunHeader>& header() const { return header_; }
  const FileContext& context() const { return file_.context(); }

  /// Calls use(tile, checksum) for every intact record; the tile may be any number.
  void for_each(const std::function<void(std::uint64_t tile, std::uint64_t checksum)>& use) const;
  void add(std::uint64_t tile, std::uint64_t checksum);
  void sync() { file_.sync(); }
  /// Removes the file if its name still refers to it.
  void remove() const { file_.remove(); }
  bool named() const { return file_.named(); }

 private:
  Journal(UpdateFile file, std::optional<RunHeader> header, std::int64_t begin, std::uint64_t seed);

  UpdateFile file_;
  std::optional<RunHeader> header_;
  std::int64_t begin_ = 0;  ///< where the records begin
  std::int64_t end_ = 0;
  std::uint64_t seed_ = 0;  ///< ties records to this header
};

}  // namespace lossatlas
