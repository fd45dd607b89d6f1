#include "file/update_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "file/output_path.hpp"

namespace lossatlas {
namespace {

constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;  // else a named pipe would wait for a reader

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
  UpdateFile made(file, function, -1);  // allocates before the file exists
  made.descriptor_ = ::open(file.c_str(), kFlags | O_CREAT | O_EXCL, 0666);
  if (made.descriptor_ < 0) {
    made.context_.require(errno != EEXIST, "which exists, expected no such file yet; another process has begun it");
    fail_to_open(made.context_, errno);
  }
  made.hold();
  return made;
}

std::optional<UpdateFile> UpdateFile::open(const std::filesystem::path& file, std::string_view function) {
  for (;;) {
    UpdateFile opened(file, function, -1);
    opened.descriptor_ = ::open(file.c_str(), kFlags);
    if (opened.descriptor_ < 0 && errno == ENOENT) return std::nullopt;
    if (opened.descriptor_ < 0) {
      opened.context_.require(errno != ELOOP, "which is a symbolic link, expected a regular file; remove the link");
      fail_to_open(opened.context_, errno);
    }
    opened.context_.require(S_ISREG(status_of(opened.descriptor_).st_mode),
                            "which is not a regular file, expected one");
    opened.hold();
    if (names(file, opened.descriptor_)) return opened;  // else the process using it has just finished
  }
}

void UpdateFile::hold() const {
  context_.require(::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK,
                   "which another process is using, expected an unfinished run; wait for it to end");
}

std::int64_t UpdateFile::size() const { return status_of(descriptor_).st_size; }

std::int64_t UpdateFile::allocated() const {
  constexpr std::int64_t kBlock = 512;  // the unit of st_blocks on every file system
  return kBlock * status_of(descriptor_).st_blocks;
}

bool UpdateFile::named() const { return names(context_.file, descriptor_); }

void UpdateFile::require_named() const { lossatlas::require_named(context_.file, descriptor_, context_); }

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
    if (count < 0) fail_to_write(context_, errno);
    offset += count;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void UpdateFile::truncate(std::int64_t size) {
  if (::ftruncate(descriptor_, size) != 0) fail_to_write(context_, errno);
}

void UpdateFile::sync() {
  if (::fdatasync(descriptor_) != 0) fail_to_write(context_, errno);
}

void UpdateFile::rename(const std::filesystem::path& target) {
  struct stat old {};
  if (::stat(target.c_str(), &old) == 0) ::fchmod(descriptor_, old.st_mode & 0777);
  require_named();
  if (::rename(context_.file.c_str(), target.c_str()) != 0) fail_to_write(context_, errno);
  lossatlas::require_named(target, descriptor_, context_);  // throws if another file took the name at the last moment
  context_.file = target;
  sync_folder(target);
}

void UpdateFile::remove() const {
  if (named()) ::unlink(context_.file.c_str());
}

}  // namespace lossatlas
