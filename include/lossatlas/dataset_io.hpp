#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <lossatlas/dataset.hpp>
#include <lossatlas/export.hpp>

namespace lossatlas {

/// Images (N, rows, cols) and labels (N) in IDX format, plain or gzip (told by content); bytes are scaled to [0, 1].
/// The classes are 0 to the largest label.
/// Throws FileError naming the file when it is missing, truncated, too long, of another type, or the counts differ.
LOSSATLAS_API Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels);

struct CsvOptions {
  /// Header name or zero-based index of the target column; the last column when absent.
  std::optional<std::string> target;
};

/// A table of numbers, with or without a header line, fields optionally quoted. A target column with text is made
/// into labels numbered in sorted order of the texts that this file has; a numeric one into a real target (N, 1), unless all its values are whole
/// numbers 0..K−1, each present, with 2 ≤ K ≤ 1000 and N > K, which are labels.
/// Throws FileError with the line number on ragged rows, a non-numeric or non-finite input, or no rows.
LOSSATLAS_API Dataset read_csv(const std::filesystem::path& file, CsvOptions options = {});

/// inputs (N, ...) flattened to (N, d); targets: integers (N) are labels of classes 0 to the largest, floats (N) or (N, C) real targets.
/// Throws FileError on malformed files or when the counts differ.
LOSSATLAS_API Dataset read_npy_dataset(const std::filesystem::path& inputs, const std::filesystem::path& targets);

/// A data set by its one-line description:
///   idx:IMAGES,LABELS[@first:last]   csv:FILE[,target=COLUMN]   npy:X.npy,Y.npy   glyphs:N[,seed=S]   tanh3
/// Any of them may end in `@first:last` (a slice) and csv takes `,standardise`. Throws InvalidArgument on a wrong
/// description.
LOSSATLAS_API Dataset read_dataset(std::string_view spec);

}  // namespace lossatlas
