#include "file/opened_files.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace lossatlas {
namespace {

thread_local OpenedFiles* current = nullptr;

}  // namespace

OpenedFiles::OpenedFiles() : outer_(std::exchange(current, this)) {}

OpenedFiles::~OpenedFiles() { current = outer_; }

std::optional<std::filesystem::path> OpenedFiles::find(const std::filesystem::path& file) const {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  const auto same = [&](const Entry& entry) { return entry.device == status.st_dev && entry.inode == status.st_ino; };
  const auto found = std::ranges::find_if(entries_, same);
  return found == entries_.end() ? std::nullopt : std::optional(found->file);
}

void note_opened(const std::filesystem::path& file, std::uint64_t device, std::uint64_t inode) {
  if (current != nullptr) current->entries_.push_back({file, device, inode});
}

}  // namespace lossatlas
