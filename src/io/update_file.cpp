#include "io/update_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace lossatlas {
namespace {

constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;  // a named pipe would wait for a reader

struct stat status_of(int descriptor) {
  struct stat status {};
  ::fstat(descriptor, &status);
  return status;
}

}  // namespace

UpdateFile::UpdateFile(std::filesystem::path file, std::string_view function, int descriptor)
    : context_{std::move(file), function}, descriptor_(descriptor) {}

UpdateFile::UpdateFile(UpdateFile&& other) noexcept
    : context_(std::move(other.context_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

UpdateFile& UpdateFile::operator=(UpdateFile&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

UpdateFile::~UpdateFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

UpdateFile UpdateFile::create(const std::filesystem::path& file, std::string_view function) {
  UpdateFile made(file, function, -1);  // whatever asks for memory comes before the file is there
  made.descriptor_ = ::open(file.c_str(), kFlags | O_CREAT | O_EXCL, 0666);
  if (made.descriptor_ < 0) made.fail(errno);
  return made;
}

std::optional<UpdateFile> UpdateFile::open(const std::filesystem::path& file, std::string_view function) {
  UpdateFile opened(file, function, -1);
  opened.descriptor_ = ::open(file.c_str(), kFlags);
  if (opened.descriptor_ < 0 && errno == ENOENT) return std::nullopt;
  if (opened.descriptor_ < 0) opened.fail(errno);
  opened.context_.require(S_ISREG(status_of(opened.descriptor_).st_mode), "which is not a regular file, expected one");
  return opened;
}

void UpdateFile::fail(int error) const {
  context_.fail("which cannot be written (", std::error_code(error, std::generic_category()).message(),
                "), expected a writable folder with space left");
}

std::int64_t UpdateFile::size() const { return status_of(descriptor_).st_size; }

std::int64_t UpdateFile::allocated() const {
  constexpr std::int64_t kBlock = 512;  // of st_blocks, whatever the file system's own is
  return kBlock * status_of(descriptor_).st_blocks;
}

bool UpdateFile::lock() const { return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

bool UpdateFile::linked() const { return status_of(descriptor_).st_nlink > 0; }

std::size_t UpdateFile::read(std::int64_t offset, std::span<std::byte> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        ::pread(descriptor_, bytes.data() + done, bytes.size() - done, offset + static_cast<std::int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      context_.fail("which cannot be read (", std::error_code(errno, std::generic_category()).message(),
                    "), expected a readable file");
    }
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void UpdateFile::write(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(errno);
    offset += count;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void UpdateFile::truncate(std::int64_t size) {
  if (::ftruncate(descriptor_, size) != 0) fail(errno);
}

void UpdateFile::sync() {
  if (::fdatasync(descriptor_) != 0) fail(errno);
}

void UpdateFile::rename(const std::filesystem::path& target) {
  struct stat old {};
  if (::stat(target.c_str(), &old) == 0) ::fchmod(descriptor_, old.st_mode & 0777);
  if (::rename(context_.file.c_str(), target.c_str()) != 0) fail(errno);
  context_.file = target;
  sync_folder(target);
}

void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);  // some file systems refuse it for folders: nothing more can be done there
  ::close(descriptor);
}

}  // namespace lossatlas
