#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>

#include <gtest/gtest.h>
#include <lossatlas/array.hpp>

#include "expect_error.hpp"
#include "file/atomic_file.hpp"
#include "file_size_limit.hpp"
#include "sample_files.hpp"

namespace {

std::vector<std::string> synced;  // what fsync() was called for, in order

}  // namespace

/// In place of the C library's.
extern "C" int fsync(int descriptor) {
  struct stat status {};
  ::fstat(descriptor, &status);
  synced.push_back(S_ISDIR(status.st_mode) ? "folder" : std::to_string(status.st_size) + " bytes");
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

namespace lossatlas {
namespace {

using testing::bytes_of;
using testing::FileSizeLimit;
using testing::TemporaryFolder;

TEST(AtomicFile, AppearsOnlyAtCommit) {
  const TemporaryFolder folder;
  const auto target = folder.file("out.bin", "old");
  {
    AtomicFile file(target, "test");
    file.write("new");
    EXPECT_EQ(bytes_of(target), "old");
    file.commit();
  }
  EXPECT_EQ(bytes_of(target), "new");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, LastsOnceItIsCommitted) {
  const TemporaryFolder folder;
  synced.clear();
  write_file(folder / "out.bin", "new", "test");
  EXPECT_EQ(synced, (std::vector<std::string>{"3 bytes", "folder"}));
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  const auto target = folder.file("out.bin", "old");
  AtomicFile(target, "test").write("new");
  EXPECT_EQ(bytes_of(target), "old");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, JoinsPiecesSmallAndLarge) {
  const TemporaryFolder folder;
  std::string expected;
  AtomicFile file(folder / "out.bin", "test");
  for (const std::size_t size : {1, 300000, 0, 7, 262143, 2, 262144, 5}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    file.write(piece);
    expected += piece;
  }
  file.commit();
  EXPECT_EQ(bytes_of(folder / "out.bin"), expected);
}

TEST(AtomicFile, FailsOnAFullDiskAndKeepsTheTarget) {
  const TemporaryFolder folder;
  const auto target = folder.file("out.npy", "old");
  const std::vector<double> values(100000, 1.0);
  const std::vector<std::int64_t> shape = {100000};
  {
    const FileSizeLimit limit(65536);
    EXPECT_ERROR(write_npy(target, shape, values), WriteError, "out.npy\" which cannot be written (File too large)");
    EXPECT_ERROR(write_file(target, std::string(70000, 'x'), "test"), WriteError, "File too large");
  }
  EXPECT_EQ(bytes_of(target), "old");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, WritesToADeviceWithoutReplacingIt) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  EXPECT_ERROR(write_file("/dev/full", "x", "test"), WriteError, "No space left on device");
  struct stat status {};
  ASSERT_EQ(::stat("/dev/full", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_NO_THROW(write_file("/dev/null", "x", "test"));
}

TEST(AtomicFile, NamesATargetThatCannotBeWritten) {
  const TemporaryFolder folder;
  EXPECT_ERROR(write_file(folder / "none/out", "x", "test"), FileError, "none/out\" which cannot be written (No such");
  EXPECT_ERROR(write_file(folder.path(), "x", "test"), FileError, "Is a directory");
  EXPECT_ERROR(write_file(folder / "new/", "x", "test"), FileError, "cannot be written");
  EXPECT_ERROR(write_file("", "x", "test"), FileError, "cannot be written");
  EXPECT_ERROR(write_file(folder / std::string(300, 'n'), "x", "test"), FileError, "File name too long");
  folder.file("plain", "");
  EXPECT_ERROR(write_file(folder / "plain/out", "x", "test"), FileError, "Not a directory");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, RespectsPermissions) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  const TemporaryFolder folder;
  const auto target = folder.file("out", "old");
  std::filesystem::permissions(target, std::filesystem::perms::owner_read);
  EXPECT_ERROR(write_file(target, "x", "test"), FileError, "Permission denied");
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT_ERROR(write_file(folder / "new", "x", "test"), FileError, "Permission denied");
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST(AtomicFile, FollowsALinkAndKeepsTheMode) {
  const TemporaryFolder folder;
  const auto target = folder.file("out", "old");
  constexpr auto kMode = std::filesystem::perms::owner_all;
  std::filesystem::permissions(target, kMode);
  std::filesystem::create_symlink(target, folder / "link");
  write_file(folder / "link", "new", "test");
  EXPECT_EQ(bytes_of(target), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(std::filesystem::status(target).permissions(), kMode);
}

TEST(AtomicFile, KeepsADanglingLinkAndRefusesALoop) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("there", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  write_file(folder / "dangling", "new", "test");
  EXPECT_EQ(bytes_of(folder / "there"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "dangling"));
  EXPECT_ERROR(write_file(folder / "loop", "x", "test"), FileError, "in a loop");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "loop"));
  EXPECT_EQ(folder.count(), 3);
}

TEST(AtomicFile, AFileInThePlaceOfItsOwnIsNotTakenForIt) {
  for (const bool replaced : {false, true}) {
    const TemporaryFolder folder;
    const auto target = folder.file("out", "old");
    std::filesystem::path own;
    {
      AtomicFile file(target, "test");
      file.write("new");
      for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        if (entry.path() != target) own = entry.path();
      }
      std::filesystem::remove(own);
      if (replaced) folder.file(own.filename().string(), "another's");
      EXPECT_ERROR(file.commit(), WriteError, "removed or replaced");
    }
    EXPECT_EQ(bytes_of(target), "old");
    EXPECT_EQ(bytes_of(own), replaced ? "another's" : "");
  }
}

TEST(AtomicFile, SaysBeforehandThatTheDiskIsTooSmall) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "out", "test");
  EXPECT_NO_THROW(file.require_space(1));
  EXPECT_ERROR(file.require_space(std::numeric_limits<std::int64_t>::max()), FileError, "bytes free on that disk");
}

TEST(AtomicFile, KeepsMessagesOnOneLine) {
  const TemporaryFolder folder;
  EXPECT_ERROR(write_file(folder / "a\nb/c", "x", "test"), FileError, "a\\x0ab/c");
}

}  // namespace
}  // namespace lossatlas
