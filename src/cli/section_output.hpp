// What `section` and `merge` check before they write losses, and the pictures made from the finished file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common.hpp"

namespace lossatlas::cli {

/// An option and the file that it names.
struct NamedFile {
  std::string_view option;
  std::filesystem::path file;
};

/// --out, --png and --vti.
struct SectionOutputs {
  std::string out;
  std::string png;
  std::string vti;

  /// Adds the options; returns --out.
  CLI::Option* add_to(CLI::App& command);
  std::vector<NamedFile> named() const;
  /// Throws FileError unless all of them can be made, none is another one's file or one of `inputs`, by any path.
  void check_files(const std::vector<NamedFile>& inputs) const;
  /// Throws InvalidArgument when the pictures cannot show such a grid, or the disk has no room for --vti.
  void check_pictures(const Grid& grid, std::int64_t heads) const;
  /// From the losses in --out.
  void write_pictures(const Grid& grid, const SectionFileReport& report, const std::string& title) const;
};

}  // namespace lossatlas::cli
