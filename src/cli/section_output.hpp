// What `section` and `merge` check before they write losses, and the pictures made from the finished file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common.hpp"
#include "outputs.hpp"

namespace lossatlas::cli {

/// --out, --png and --vti.
struct SectionOutputs {
  std::string out;
  std::string png;
  std::string vti;

  /// Adds the options; returns --out.
  CLI::Option* add_to(CLI::App& command);
  /// The files that were asked for; `ending` is that of --out.
  std::vector<OutputFile> files(std::string_view ending) const;
  /// Throws InvalidArgument if the pictures cannot show such a grid, or the disk has no room for --vti.
  void check_pictures(const Grid& grid, std::int64_t heads) const;
  /// Draws them from the losses in --out.
  void write_pictures(const Grid& grid, const SectionFileReport& report, const std::string& title) const;
};

}  // namespace lossatlas::cli
