#include "outputs.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <system_error>

#include <lossatlas/output_file.hpp>

#include "common.hpp"

namespace lossatlas::cli {

namespace fs = std::filesystem;

namespace {

std::string received(std::string_view option, const fs::path& file) {
  return std::string(option) + ": received " + file.string();
}

/// Throws FileError with the text, or WriteError if the path is not to blame.
[[noreturn]] void fail(int error, const std::string& text) {
  if (error == ENOSPC || error == EDQUOT || error == EIO) {
    throw WriteError(text + " (" + std::error_code(error, std::generic_category()).message() + ")");
  }
  throw FileError(text);
}

/// 0 if an entry can be made in `folder`, otherwise why not; permissions alone do not tell (read-only disks, root).
int probe(const fs::path& folder) {
  // A nameless file leaves nothing behind if the process is killed at this moment.
  if (const int nameless = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600); nameless >= 0) {
    close(nameless);
    return 0;
  }
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return errno;
  std::string entry = (folder / ".lossatlas-XXXXXX").string();
  return mkdtemp(entry.data()) != nullptr && rmdir(entry.c_str()) == 0 ? 0 : errno;
}

/// The folder itself or the nearest one above it that exists, even as a dangling link.
fs::path existing_ancestor(fs::path folder) {
  std::error_code ignored;
  folder = fs::absolute(folder.empty() ? "." : folder, ignored);
  while (!fs::exists(fs::symlink_status(folder, ignored)) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

void check_ending(const OutputFile& output) {
  std::string ending = output.file.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (ending.empty() || output.ending.empty() || ending == output.ending) return;
  throw FileError(received(output.option, output.file) + ", expected a name that ends in " +
                  std::string(output.ending) + " (or in no ending), which is what it writes");
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  if (fs::exists(a, ignored) || fs::exists(b, ignored)) return fs::equivalent(a, b, ignored);  // devices never are
  return fs::weakly_canonical(fs::absolute(followed(a)), ignored) ==
         fs::weakly_canonical(fs::absolute(followed(b)), ignored);
}

}  // namespace

void check_output_file(const OutputFile& output) {
  const auto& [option, file, ending] = output;
  const std::string start = received(option, file);
  std::error_code ignored;
  const fs::file_status status = fs::status(file, ignored);
  if (file.empty() || fs::is_directory(status)) throw FileError(start + ", expected the name of a file");
  if (fs::exists(status) && access(file.c_str(), W_OK) != 0) {
    throw FileError(start + ", expected a file that may be written");
  }
  if (fs::is_other(status)) return;
  check_ending(output);
  const fs::path end = for_file(option, [&path = file] { return followed(path); });
  check_ending({option, end, ending});
  const fs::path folder = end.has_parent_path() ? end.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, ignored)) {
    throw FileError(start + ", expected a file in an existing folder; create " + folder.string());
  }
  if (const int error = probe(folder)) fail(error, start + ", expected a folder that may be written");
}

void check_output_folder(std::string_view option, const fs::path& folder) {
  const std::string start = received(option, folder);
  const fs::path existing = existing_ancestor(folder);
  std::error_code ignored;
  if (folder.empty() || !fs::is_directory(existing, ignored)) {
    throw FileError(start + ", expected a folder; " + existing.string() + " is none");
  }
  if (const int error = probe(existing)) {
    fail(error, start + ", expected a folder that may be written; " + existing.string() + " may not");
  }
}

void check_apart(const std::vector<OutputFile>& outputs, const Session& session) {
  for (auto output = outputs.begin(); output != outputs.end(); ++output) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(output->file, ignored))) check_output_file(*output);
    const auto refuse = [&](const std::string& other) {
      throw FileError(std::string(output->option) + ": would write " + output->file.string() + ", which is also " +
                      other + ", expected a file of its own; choose another name");
    };
    if (const auto input = session.opened().find(output->file)) refuse("the input " + input->string());
    const auto other = std::find_if(outputs.begin(), output,
                                    [&](const OutputFile& earlier) { return same_file(earlier.file, output->file); });
    if (other != output) refuse("the file of " + std::string(other->option) + ", " + other->file.string());
  }
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(error.value(), received("--out", folder) + ", expected a folder: " + error.message());
}

void check_disk(const Grid& grid, std::int64_t heads, const fs::path& folder) {
  const double losses = 8.0 * static_cast<double>(grid.size()) * static_cast<double>(heads);
  std::error_code failed;
  const fs::space_info disk = fs::space(existing_ancestor(folder), failed);
  if (failed || losses <= static_cast<double>(disk.available)) return;
  char text[200];
  std::snprintf(text, sizeof text,
                "--grid: received a size that needs %.0f bytes on the disk, expected at most the %.0f available",
                losses, static_cast<double>(disk.available));
  if (losses > static_cast<double>(disk.capacity)) throw InvalidArgument(text);
  throw WriteError(text);
}

}  // namespace lossatlas::cli
