// The program started with some of its descriptors 0 to 2 closed, or with a stdout that cannot be written.
#include <string>
#include <vector>

#include "faulty_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
namespace fs = std::filesystem;

const std::string kSection =
    "section --model model.safetensors --data csv:data.csv --loss ce --directions filter --threads 1 ";

class Descriptors : public testing::FaultyProgram {
 protected:
  /// The status of the program under a shell with these redirections.
  int run_redirected(const std::string& arguments, const std::string& redirections) {
    const std::string line = "cd '" + path("").string() + "' && LOSSATLAS_CUDA_MODULE=/nonexistent/module.so exec '" +
                             testing::program_path() + "' " + arguments + ' ' + redirections;
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
};

// The journal once became descriptor 2, where a note overwrote its start.
TEST_F(Descriptors, ClosedOnesAreNoFilesOfOurs) {
  ASSERT_EQ(run(kSection + "--grid 4 --out expected.npy").status, 0);
  const std::string expected = read_text(path("expected.npy"));
  for (const std::string closed : {"2>&-", "1>&-", "0<&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"}) {
    SCOPED_TRACE(closed);
    const std::string line = kSection + "--grid 4 --tile 4 --out s.npy";
    const int status = run_redirected(line, closed + "; exit $?");
    const bool silent = closed.find("1>&-") != std::string::npos;
    EXPECT_EQ(status, silent ? 1 : 0) << "what is printed on a closed stdout does not arrive";
    EXPECT_TRUE(read_text(path("s.npy")) == expected);
    fs::remove(path("s.npy"));
  }
}

TEST_F(Descriptors, AJournalOfARunWithoutAnyIsResumed) {
  const std::string line = kSection + "--grid 2000x1500 --plan direct --tile 500 --out s.npy";
  ASSERT_EQ(run(line).status, 0);
  const std::string expected = read_text(path("s.npy"));
  fs::remove(path("s.npy"));
  // It ends itself as soon as there are finished tiles in the journal.
  const std::string watch =
      "(while [ $(stat -c %s s.npy.journal || echo 0) -lt 2000 ]; do sleep 0.01; done 2>/dev/null; kill -TERM $$) & ";
  const std::string command = "cd '" + path("").string() + "' && sh -c '" + watch + "exec " + testing::program_path() +
                              " " + line + " <&- >&- 2>&-'";
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 143) << "the run was over before the signal";
  ASSERT_TRUE(fs::exists(path("s.npy.journal")));
  const Outcome resumed = run(line + " --resume");
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_TRUE(read_text(path("s.npy")) == expected);
}

TEST_F(Descriptors, OutputThatDoesNotArriveIsAFailure) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  ASSERT_EQ(run(kSection + "--grid 4 --shard 1/1 --out 1.shard").status, 0);
  const std::vector<std::string> commands = {
      "--help",
      "--version",
      "find --help",
      "info",
      "info --json",
      "reproduce",
      "reproduce --json",
      "evaluate --model model.safetensors --data csv:data.csv --loss ce",
      "spectrum --model model.safetensors --data csv:data.csv --loss ce --json",
      "forecast --model model.safetensors --data csv:data.csv --loss ce --layer 1 --neuron 0",
      "split --model model.safetensors --layer 1 --neuron 0 --out wide.safetensors",
      "embed --model model.safetensors --layers 2,4,2 --out wide.safetensors --json",
      "merge --out s.npy 1.shard",
      kSection + "--grid 4 --out s.npy",
      kSection + "--grid 4 --out s.npy --json",
      kSection + "--explain",
      "find --layers 2,1,2 --data csv:data.csv --loss ce --starts 1 --out points",
      "fit --target picture.npy --train csv:data.csv --hidden 2,4 --out out"};
  for (const std::string& command : commands) {
    EXPECT_EQ(run_redirected(command, ">/dev/full 2>err"), 1) << command;
    const std::string err = read_text(path("err"));
    EXPECT_TRUE(err.ends_with("lossatlas: standard output cannot be written\n")) << command << ": " << err;
  }
}

TEST_F(Descriptors, AReaderThatHasSeenEnoughEndsTheProgramQuietly) {
  const std::string line = kSection + "--grid 4 --out s.npy --json --device cpu";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const std::string redirection = "2>err >&" + std::to_string(ends[1]);
  EXPECT_EQ(run_redirected(line, redirection), 128 + SIGPIPE);
  EXPECT_EQ(read_text(path("err")), "");
  EXPECT_EQ(fs::file_size(path("s.npy")), 128u + 8 * 16) << "what was computed is whole";
  EXPECT_EQ(run_redirected("evaluate --model missing --data csv:data.csv --loss ce",
                           "2>&" + std::to_string(ends[1]) + " >out"),
            2)
      << "the status counts where no one reads the errors";
  close(ends[1]);
}

}  // namespace
}  // namespace lossatlas
