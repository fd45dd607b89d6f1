// What keeps a long run safe: checksums, the journal, and what becomes of a run when either or its losses are damaged.
#include "section_file/journal.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "file/checksum.hpp"
#include "file_size_limit.hpp"
#include "section_run.hpp"

namespace lossatlas {
namespace {

using testing::FileSizeLimit;
using testing::FormulaRun;
using testing::read_bytes;
using testing::write_bytes;
namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// CRC-32 and Adler-32 of "123456789", as their specifications print them.
TEST(Checksum, KnownAnswer) {
  EXPECT_EQ(Checksum().add(bytes_of("12345")).append(Checksum().add(bytes_of("6789")).value(), 4).value(),
            0xcbf43926091e01deULL);
  EXPECT_EQ(Checksum().append(Checksum().add(bytes_of("123456789")).value(), 9).value(), 0xcbf43926091e01deULL);
  EXPECT_EQ(Checksum().add(bytes_of("123456789")).value(), 0xcbf43926091e01deULL);
  EXPECT_EQ(Checksum().add(bytes_of("1234")).add(bytes_of("")).add(bytes_of("56789")).value(), 0xcbf43926091e01deULL);
  EXPECT_NE(Checksum().add("ab").add("c").value(), Checksum().add("a").add("bc").value());
}

RunHeader sample_header() {
  return {{{"model", "a \"name\" \xff\n", 0xffffffffffffffffULL}, {"data", "", 0}},
          Grid({Axis{-0.0, 1.0 / 3, 5}, Axis{1e300, -1e-300, 7}}),
          3,
          2,
          4,
          6};
}

TEST(RunHeader, ComesBackToTheBit) {
  const std::string magic(kMagicSize, 'm');
  const RunHeader header = sample_header();
  const std::string text = encode(header, magic, {"f", "test"});
  EXPECT_EQ(text.size() % 64, 0u);
  const auto decoded = decode_run_header(text + "what follows", magic, {"f", "test"});
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->bytes, std::ssize(text));
  EXPECT_EQ(decoded->header.grid, header.grid);
  EXPECT_TRUE(std::signbit(decoded->header.grid.axes()[0].lo));
  EXPECT_EQ(decoded->header.heads, 3);
  EXPECT_EQ(decoded->header.shard, 2);
  EXPECT_EQ(decoded->header.shards, 4);
  EXPECT_EQ(decoded->header.tile_points, 6);
  ASSERT_EQ(decoded->header.identity.size(), 2u);
  EXPECT_EQ(decoded->header.identity[0].hash, header.identity[0].hash);
  EXPECT_EQ(differences(decoded->header.identity, decoded->header.identity), "");
}

TEST(RunHeader, EveryFlippedBitAndEveryTruncationIsFound) {
  const std::string magic(kMagicSize, 'm');
  const std::string good = encode(sample_header(), magic, {"f", "test"});
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    try {
      // A longer length than the file has reads as a file that ends too early.
      EXPECT_FALSE(decode_run_header(bad, magic, {"f", "test"})) << bit;
    } catch (const FileError&) {
    }
  }
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(decode_run_header(good.substr(0, length), magic, {"f", "test"})) << length;
  }
}

TEST(RunHeader, OneThatCouldNotBeReadIsNotWritten) {
  RunHeader header = sample_header();
  header.identity[0].text = std::string(kMostHeaderBytes, 'x');
  EXPECT_ERROR(encode(header, std::string(kMagicSize, 'm'), {"f", "test"}), FileError, "65536");
}

TEST(RunHeader, DifferencesAreNamed) {
  const std::vector<IdentityPart> a = {{"model", "x", 1}, {"data", "y", 2}, {"loss", "ce", 3}};
  EXPECT_EQ(differences({{"model", "x", 9}, {"data", "z", 9}, {"loss", "ce", 3}}, a),
            "another model of the same description, data z instead of y");
  EXPECT_NE(differences(a, {{"model", "x", 1}}), "");
  EXPECT_NE(differences({{"model", "x", 1}}, a), "");
}

class JournalFile : public testing::SectionRunTest {
 protected:
  using Records = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  Records records() const {
    Records found;
    const auto journal = Journal::open(path("j"), "test");
    journal->for_each([&](std::uint64_t tile, std::uint64_t checksum) { found.emplace_back(tile, checksum); });
    return found;
  }
};

TEST_F(JournalFile, KeepsRecordsAndForgetsTheTornLastOne) {
  EXPECT_FALSE(Journal::open(path("j"), "test"));
  const std::uint64_t large = std::uint64_t{1} << 40;
  Records expected;
  {
    Journal journal = Journal::create(path("j"), "test", sample_header());
    EXPECT_ERROR(Journal::create(path("j"), "test", sample_header()), FileError, "exists");
    EXPECT_ERROR(Journal::open(path("j"), "test"), FileError, "another process");
    for (std::uint64_t k = 0; k < 10000; ++k) expected.emplace_back(large - k, 3 * k);
    for (const auto& [tile, checksum] : expected) journal.add(tile, checksum);
  }
  EXPECT_EQ(records(), expected);
  const std::string whole = read_bytes(path("j"));
  for (std::size_t torn = 1; torn < 24; ++torn) {
    write_bytes(path("j"), whole.substr(0, whole.size() - torn));
    Journal::open(path("j"), "test")->add(5, torn);
    EXPECT_EQ(records().size(), expected.size());
    EXPECT_EQ(records().back(), std::pair(std::uint64_t{5}, static_cast<std::uint64_t>(torn)));
  }
}

TEST_F(JournalFile, RecordsOfAnotherHeaderDoNotCount) {
  RunHeader header = sample_header();
  Journal::create(path("j"), "test", header).add(1, 2);
  const std::string first = read_bytes(path("j"));
  fs::remove(path("j"));
  header.identity[1].hash = 1;
  Journal::create(path("j"), "test", header).add(3, 4);
  const std::string second = read_bytes(path("j"));
  write_bytes(path("j"), second + first.substr(first.size() - 24));
  EXPECT_EQ(records(), (Records{{3, 4}}));
}

// Damage.

/// Flips bits, cuts, extends, or blanks a part of some bytes.
std::string damaged(std::string bytes, std::mt19937& random) {
  const auto place = [&] { return random() % bytes.size(); };
  if (bytes.empty()) return std::string(1 + random() % 40, 'x');
  switch (random() % 6) {
    case 0:
    case 1:
      bytes[place()] ^= static_cast<char>(1 << random() % 8);
      break;
    case 2:
      for (unsigned k = 2 + random() % 30; k > 0; --k) bytes[place()] ^= static_cast<char>(1 << random() % 8);
      break;
    case 3:
      bytes.resize(place());
      break;
    case 4:
      for (unsigned k = 1 + random() % 200; k > 0; --k) bytes += static_cast<char>(random());
      break;
    default:
      const std::size_t from = place();
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), from + 1 + random() % 64)), '\0');
  }
  return bytes;
}

class DamagedRun : public testing::SectionRunTest {};

TEST_F(DamagedRun, AThousandFlipsAndTruncationsAreNeverUsed) {
  constexpr unsigned kSeed = 20;
  constexpr std::int64_t kTiles = 12;
  const Grid grid = Grid::unit({6, 10});
  std::map<std::int64_t, std::pair<std::string, std::string>> runs;  // journal and losses after so many tiles
  FormulaRun run(grid, 2);
  for (std::int64_t done = 1; done < kTiles; ++done) {
    run.interrupt(path("s.npy"), 5, done);
    runs[done] = {read_bytes(path("s.npy.journal")), read_bytes(path("s.npy.partial"))};
    fs::remove(path("s.npy.journal"));
    fs::remove(path("s.npy.partial"));
  }
  const std::string expected = formula_file(grid, 2);
  std::mt19937 random(kSeed);
  int refused = 0, recovered = 0, tiles_lost = 0;
  for (int trial = 0; trial < 1200; ++trial) {
    const std::int64_t done = 1 + static_cast<std::int64_t>(random() % (kTiles - 1));
    auto [journal, losses] = runs[done];
    const unsigned which = random() % 4;  // the losses, the journal, or both
    if (which != 1) losses = damaged(losses, random);
    if (which == 1 || which == 2) journal = damaged(journal, random);
    write_bytes(path("s.npy.journal"), journal);
    write_bytes(path("s.npy.partial"), losses);
    const std::string where = "seed " + std::to_string(kSeed) + ", trial " + std::to_string(trial);
    try {
      const SectionFileReport report = run.resume(path("s.npy"));
      ASSERT_TRUE(read_bytes(path("s.npy")) == expected) << where;
      ASSERT_LE(report.resumed_tiles, done) << where;
      ASSERT_EQ(report.nonfinite, 3) << where;
      ASSERT_EQ(files(), std::vector<std::string>{"s.npy"}) << where;
      ++recovered;
      tiles_lost += static_cast<int>(done - report.resumed_tiles);
    } catch (const FileError& error) {
      ASSERT_TRUE(which == 1 || which == 2) << where << ": damaged losses are evaluated again; " << error.what();
      ASSERT_TRUE(read_bytes(path("s.npy.journal")) == journal) << where;
      ASSERT_TRUE(read_bytes(path("s.npy.partial")) == losses) << where;
      ++refused;
    }
    fs::remove(path("s.npy"));
  }
  std::printf("%d recovered, %d tiles evaluated again, %d refused\n", recovered, tiles_lost, refused);
  EXPECT_GT(recovered, 700);
  EXPECT_GT(tiles_lost, 700);
  EXPECT_GT(refused, 100);
}

// Other processes.

class SharedRun : public testing::SectionRunTest {
 protected:
  /// Runs to the last tile, then lets `meddle` at the files; whether that made the run fail, its output untouched.
  bool fails(const std::function<void()>& meddle) {
    write_bytes(path("s.npy"), "old");
    FormulaRun run(Grid::unit({20}));
    run.before = [&](std::int64_t first, std::int64_t) {
      if (first == 15) meddle();
    };
    try {
      run.write(path("s.npy"), 5);
      return false;
    } catch (const WriteError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("removed or replaced"));
      EXPECT_EQ(read_bytes(path("s.npy")), "old");
      return true;
    }
  }
};

TEST_F(SharedRun, AnotherFileInThePlaceOfItsOwnIsNotTakenForIt) {
  using Names = std::vector<std::string>;
  EXPECT_TRUE(fails([&] { fs::remove(path("s.npy.partial")); }));
  EXPECT_EQ(files(), Names{"s.npy"});
  EXPECT_TRUE(fails([&] {
    fs::remove(path("s.npy.partial"));
    write_bytes(path("s.npy.partial"), "another's");
  }));
  EXPECT_EQ(files(), (Names{"s.npy", "s.npy.partial"}));
  EXPECT_EQ(read_bytes(path("s.npy.partial")), "another's");
  fs::remove(path("s.npy.partial"));
  // As a run does that begins after its files were deleted.
  EXPECT_TRUE(fails([&] {
    for (const char* name : {"s.npy.partial", "s.npy.journal"}) {
      fs::remove(path(name));
      write_bytes(path(name), "another's");
    }
  }));
  for (const char* name : {"s.npy.partial", "s.npy.journal"}) EXPECT_EQ(read_bytes(path(name)), "another's");
  for (const char* name : {"s.npy.partial", "s.npy.journal"}) fs::remove(path(name));
  // Without its journal alone it ends as it should, and leaves another's alone.
  EXPECT_FALSE(fails([&] {
    fs::remove(path("s.npy.journal"));
    write_bytes(path("s.npy.journal"), "another's");
  }));
  EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(Grid::unit({20}), 1));
  EXPECT_EQ(read_bytes(path("s.npy.journal")), "another's");
}

TEST_F(SharedRun, OneUnderWayIsRefusedAsSuchWhateverIsLeftOfIt) {
  int looks = 0;
  FormulaRun run(Grid::unit({20}));
  run.before = [&](std::int64_t first, std::int64_t) {
    if (first != 10) return;
    FormulaRun other(Grid::unit({20}));
    for (const char* missing : {"none", "s.npy.journal", "s.npy.partial"}) {
      if (fs::exists(path(missing))) fs::rename(path(missing), path("kept"));
      for (const Unfinished unfinished : {Unfinished::refuse, Unfinished::resume}) {
        EXPECT_ERROR(other.write(path("s.npy"), 5, unfinished), FileError, "another process is using");
        ++looks;
      }
      if (fs::exists(path("kept"))) fs::rename(path("kept"), path(missing));
    }
  };
  run.write(path("s.npy"), 5);
  EXPECT_EQ(looks, 6);
  EXPECT_TRUE(read_bytes(path("s.npy")) == formula_file(Grid::unit({20}), 1));
  EXPECT_EQ(files(), std::vector<std::string>{"s.npy"});
}

TEST_F(SharedRun, LinksAreFollowedOrRefusedNeverReplaced) {
  FormulaRun run(Grid::unit({20}));
  const std::string expected = formula_file(Grid::unit({20}), 1);
  fs::create_directory(path("deep"));
  fs::create_symlink("deep/there", path("dangling"));
  run.write(path("dangling"), 5);
  EXPECT_TRUE(fs::is_symlink(path("dangling")));
  EXPECT_TRUE(read_bytes(path("deep/there")) == expected);
  fs::create_symlink("loop", path("loop"));
  EXPECT_ERROR(run.write(path("loop"), 5), FileError, "in a loop");
  fs::create_symlink("absent/there", path("farther"));
  EXPECT_ERROR(run.write(path("farther"), 5), FileError, "folder that is not there");
  for (const char* link : {"s.npy.partial", "s.npy.journal"}) {
    for (const char* end : {"victim", "nowhere", link}) {
      write_bytes(path("victim"), "precious");
      fs::create_symlink(end, path(link));
      for (const Unfinished unfinished : {Unfinished::refuse, Unfinished::resume}) {
        EXPECT_ERROR(run.write(path("s.npy"), 5, unfinished), FileError, "symbolic link");
      }
      EXPECT_TRUE(fs::is_symlink(path(link)));
      EXPECT_EQ(read_bytes(path("victim")), "precious");
      fs::remove(path(link));
    }
  }
}

// Failing writes.

TEST_F(DamagedRun, AWriteThatFailsAnywhereLeavesARunThatResumes) {
  // With one loss a tile the journal is the larger file, with nine the losses are.
  for (const std::int64_t heads : {1, 9}) {
    const Grid grid = Grid::unit({30});
    const std::string expected = formula_file(grid, heads);
    FormulaRun run(grid, heads);
    run.write(path("s.npy"), 1);
    fs::remove(path("s.npy"));
    int failed = 0, kept = 0;
    for (std::uint64_t limit = 0; limit < 4000; limit += 11) {
      bool threw = false;
      try {
        const FileSizeLimit full(limit);
        run.write(path("s.npy"), 1);
      } catch (const WriteError& error) {
        threw = true;
        EXPECT_THAT(error.what(), ::testing::HasSubstr("File too large")) << limit;
      }
      EXPECT_TRUE(threw || files() == std::vector<std::string>{"s.npy"}) << limit;
      failed += threw;
      const bool unfinished = fs::exists(path("s.npy.partial"));
      EXPECT_EQ(fs::exists(path("s.npy.journal")), unfinished) << limit;
      kept += unfinished;
      // Where no tile was finished nothing is in the way of a plain run.
      const auto go_on = [&] { return unfinished ? run.resume(path("s.npy")) : run.write(path("s.npy"), 1); };
      SectionFileReport report;
      ASSERT_NO_THROW(report = go_on()) << limit;
      EXPECT_TRUE(read_bytes(path("s.npy")) == expected) << limit;
      fs::remove(path("s.npy"));
      if (!threw) break;
      EXPECT_LT(report.resumed_tiles, 31);
    }
    EXPECT_GT(failed, 60) << heads;
    EXPECT_GT(kept, 40) << heads;
    EXPECT_TRUE(files().empty());
  }
}

enum FullDisk { kAsExpected = 0, kNoDisk = 77 };

/// In a process of its own, on a small disk in memory that only it sees: fills the disk between two tiles, makes room,
/// resumes.
int run_on_a_full_disk(const fs::path& folder, const std::string& expected) {
  const bool isolated = ::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
  if (!isolated || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return kNoDisk;
  if (::mount("none", folder.c_str(), "tmpfs", 0, "size=256k") != 0) return kNoDisk;
  FormulaRun run(Grid::unit({20000}));
  run.before = [&](std::int64_t first, std::int64_t) {
    if (first != 8000) return;
    std::ofstream ballast(folder / "ballast", std::ios::binary);
    while (ballast << std::string(4096, 'b') && ballast.flush()) {
    }
  };
  try {
    run.write(folder / "s.npy", 1000);
    return 1;
  } catch (const WriteError& error) {
    if (std::string(error.what()).find("No space left on device") == std::string::npos) return 2;
  }
  if (fs::exists(folder / "s.npy") || !fs::exists(folder / "s.npy.journal")) return 3;
  run.before = {};
  try {
    run.resume(folder / "s.npy");
    return 4;
  } catch (const WriteError& error) {  // told before the first tile
    if (std::string(error.what()).find("bytes free") == std::string::npos) return 5;
  }
  fs::remove(folder / "ballast");
  if (run.resume(folder / "s.npy").resumed_tiles < 8) return 6;
  return read_bytes(folder / "s.npy") == expected ? kAsExpected : 7;
}

TEST_F(DamagedRun, AFullDiskIsToldAndTheRunResumesWhenThereIsRoom) {
  const std::string expected = formula_file(Grid::unit({20000}), 1);
  const pid_t child = ::fork();
  if (child == 0) _exit(run_on_a_full_disk(path(""), expected));
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoDisk) GTEST_SKIP() << "this process may not mount a small disk";
  EXPECT_EQ(WEXITSTATUS(status), kAsExpected);
}

}  // namespace
}  // namespace lossatlas
