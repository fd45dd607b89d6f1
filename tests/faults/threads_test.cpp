// The system gives fewer threads than asked for.
#include <string>

#include "faulty_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
namespace fs = std::filesystem;

const std::string kProblem = " --data csv:data.csv --loss ce --device cpu --threads 4 ";
const std::string kSection = "section --model model.safetensors" + kProblem + "--directions filter ";

class MissingThreads : public testing::FaultyProgram, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    FaultyProgram::SetUp();
#ifdef LOSSATLAS_SANITIZED
    GTEST_SKIP() << "sanitizers start threads of their own";
#endif
  }

  /// The same status and the same bytes with the threads there are.
  void expect_same(const std::string& line, const std::string& output) {
    EXPECT_GT(count_calls(line).second, 2) << line;
    const std::string expected = read_text(path(output));
    ASSERT_FALSE(expected.empty());
    fs::remove(path(output));
    const Outcome outcome = run_failing(line, "FAIL_THREAD", GetParam());
    EXPECT_EQ(outcome.status, 0) << line << "\n" << outcome.err;
    EXPECT_TRUE(read_text(path(output)) == expected) << line;
  }
};

TEST_P(MissingThreads, LeaveTheBitsAsTheyAre) {
  expect_same(kSection + "--grid 60x50 --out s.npy", "s.npy");
  expect_same(kSection + "--grid 60x50 --method chebyshev --out c.npy", "c.npy");
  expect_same(
      "find --layers 1,1,1 --bias hidden --data csv:line.csv --loss mse --device cpu --threads 4 --starts 4 --out "
      "points",
      "points/critical-1.safetensors");
  expect_same("fit --target picture.npy --train csv:data.csv --hidden 2,64 --device cpu --threads 4 --out out",
              "out/surface.npy");
}

TEST_P(MissingThreads, RatesAreMeasuredOnTheOthers) {
  const Outcome outcome = run_failing(kSection + "--grid 9 --explain", "FAIL_THREAD", GetParam());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("floor: "), std::string::npos) << outcome.out;
}

INSTANTIATE_TEST_SUITE_P(Of, MissingThreads, ::testing::Values("1", "3", "0+", "2+"));

using NoThreads = MissingThreads;

// Without the thread that waits for them signals are seen where progress is told.
TEST_P(NoThreads, StillHeedSignals) {
  environment_["LD_PRELOAD"] = LOSSATLAS_FAILING_CALLS;
  environment_["FAIL_THREAD"] = GetParam();
  const pid_t child = start(testing::words(kSection + "--plan direct --grid 3000x3000 --tile 1000 --out s.npy"));
  for (int i = 0; i < 2000 && !fs::exists(path("s.npy.partial")); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_TRUE(testing::is_one_line(outcome.err)) << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(Of, NoThreads, ::testing::Values("1", "0+"));

}  // namespace
}  // namespace lossatlas
