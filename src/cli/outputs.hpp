// What a command writes, and what is checked of it: early what costs nothing, then that it is no file of the input.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <lossatlas/grid.hpp>

#include "session.hpp"

namespace lossatlas::cli {

/// A file that a command writes because of an option.
struct OutputFile {
  std::string_view option;
  std::filesystem::path file;
  std::string_view ending;  ///< that says what is in it, such as ".png"; empty where the command chose the name
};

/// Throws FileError unless the file can be made: its folder exists and may be written, no links in a loop. A name that
/// ends in something else than `ending` is refused as well, upper case or lower, unless it is a device's; a name may
/// also end in nothing. Throws WriteError when the disk is full.
void check_output_file(const OutputFile& output);
/// Throws FileError unless `folder` is a writable folder or can be made, WriteError when the disk is full.
void check_output_folder(std::string_view option, const std::filesystem::path& folder);

/// Once all inputs are read: throws FileError when one of the outputs is a file that was read or that another output
/// writes, by whatever name, or is there and cannot be replaced.
void check_apart(const std::vector<OutputFile>& outputs, const Session& session);

/// Makes the folder of --out if it is missing. Throws FileError, WriteError when the disk is full.
void make_folder(const std::filesystem::path& folder);

/// Throws WriteError when the losses of a grid do not fit on the disk of `folder`, InvalidArgument when they never
/// could.
void check_disk(const Grid& grid, std::int64_t heads, const std::filesystem::path& folder);

}  // namespace lossatlas::cli
