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

/// Images (N, rows, cols) and labels (N) in IDX format, plain or gzip (told by content); bytes are scaled to [0, 1].
/// The classes are 0 to the largest label.
/// Throws FileError naming the file when it is missing, truncated, too long, of another type, or the counts differ.
LOSSATLAS_API Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels);

struct CsvOptions {
  /// Header name or zero-based index of the target column; the last column when absent.
  std::optional<std::string> target = std::nullopt;
  /// Whether the first line is a header; when absent, that is told by the table, which is refused where it cannot be.
  std::optional<bool> header = std::nullopt;
  /// Names of the classes 0, 1, ... as the target column has them; when empty, the texts of this file in sorted order.
  std::vector<std::string> classes = {};
  /// Whether whole numbers 0..K−1 are real targets all the same, not labels.
  bool real = false;
};

/// A table of numbers, with or without a header line, fields optionally quoted. A target column with text is made
/// into labels, numbered in the order of options.classes or else of this file's own texts, and named; a numeric one into
/// a real target (N, 1), unless all its values are whole numbers 0..K−1, each present, with 2 ≤ K ≤ 1000 and N > K,
/// which are labels. The first line is a header if it has text outside the target column, no number, and no later line
/// has text there.
/// Throws FileError with line and column, from 1, on ragged rows, missing values (empty, ?, NA, nan, null, none), an
/// input that is not a finite number, a label that isn't listed, no rows, or a first line that may be either;
/// InvalidArgument on a list of classes that are not different or beside real targets.
LOSSATLAS_API Dataset read_csv(const std::filesystem::path& file, CsvOptions options = {});

struct NpyDatasetOptions {
  /// Whether integers are real targets (N) or (N, C), not labels.
  bool real = false;
};

/// inputs (N, ...) flattened to (N, d); targets: integers (N) or (N, 1) are labels of classes 0 to the largest, floats
/// (N) or (N, C) real targets.
/// Throws FileError on malformed files or when the counts differ.
LOSSATLAS_API Dataset read_npy_dataset(const std::filesystem::path& inputs, const std::filesystem::path& targets,
                                       NpyDatasetOptions options = {});

/// A data set by its one-line description:
///   idx:IMAGES,LABELS[@first:last]   csv:FILE[,target=COLUMN]   npy:X.npy,Y.npy   glyphs:N[,seed=S]   tanh3
/// Any of them may end in `@first:last` (a slice). csv takes, with commas between, `target=COLUMN`, `header=yes|no`,
/// `standardise`, `real` and `classes=A,B,...`, whose names end at the next option with `=`, at `standardise`, or at the
/// slice, and may be in double quotes with anything inside; npy takes `real`. Throws InvalidArgument on a wrong
/// description.
LOSSATLAS_API Dataset read_dataset(std::string_view spec);

/// The same for a model made for `like`: with real targets if those of `like` are, else with labels numbered as there,
/// of as many classes, those of a CSV file by the names of `like` (or 0, 1, ...). Throws InvalidArgument when labels and
/// real targets meet, on other `classes=` and on numbers beyond, FileError on other names.
LOSSATLAS_API Dataset read_dataset(std::string_view spec, const Dataset& like);

}  // namespace lossatlas
