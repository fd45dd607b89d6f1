// A CSV table of numbers with one column of targets, and whether its first line is a header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/dataset_io.hpp>

#include "file/file_context.hpp"

namespace lossatlas {

struct CsvTable {
  std::int64_t features = 0;
  std::int64_t target_column = 0;    ///< from 1
  std::vector<double> inputs;        ///< (N, features), finite
  std::vector<std::string> targets;  ///< (N), as written
  std::vector<std::int64_t> lines;   ///< (N), the line on which each sample begins, from 1
};

/// The whole field as a number, which may be non-finite; nullopt for text.
std::optional<double> csv_number(std::string_view field);

/// Unless options.header decides, the first line is a header if it has text outside the target column, no numbers, and
/// no later line has text there. Throws FileError with line and column, both from 1, on missing values, on text or
/// non-finite numbers among the inputs, on ragged rows, and on an ambiguous first line: numbers beside text that no
/// later line has, 0,1,...,k-1 as from a table without names, or a target that fits none of the others.
CsvTable read_csv_table(std::string_view text, const CsvOptions& options, const FileContext& context);

}  // namespace lossatlas
