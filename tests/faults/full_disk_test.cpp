// A disk without room: every command says so, fails with status 1 and leaves its outputs as they were.
#include <sched.h>
#include <sys/mount.h>

#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "cli_program.hpp"
#include "file_size_limit.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::read_text;
using testing::write_text;

constexpr const char* kModel = " --model m.safetensors";
constexpr const char* kData = " --data tanh3 --loss mse";

class FullDisk : public testing::ProgramTest {
 protected:
  void SetUp() override {
    testing::ProgramTest::SetUp();
    const Network network = mlp({1, 20, 1}, Activation::tanh);
    write_model(path("m.safetensors"), network, random_parameters(network, {.seed = 3}));
    for (const char* shard : {"1", "2"}) {
      ASSERT_EQ(run(section(shard) + " --shard " + shard + "/2").status, 0);
    }
    fs::create_directory(path("out"));
    for (const char* file : {"s.npy", "s.png", "out/report.json", "out/model.safetensors", "out/critical_points.json"})
      write_text(path(file), "old");
  }
  static std::string section(const std::string& out) {
    return std::string("section --directions random --grid 20x20 --out ") + out + kModel + kData;
  }
  void expect_failed(const Outcome& outcome, const std::string& line, const std::string& reason) const {
    EXPECT_EQ(outcome.status, 1) << line << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << line;
    EXPECT_NE(outcome.err.find(reason), std::string::npos) << line << "\n" << outcome.err;
  }
};

TEST_F(FullDisk, EveryCommandFailsWithStatusOne) {
  const auto before = files();
  constexpr rlim_t kBytes = 600;  // enough for what is printed
  const std::string look = std::string(kModel) + kData;
  for (const std::string& line :
       {section("s.npy"), std::string("merge --out s.npy 1 2"), "split --layer 1 --neuron 0 --out w" + look,
        "embed --layers 1,30,1 --out w" + look, "spectrum --png s.png" + look, "spectrum --vectors v.npy" + look,
        "forecast --layer 1 --neuron 0 --png s.png" + look,
        "find --layers 1,1,1 --bias hidden --starts 4 --out out" + std::string(kData),
        std::string("fit --target demo --train glyphs:20 --hidden 2,4 --grid 3x3 --out out"),
        std::string("reproduce czarnecki2019-fig3 --out out")}) {
    Outcome outcome;
    {
      const testing::FileSizeLimit full(kBytes);
      outcome = run(line);
    }
    expect_failed(outcome, line, "File too large");
    fs::remove(path("out/critical-1.safetensors"));  // a point's model is small enough, the report is not
    EXPECT_EQ(files(), before) << line;
  }
  for (const char* file : {"s.npy", "s.png", "out/report.json", "out/model.safetensors", "out/critical_points.json"})
    EXPECT_EQ(read_text(path(file)), "old") << file;
}

TEST_F(FullDisk, ADeviceWithoutRoomToo) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const std::string look = std::string(kModel) + kData;
  for (const std::string& line :
       {section("s.npy") + " --png /dev/full", section("s.npy") + " --vti /dev/full",
        std::string("merge --out /dev/full 1 2"), "split --layer 1 --neuron 0 --out /dev/full" + look,
        "spectrum --png /dev/full" + look, "forecast --layer 1 --neuron 0 --png /dev/full" + look})
    expect_failed(run(line), line, "No space left on device");
}

TEST_F(FullDisk, ASectionIsResumedOnceThereIsRoom) {
  const std::string line = "section --directions random --device cpu --grid 100x100 --tile 500 --out t.npy" +
                           std::string(kModel) + kData;
  ASSERT_EQ(run(line).status, 0);
  const std::string expected = read_text(path("t.npy"));
  fs::remove(path("t.npy"));
  auto left = files();
  left.insert({"t.npy.partial", "t.npy.journal"});
  {
    const testing::FileSizeLimit full(40000);
    expect_failed(run(line), line, "File too large");
  }
  EXPECT_EQ(files(), left);

  const Outcome resumed = run(line + " --resume --json");
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(resumed.out.find("\"resumed_tiles\": 0"), std::string::npos) << resumed.out;
  EXPECT_TRUE(read_text(path("t.npy")) == expected);
}

// On a small disk in memory that only a process of its own sees: without a byte, then without an entry left.
TEST_F(FullDisk, IsToldBeforeTheWork) {
  constexpr int kNoDisk = 77;
  const std::string look = std::string(kModel) + kData;
  fs::create_directory(path("disk"));
  const pid_t child = fork();
  if (child == 0) {
    const bool isolated = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    if (!isolated || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(kNoDisk);
    if (mount("none", path("disk").c_str(), "tmpfs", 0, "size=64k,nr_inodes=3") != 0) _exit(kNoDisk);
    int wrong = 0;
    const auto told = [&](const std::string& line, const std::string& reason) {
      const Outcome outcome = run(line);
      wrong += outcome.status != 1 || outcome.err.find(reason) == std::string::npos;
    };
    std::ofstream(path("disk/ballast")) << std::string(1 << 16, 'b');
    told(section("disk/s.npy"), "on the disk");
    write_text(path("disk/more"), "");
    told(section("disk/s.npy"), "No space left on device");
    told("spectrum --png disk/s.png" + look, "No space left on device");
    told("find --layers 1,1,1 --starts 1 --out disk/points" + std::string(kData), "No space left on device");
    _exit(wrong);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoDisk) GTEST_SKIP() << "this process may not mount a small disk";
  EXPECT_EQ(WEXITSTATUS(status), 0) << read_text(log("err"));
}

}  // namespace
}  // namespace lossatlas
