// The header of a safetensors file: which tensor lies where, checked against the file's size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "file/input_file.hpp"

namespace lossatlas {

struct TensorEntry {
  std::string name;
  std::string dtype;  ///< F64, F32, F16 or BF16
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< in bytes from the start of the data
  std::int64_t end = 0;

  std::int64_t count() const { return (end - begin) / element_bytes(); }
  std::int64_t element_bytes() const { return dtype == "F64" ? 8 : dtype == "F32" ? 4 : 2; }
};

struct SafetensorsHeader {
  /// In the order of their data, which they fill without holes or overlaps; without counters.
  std::vector<TensorEntry> tensors;
  std::string architecture;  ///< metadata "lossatlas.network", or empty
  std::int64_t data_start = 0;
};

/// Throws FileError on anything malformed.
SafetensorsHeader read_safetensors_header(InputFile& input);

}  // namespace lossatlas
