#include "file/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "file/opened_files.hpp"

namespace lossatlas {
namespace {

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  return '"' + one_line(text.substr(0, kLongest)) + (text.size() > kLongest ? "...\"" : "\"");
}

std::string display(const std::filesystem::path& file) { return '"' + one_line(file.native()) + '"'; }

InputFile::InputFile(std::filesystem::path file, std::string_view function) : context_{std::move(file), function} {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  descriptor_ = ::open(context_.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
    context_.fail<Error>("which cannot be opened (", reason(errno), "), expected room for one more open file");
  }
  if (descriptor_ < 0) context_.fail("which cannot be opened (", reason(errno), "), expected a readable file");
  struct stat status {};
  const bool regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    ::close(descriptor_);
    context_.fail("which is ", S_ISDIR(status.st_mode) ? "a directory" : "not a regular file",
                  ", expected a regular file; give the path of a file on disk");
  }
  size_ = status.st_size;
  note_opened(context_.file, status.st_dev, status.st_ino);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::span<std::byte> bytes) {
  context_.require(static_cast<std::int64_t>(bytes.size()) <= remaining(), "of ", size_, " bytes, expected at least ",
                   position_ + static_cast<std::int64_t>(bytes.size()), "; the file is truncated");
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), position_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) context_.fail("which cannot be read (", reason(errno), "), expected a readable file");
    if (count == 0) context_.fail("which became shorter while it was read, expected ", size_, " bytes");
    position_ += count;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void InputFile::seek(std::int64_t position) { position_ = position; }

std::string read_file(const std::filesystem::path& file, std::string_view function) {
  InputFile input(file, function);
  input.context().require_memory(static_cast<double>(input.size()));
  std::string bytes(static_cast<std::size_t>(input.size()), '\0');
  input.read(std::as_writable_bytes(std::span<char>(bytes)));
  return bytes;
}

}  // namespace lossatlas
