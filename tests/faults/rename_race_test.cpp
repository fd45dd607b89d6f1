// Two runs of section on one output, and files that are deleted under a live one, as people do.
#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>

#include "cli_program.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::read_text;
using testing::words;
using testing::write_text;

class RenameRace : public testing::ProgramTest {
 protected:
  void SetUp() override {
    testing::ProgramTest::SetUp();
    const Network network = mlp({784, 8, 10}, Activation::tanh);
    write_model(path("model.safetensors"), network, random_parameters(network, {.seed = 5}));
    write_text(path("s.npy"), "old");
  }

  std::string section(const std::string& grid) const {
    return "section --model model.safetensors --data glyphs:500 --loss ce --directions filter --threads 1 --plan "
           "direct "
           "--tile 20 --out s.npy --grid " +
           grid;
  }
  /// Starts a run, by default of minutes, and waits until it has finished tiles.
  pid_t start_long(const std::string& grid = "900x900") const {
    const pid_t child = start(words(section(grid)));
    std::error_code absent;
    for (int i = 0; i < 60000 && !(fs::file_size(path("s.npy.journal"), absent) > 2000 && !absent); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(absent);
    return child;
  }
  /// Lets the next program have logs of its own.
  void keep_logs(const std::string& name) const {
    for (const char* stream : {"out", "err"}) fs::rename(log(stream), path(name + stream));
  }
  void delete_files() const {
    fs::remove(path("s.npy.partial"));
    fs::remove(path("s.npy.journal"));
  }
};

TEST_F(RenameRace, ALiveRunsFilesAreNotSaidToBeDeletable) {
  const pid_t first = start_long();
  keep_logs("first.");
  for (const char* resume : {"", " --resume"}) {
    const Outcome second = run(section("5x5") + resume);
    EXPECT_EQ(second.status, 2);
    EXPECT_NE(second.err.find("another process is using"), std::string::npos) << second.err;
    EXPECT_EQ(second.err.find("delete"), std::string::npos) << second.err;
  }
  kill(first, SIGINT);
  EXPECT_EQ(finish(first).status, 130);
  EXPECT_NE(read_text(path("first.err")).find("resume to go on"), std::string::npos);
}

TEST_F(RenameRace, ARunWhoseFilesWereDeletedFailsAndLeavesTheNextOnesAlone) {
  const pid_t first = start_long("90x90");
  kill(first, SIGSTOP);
  keep_logs("first.");
  delete_files();
  const pid_t second = start_long();
  kill(first, SIGCONT);
  EXPECT_EQ(finish(first).status, 1);
  const std::string error = read_text(path("first.err"));
  EXPECT_NE(error.find("--out: "), std::string::npos) << error;
  EXPECT_NE(error.find("removed or replaced"), std::string::npos) << error;
  EXPECT_TRUE(read_text(path("s.npy")) == "old");
  EXPECT_TRUE(fs::exists(path("s.npy.partial")) && fs::exists(path("s.npy.journal")));
  kill(second, SIGINT);
  const Outcome outcome = finish(second);
  EXPECT_EQ(outcome.status, 130);
  EXPECT_NE(outcome.err.find("resume to go on"), std::string::npos) << outcome.err;
}

TEST_F(RenameRace, TheOutputOfARunThatFinishedMeanwhileStays) {
  const pid_t first = start_long("90x90");
  keep_logs("first.");
  kill(first, SIGSTOP);
  delete_files();
  ASSERT_EQ(run(section("5x5")).status, 0);
  const std::string finished = read_text(path("s.npy"));
  kill(first, SIGCONT);
  EXPECT_EQ(finish(first).status, 1);
  EXPECT_TRUE(read_text(path("s.npy")) == finished);
  EXPECT_FALSE(fs::exists(path("s.npy.partial")) || fs::exists(path("s.npy.journal")));
}

}  // namespace
}  // namespace lossatlas
