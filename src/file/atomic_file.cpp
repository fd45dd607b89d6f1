#include "file/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "file/output_path.hpp"

namespace lossatlas {
namespace {

static_assert(std::endian::native == std::endian::little, "the writers store doubles as they lie in memory");

constexpr std::size_t kBuffer = std::size_t{1} << 18;

// Not derived from the target's name, which may already have the greatest length.
std::string unique_name() {
  static std::atomic<std::uint64_t> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return ".lossatlas-" + std::to_string(::getpid()) + '-' + std::to_string(counter++) + '-' + std::to_string(now);
}

int write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return 0;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target, std::string_view function)
    : context_{std::move(target), function}, target_(followed(context_)) {
  buffer_.reserve(kBuffer);
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail_to_open(context_, EISDIR);
  if (!target_.has_filename()) fail_to_open(context_, ENOENT);
  if (exists && ::access(target_.c_str(), W_OK) != 0) fail_to_open(context_, errno);
  if (exists && !S_ISREG(status.st_mode)) {
    // Without O_NONBLOCK, opening a named pipe would wait for a reader.
    descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    context_.require(descriptor_ >= 0 || errno != ENXIO, "which is a named pipe that nobody reads, expected a reader");
    if (descriptor_ < 0) fail_to_open(context_, errno);
    ::fcntl(descriptor_, F_SETFL, O_WRONLY);
  } else {
    open_temporary();
    if (exists) ::fchmod(descriptor_, status.st_mode & 0777);
  }
}

void AtomicFile::open_temporary() {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    temporary_ = target_.parent_path() / unique_name();
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    if (errno != EEXIST) break;
  }
  fail_to_open(context_, errno);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  if (!temporary_.empty() && names(temporary_, descriptor_)) ::unlink(temporary_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

void AtomicFile::require_space(std::int64_t bytes) const {
  if (!temporary_.empty()) lossatlas::require_space(temporary_, bytes, context_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() < kBuffer) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  } else if (const int error = write_all(descriptor_, bytes); error != 0) {
    fail_to_write(context_, error);
  }
}

void AtomicFile::write(std::span<const double> values) { write(std::as_bytes(values)); }

void AtomicFile::write_u64(std::uint64_t value) { write(std::as_bytes(std::span(&value, 1))); }

void AtomicFile::flush() {
  if (const int error = write_all(descriptor_, buffer_); error != 0) fail_to_write(context_, error);
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  const bool direct = temporary_.empty();
  if (!direct && ::fsync(descriptor_) != 0) fail_to_write(context_, errno);
  if (!direct) require_named(temporary_, descriptor_, context_);
  const int descriptor = std::exchange(descriptor_, -1);
  int error = ::close(descriptor) != 0 ? errno : 0;
  if (!direct && error == 0 && ::rename(temporary_.c_str(), target_.c_str()) != 0) error = errno;
  if (error != 0) {
    if (!direct) ::unlink(temporary_.c_str());
    fail_to_write(context_, error);
  }
  if (!direct) sync_folder(target_);
}

void write_file(const std::filesystem::path& target, std::string_view bytes, std::string_view function) {
  AtomicFile file(target, function);
  file.write(bytes);
  file.commit();
}

}  // namespace lossatlas
