// Who reads or writes which file, for messages of one line that name both.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.hpp"
#include "base/host_memory.hpp"

namespace lossatlas {

/// Text of a file in quotes, its first 60 bytes, as one_line() has them.
std::string printable(std::string_view text);
/// A path in quotes, as one_line() has it.
std::string display(const std::filesystem::path& file);

/// The file and the public function that a FileError names.
struct FileContext {
  std::filesystem::path file;
  std::string_view function;

  /// Throws E "[function] received FILE " and the parts.
  template <class E = FileError, class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw E(message(function, "received ", display(file), ' ', parts...));
  }
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(parts...);
  }
  /// Throws FileError unless `bytes` of memory can be had, before they are asked for.
  void require_memory(double bytes) const {
    require(fits_host_memory(bytes), "which needs ", bytes, " bytes of memory, expected at most the ",
            available_host_memory(), " available");
  }
};

}  // namespace lossatlas
