#include <lossatlas/output_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "sample_files.hpp"

namespace lossatlas {
namespace {

using testing::bytes_of;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

TEST(OutputFile, FollowsLinksToWhereTheFileWillBe) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "deep/er");
  folder.file("deep/there", "old");
  fs::create_symlink("deep/there", folder / "one");
  fs::create_symlink("one", folder / "two");
  fs::create_symlink("../deep/er/new", folder / "deep/dangling");
  fs::create_symlink(folder / "deep", folder / "absolute");
  EXPECT_TRUE(fs::equivalent(followed(folder / "two"), folder / "deep/there"));
  EXPECT_TRUE(fs::weakly_canonical(followed(folder / "absolute/dangling")) ==
              fs::canonical(folder / "deep/er") / "new");
  for (const fs::path& plain : {folder / "plain", fs::path("absent/plain"), fs::path("/dev/null"), fs::path()}) {
    EXPECT_TRUE(followed(plain) == plain) << plain.string();
  }
}

TEST(OutputFile, RefusesLinksThatLeadNowhere) {
  const TemporaryFolder folder;
  fs::create_symlink("self", folder / "self");
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  for (const char* name : {"self", "a", "b"}) {
    EXPECT_ERROR(followed(folder / name), FileError, "in a loop");
    EXPECT_ERROR(write_text(folder / name, "x"), FileError, "in a loop");
    EXPECT_TRUE(fs::is_symlink(folder / name));
  }
  const auto file = folder.file("file", "old");
  const int descriptor = ::open(file.c_str(), O_WRONLY);
  const fs::path link = "/proc/self/fd/" + std::to_string(descriptor);
  if (!fs::is_symlink(link)) GTEST_SKIP() << "no /proc here";
  write_text(link, "new");
  EXPECT_EQ(bytes_of(file), "new") << "a descriptor's link is followed";
  fs::remove(file);
  EXPECT_ERROR(write_text(link, "x"), FileError, "without a name");
  ::close(descriptor);
  EXPECT_EQ(folder.count(), 3);
}

TEST(OutputFile, TextAppearsWholeThroughLinks) {
  const TemporaryFolder folder;
  fs::create_symlink("there", folder / "dangling");
  write_text(folder / "dangling", "new");
  EXPECT_EQ(bytes_of(folder / "there"), "new");
  EXPECT_TRUE(fs::is_symlink(folder / "dangling"));
  EXPECT_ERROR(write_text(folder / "absent/there", "x"), FileError, "absent/there");
  fs::create_symlink("absent/there", folder / "farther");
  EXPECT_ERROR(write_text(folder / "farther", "x"), FileError, "farther");
  EXPECT_TRUE(fs::is_symlink(folder / "farther"));
  EXPECT_EQ(folder.count(), 3);
}

}  // namespace
}  // namespace lossatlas
