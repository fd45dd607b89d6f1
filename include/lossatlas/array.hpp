#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// A row-major array of doubles as stored in an .npy file.
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
  bool integral = false;  ///< the file held integers

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
};

/// Reads .npy version 1–3 of f2, f4, f8, i1..i8, u1..u8 or bool, either byte order, C or Fortran order.
/// Throws FileError on anything malformed or truncated; no allocation exceeds what the file's size justifies.
/// @snippet api/files.cpp npy
LOSSATLAS_API Array read_npy(const std::filesystem::path& file);
/// Writes <f8 in C order. The file appears complete or not at all. Throws FileError.
/// @snippet api/files.cpp npy
LOSSATLAS_API void write_npy(const std::filesystem::path& file, std::span<const std::int64_t> shape,
                             std::span<const double> values);

}  // namespace lossatlas
