#include "file/output_path.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace lossatlas {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // Linux's own limit

template <class E>
[[noreturn]] void fail(const FileContext& context, int error) {
  context.fail<E>("which cannot be written (", std::error_code(error, std::generic_category()).message(),
                  "), expected a path in an existing writable folder with space left");
}

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : "."; }

bool same(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

}  // namespace

fs::path followed(const FileContext& context) {
  struct stat wanted {};
  struct stat found {};
  const bool exists = ::stat(context.file.c_str(), &wanted) == 0;
  if (exists && !S_ISREG(wanted.st_mode)) return context.file;
  fs::path end = context.file;
  std::error_code ignored;
  for (int links = 0; fs::is_symlink(end, ignored); ++links) {
    context.require(links < kMostLinks,
                    "which is a symbolic link that leads in a loop, expected one that leads to a file; remove it");
    end = end.parent_path() / fs::read_symlink(end, ignored);
  }
  context.require(!exists || (::stat(end.c_str(), &found) == 0 && same(wanted, found)),
                  "which is a symbolic link to a file without a name, expected one that can be replaced");
  return end;
}

bool names(const fs::path& file, int descriptor) {
  struct stat named {};
  struct stat opened {};
  return ::lstat(file.c_str(), &named) == 0 && ::fstat(descriptor, &opened) == 0 && same(named, opened);
}

void require_named(const fs::path& file, int descriptor, const FileContext& context) {
  if (names(file, descriptor)) return;
  context.fail<WriteError>(
      "which another process removed or replaced while it was unfinished, expected it to be left alone; run it again");
}

void fail_to_open(const FileContext& context, int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      fail<WriteError>(context, error);
    default:
      fail<FileError>(context, error);
  }
}

void fail_to_write(const FileContext& context, int error) { fail<WriteError>(context, error); }

void require_space(const fs::path& file, std::int64_t bytes, const FileContext& context) {
  std::error_code failed;
  const fs::space_info disk = fs::space(folder_of(file), failed);
  const auto needed = static_cast<std::uintmax_t>(std::max<std::int64_t>(bytes, 0));
  // Some virtual file systems report no capacity: they have no limit to compare with.
  if (failed || disk.capacity == 0 || needed <= disk.available) return;
  const std::string text = "which would take " + std::to_string(bytes) + " bytes more, expected at most the " +
                           std::to_string(disk.available) +
                           " bytes free on that disk; write less, choose another disk, or make room";
  if (needed > disk.capacity) context.fail(text);
  context.fail<WriteError>(text);
}

void sync_folder(const fs::path& file) {
  const int descriptor = ::open(folder_of(file).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);  // some file systems refuse it for folders, which cannot be helped
  ::close(descriptor);
}

}  // namespace lossatlas
