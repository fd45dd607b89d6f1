#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/export.hpp>

namespace lossatlas {

/// Images (N, rows, cols) and labels (N) in IDX format, plain or gzip (detected from the content); bytes are scaled to
/// [0, 1]. The classes are 0 to the largest label.
/// Throws FileError naming the file if it is missing, truncated, too long or of another type, or if the counts differ.
/// @snippet api/files.cpp idx
LOSSATLAS_API Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels);

/// How read_csv() reads a table.
struct CsvOptions {
  /// Header name or zero-based index of the target column; the last column when absent.
  std::optional<std::string> target = std::nullopt;
  /// Whether the first line is a header; if absent, read_csv() decides from the table and refuses an ambiguous one.
  std::optional<bool> header = std::nullopt;
  /// Names of classes 0, 1, ... as spelt in the target column; if empty, the texts of this file in sorted order.
  std::vector<std::string> classes = {};
  /// Treat whole numbers 0..K−1 as real targets, not as labels.
  bool real = false;
};

/// Reads a table of numbers, with or without a header line, fields optionally quoted. A target column with text becomes
/// labels, numbered in the order of options.classes or else of this file's own texts, and named after them. A numeric
/// one becomes a real target (N, 1), unless all its values are whole numbers 0..K−1, each present, with 2 ≤ K ≤ 1000
/// and N > K: these are labels. The first line is a header if it has text outside the target column but no number, and
/// no later line has text there.
/// Throws FileError with line and column, counted from 1, for ragged rows, missing values (empty, ?, NA, nan, null,
/// none), an input that is not a finite number, an unlisted label, a table without rows, or a first line that may be
/// either; InvalidArgument for class names that repeat or that accompany real targets.
/// @snippet api/files.cpp csv
LOSSATLAS_API Dataset read_csv(const std::filesystem::path& file, CsvOptions options = {});

/// How read_npy_dataset() reads its targets.
struct NpyDatasetOptions {
  /// Treat integers (N) or (N, C) as real targets, not as labels.
  bool real = false;
};

/// Flattens inputs (N, ...) to (N, d). Integer targets (N) or (N, 1) are labels of classes 0 to the largest; floats (N)
/// or (N, C) are real targets.
/// Throws FileError on malformed files or when the counts differ.
/// @snippet api/files.cpp npy data
LOSSATLAS_API Dataset read_npy_dataset(const std::filesystem::path& inputs, const std::filesystem::path& targets,
                                       NpyDatasetOptions options = {});

/// Reads the data set that a one-line description names:
///   idx:IMAGES,LABELS[@first:last]   csv:FILE[,target=COLUMN]   npy:X.npy,Y.npy   glyphs:N[,seed=S]   tanh3
/// Any of them may end in `@first:last` (a slice). csv also takes, separated by commas, `target=COLUMN`,
/// `header=yes|no`, `standardise`, `real` and `classes=A,B,...`. The class names end at the next option with `=`, at
/// `standardise`, or at the slice; a name in double quotes may contain anything. npy takes `real`. Throws
/// InvalidArgument on a wrong description.
/// @snippet api/files.cpp csv
LOSSATLAS_API Dataset read_dataset(std::string_view spec);

/// The same for a model made for `like`: real targets if `like` has them, else labels with the numbering and the class
/// count of `like`; texts of a CSV file are looked up in the class names of `like` (or 0, 1, ...). Throws
/// InvalidArgument if labels meet real targets, if `classes=` differs, or for numbers out of range; FileError for
/// unknown names.
/// @snippet api/files.cpp csv
LOSSATLAS_API Dataset read_dataset(std::string_view spec, const Dataset& like);

}  // namespace lossatlas
