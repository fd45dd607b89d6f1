// Records of a CSV text, as RFC 4180 defines them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "file/file_context.hpp"

namespace lossatlas {

/// Splits a text into records. Drops blanks around a field; a quoted field may hold commas and line ends; a line ends
/// in LF, CR LF or CR and has at most 2^20 fields. Both arguments must outlive the reader.
class CsvReader {
 public:
  CsvReader(std::string_view text, const FileContext& context);

  /// Reads the next record; false at the end, where empty lines are ignored. Throws FileError with the line on wrong
  /// quotes and on too many fields.
  bool next(std::vector<std::string>& fields);
  /// Line on which the last record began, from 1.
  std::int64_t line() const { return record_line_; }

 private:
  bool at_line_end() const;
  void end_line();
  void skip_blanks();
  bool rest_is_empty() const;
  std::string quoted_field();
  std::string plain_field();

  std::string_view text_;
  const FileContext& context_;
  std::size_t position_ = 0;
  std::int64_t line_ = 1;
  std::int64_t record_line_ = 0;
};

}  // namespace lossatlas
