// The header of an .npy file: a Python dict literal of three fixed keys, parsed strictly.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "file/file_context.hpp"
#include "file/foreign_file.hpp"

namespace lossatlas {

struct NpyHeader {
  char kind = 'f';  ///< f, i, u or b
  std::int64_t bytes = 8;
  std::endian order = std::endian::little;
  bool fortran = false;
  std::vector<std::int64_t> shape;
};

/// Throws FileError naming `context` on anything but a dict of 'descr', 'fortran_order' and 'shape'.
NpyHeader parse_npy_header(std::string_view text, const FileContext& context);

/// Everything before the values, for <f8 in C order: a multiple of 64 bytes.
std::string npy_header_text(std::span<const std::int64_t> shape);

}  // namespace lossatlas
