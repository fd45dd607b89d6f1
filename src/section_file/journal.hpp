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
/// Records are only appended, so that a process that is killed leaves at worst an incomplete last one, which is
/// ignored. A process holds its journal for itself.
class Journal {
 public:
  /// A new journal; throws FileError when there is one or it cannot be written.
  static Journal create(const std::filesystem::path& file, std::string_view function, const RunHeader& header);
  /// The journal of that name; nothing when there is none. Throws FileError when another process holds it or its header
  /// is damaged.
  static std::optional<Journal> open(const std::filesystem::path& file, std::string_view function);

  /// Nothing when the file ends inside its header: the process was killed before it began.
  const std::optional<RunHeader>& header() const { return header_; }
  const FileContext& context() const { return file_.context(); }

  /// use(tile, checksum) for every intact record, whose tile may be any number.
  void for_each(const std::function<void(std::uint64_t tile, std::uint64_t checksum)>& use) const;
  void add(std::uint64_t tile, std::uint64_t checksum);
  void sync() { file_.sync(); }
  /// Removes the file if its name is still this file's.
  void remove() const { file_.remove(); }
  bool named() const { return file_.named(); }

 private:
  Journal(UpdateFile file, std::optional<RunHeader> header, std::int64_t begin, std::uint64_t seed);

  UpdateFile file_;
  std::optional<RunHeader> header_;
  std::int64_t begin_ = 0;  ///< of the records
  std::int64_t end_ = 0;
  std::uint64_t seed_ = 0;  ///< ties records to this header
};

}  // namespace lossatlas
