// Signals that end a run.
#include <string>

#include "faulty_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
namespace fs = std::filesystem;

const std::string kSection =
    "section --model model.safetensors --data csv:data.csv --loss ce --directions filter --device cpu --threads 1 "
    "--plan direct --grid 2000x1500 --tile 500 --out s.npy";

struct Ending {
  int number;
  int status;
};

class Signals : public testing::FaultyProgram, public ::testing::WithParamInterface<Ending> {
 protected:
  /// The run, once its first tiles are finished.
  pid_t start_section() const {
    const pid_t child = start(testing::words(kSection));
    std::error_code none;
    for (int i = 0; i < 4000 && !(fs::file_size(path("s.npy.journal"), none) > 2000 && !none); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return child;
  }
};

TEST_P(Signals, LeaveWhatResumeGoesOnFrom) {
  const auto given = files();
  const pid_t child = start_section();
  kill(child, GetParam().number);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.status, GetParam().status) << outcome.err;
  EXPECT_TRUE(testing::is_one_line(outcome.err)) << outcome.err;
  EXPECT_NE(outcome.err.find("lossatlas: interrupted after "), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  auto expected = given;
  expected.insert({"s.npy.partial", "s.npy.journal"});
  EXPECT_EQ(files(), expected) << "no other file is left";

  EXPECT_EQ(run(kSection + " --resume").status, 0);
  const std::string resumed = read_text(path("s.npy"));
  fs::remove(path("s.npy"));
  ASSERT_EQ(run(kSection).status, 0);
  EXPECT_TRUE(read_text(path("s.npy")) == resumed);
}

// nohup, and sh's jobs in the background.
TEST_P(Signals, IgnoredFromTheStartStayIgnored) {
  ignored_signal_ = GetParam().number;
  const pid_t child = start_section();
  ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the run was over before the signal";
  kill(child, GetParam().number);
  kill(child, GetParam().number);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(path("s.npy")) && !fs::exists(path("s.npy.journal")));
}

INSTANTIATE_TEST_SUITE_P(Of, Signals,
                         ::testing::Values(Ending{SIGINT, 130}, Ending{SIGTERM, 143}, Ending{SIGHUP, 129}));

}  // namespace
}  // namespace lossatlas
