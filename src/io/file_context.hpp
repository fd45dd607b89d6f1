// Who reads or writes which file, for messages of one line that name both.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "check.hpp"

namespace lossatlas {

/// Text of a file in quotes, its first 60 bytes, as one_line() has them.
std::string printable(std::string_view text);
/// A path in quotes, as one_line() has it.
std::string display(const std::filesystem::path& file);

/// The file and the public function that a FileError names.
struct FileContext {
  std::filesystem::path file;
  std::string_view function;

  /// Throws FileError "[function] received FILE " and the parts.
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw FileError(message(function, "received ", display(file), ' ', parts...));
  }
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(parts...);
  }
};

}  // namespace lossatlas
