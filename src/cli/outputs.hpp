// What a command writes, and its checks: early what costs nothing, later that no output is an input.
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
  std::string_view ending;  ///< says what is in it, such as ".png"; empty if the command chose the name
};

/// Throws FileError unless the file can be made: its folder must exist and be writable, and links must not form a loop.
/// Also refuses a name with an ending other than `ending` (in either case), unless it is a device's; a name may have no
/// ending. Throws WriteError if the disk is full.
void check_output_file(const OutputFile& output);
/// Throws FileError unless `folder` is a writable folder or can be made, WriteError if the disk is full.
void check_output_folder(std::string_view option, const std::filesystem::path& folder);

/// Call it once all inputs are read: throws FileError if an output is a file that was read or that another output
/// writes, under whatever name, or if it exists and cannot be replaced.
void check_apart(const std::vector<OutputFile>& outputs, const Session& session);

/// Makes the folder of --out if it is missing. Throws FileError, or WriteError if the disk is full.
void make_folder(const std::filesystem::path& folder);

/// Throws WriteError if the losses of a grid do not fit on the disk of `folder`, InvalidArgument if they never could.
void check_disk(const Grid& grid, std::int64_t heads, const std::filesystem::path& folder);

}  // namespace lossatlas::cli
