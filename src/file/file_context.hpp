// Who reads or writes which file, for one-line messages that name both.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.hpp"
#include "base/host_memory.hpp"

namespace lossatlas {

/// The first 60 bytes of a file's text, quoted and made printable by one_line().
std::string printable(std::string_view text);
/// A path, quoted and made printable by one_line().
std::string display(const std::filesystem::path& file);

/// The file and the public function that a FileError names.
struct FileContext {
  std::filesystem::path file;
  std::string_view function;

  /// Throws E with "[function] received FILE " followed by the parts.
  template <class E = FileError, class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw E(message(function, "received ", display(file), ' ', parts...));
  }
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(parts...);
  }
  /// Throws FileError unless `bytes` of memory are available; call it before allocating.
  void require_memory(double bytes) const {
    require(fits_host_memory(bytes), "which needs ", bytes, " bytes of memory, expected at most the ",
            available_host_memory(), " available");
  }
};

}  // namespace lossatlas
