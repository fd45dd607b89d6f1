// Long sections as a user meets them: kills, Ctrl-C, a failing write, shards, and files that must not be overwritten.
#include <pty.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lossatlas/lossatlas.hpp>
#include <nlohmann/json.hpp>

#include "cli_program.hpp"
#include "file_size_limit.hpp"

namespace lossatlas {
namespace {

namespace fs = std::filesystem;
using testing::Outcome;
using testing::read_text;
using testing::Words;
using testing::words;
using testing::write_text;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class LongSection : public testing::ProgramTest {
 protected:
  void SetUp() override {
    if (fs::exists("/dev/shm")) setenv("TMPDIR", "/dev/shm", 1);  // the syncs of many short runs would fight for a disk
    testing::ProgramTest::SetUp();
    const Network network = mlp({784, 8, 10}, Activation::tanh);
    write_model(path("model.safetensors"), network, random_parameters(network, {.seed = 5}));
  }

  /// A section of so many points, directions by seed, so that every call means the same one.
  std::string section(const std::string& grid, int samples = 50) const {
    return "section --model model.safetensors --data glyphs:" + std::to_string(samples) +
           " --loss ce --directions filter --threads 1 --grid " + grid + " ";
  }
  /// Waits until a file is there and larger than `bytes`.
  void wait_for(const std::string& name, std::uintmax_t bytes) const {
    std::error_code absent;
    for (int i = 0; i < 30000 && (!fs::exists(path(name)) || fs::file_size(path(name), absent) <= bytes); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void run_well(const std::string& line) const {
    const Outcome outcome = run(line);
    ASSERT_EQ(outcome.status, 0) << line << "\n" << outcome.err;
  }
};

TEST_F(LongSection, SixtyKillsOfAThousandTilesLeaveTheBitsAlone) {
  constexpr unsigned kSeed = 31;
  constexpr int kKills = 60;
  const std::string command = section("40x50", 300) + "--plan direct --tile 2 --json ";
  run_well(section("1", 300) + "--out short.npy");
  auto began = Clock::now();
  run_well(section("1", 300) + "--out short.npy");
  const double begin = seconds_since(began);
  began = Clock::now();
  const Outcome whole = run(command + "--out whole.npy");
  const double all = seconds_since(began) - begin;
  ASSERT_EQ(whole.status, 0) << whole.err;
  ASSERT_EQ(Json::parse(whole.out)["tiles"], 1000);

  // A life ends anywhere from its start to some dozen tiles of work, and no later than when its share of the work is
  // done: how fast it goes depends on what else the machine does.
  const double bytes = static_cast<double>(fs::file_size(path("whole.npy")));
  const auto share = [&] {
    std::error_code absent;
    const auto size = fs::file_size(path("s.npy.partial"), absent);
    return absent ? 0 : static_cast<double>(size) / bytes;
  };
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<double> life(0, begin + all / 15);
  int kills = 0, resumed = 0;
  Outcome outcome;
  for (int lives = 0; lives < 2 * kKills; ++lives) {
    const pid_t child = start(words(command + "--out s.npy --resume"));
    if (kills < kKills) {
      const double end = life(random);
      const double most = 0.9 * (kills + 1) / kKills;
      for (began = Clock::now(); seconds_since(began) < end && share() < most;)
        std::this_thread::sleep_for(std::chrono::microseconds(300));
      kill(child, SIGKILL);
    }
    outcome = finish(child);
    if (outcome.status == 0) break;
    ASSERT_EQ(outcome.status, 1000 + SIGKILL) << outcome.err;
    ++kills;
    resumed += fs::exists(path("s.npy.journal"));
  }
  ASSERT_EQ(outcome.status, 0) << "seed " << kSeed << ": " << outcome.err;
  const Json report = Json::parse(outcome.out);
  std::printf("%d kills, %d with work done; the last run found %d tiles finished\n", kills, resumed,
              report["resumed_tiles"].get<int>());
  EXPECT_GE(kills, kKills) << "the run ended before so many kills";
  EXPECT_GT(report["resumed_tiles"], 10);
  EXPECT_TRUE(read_text(path("s.npy")) == read_text(path("whole.npy"))) << "seed " << kSeed;
  for (const char* key : {"min", "max", "nonfinite", "tile_points", "precision", "plan"})
    EXPECT_EQ(report[key], Json::parse(whole.out)[key]) << key;
  EXPECT_FALSE(fs::exists(path("s.npy.partial")) || fs::exists(path("s.npy.journal")));
}

TEST_F(LongSection, CtrlCKeepsWhatIsFinishedAndSaysHowToGoOn) {
  const std::string command = section("300x300", 500) + "--plan direct --tile 50 --out s.npy ";
  const pid_t child = start(words(command));
  wait_for("s.npy.journal", 2000);
  const auto asked = Clock::now();
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_LT(seconds_since(asked), 2.0);
  EXPECT_EQ(outcome.status, 130);
  EXPECT_NE(outcome.err.find("lossatlas: interrupted after "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find(" of 1800 tiles, which are in "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(path("s.npy")));

  const auto before = files();
  const std::string partial = read_text(path("s.npy.partial"));
  const Outcome again = run(command);
  EXPECT_EQ(again.status, 2);
  EXPECT_NE(again.err.find("--resume"), std::string::npos) << again.err;
  const Outcome other = run(command + "--resume --seed 1");
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.err.find("another directions"), std::string::npos) << other.err;
  EXPECT_EQ(files(), before);
  EXPECT_TRUE(read_text(path("s.npy.partial")) == partial);
}

TEST_F(LongSection, ASecondCtrlCEndsAtOnceAndTheRunStillResumes) {
  const std::string command = section("60x50", 500) + "--plan direct --tile 10 --json ";
  run_well(command + "--out whole.npy");
  const pid_t child = start(words(command + "--out s.npy"));
  wait_for("s.npy.journal", 2000);
  const auto asked = Clock::now();
  kill(child, SIGINT);
  std::this_thread::sleep_for(std::chrono::microseconds(200));
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_LT(seconds_since(asked), 1.0);
  EXPECT_EQ(outcome.status, 130);
  const Outcome resumed = run(command + "--resume --out s.npy");
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_GT(Json::parse(resumed.out)["resumed_tiles"], 0);
  EXPECT_TRUE(read_text(path("s.npy")) == read_text(path("whole.npy")));
}

// On a terminal of its own, until both appear; then Ctrl-C is pressed.
TEST_F(LongSection, ATerminalShowsRateAndTimeLeft) {
  int terminal = -1;
  const std::string program = testing::program_path();
  Words line = words(section("2000x2000", 500) + "--plan direct --out s.npy");
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (std::string& word : line) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    setenv("LOSSATLAS_CUDA_MODULE", "/nonexistent/module.so", 1);
    if (chdir(path("").c_str()) == 0) execv(program.c_str(), argv.data());
    _exit(127);
  }
  ASSERT_GT(child, 0);
  std::string shown;
  char buffer[512];
  bool pressed = false;
  for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;) {
    shown.append(buffer, static_cast<std::size_t>(got));
    const std::size_t rate = shown.find("points/s  ");
    if (pressed || rate == std::string::npos || shown.find(" left", rate) == std::string::npos) continue;
    pressed = write(terminal, "\3", 1) == 1;
  }
  EXPECT_EQ(finish(child).status, 130);
  EXPECT_TRUE(pressed) << shown;
  EXPECT_NE(shown.find("section  "), std::string::npos) << shown;
  EXPECT_NE(shown.find("--resume"), std::string::npos) << shown;
  close(terminal);
}

TEST_F(LongSection, AnInterruptBeforeTheFirstTileLeavesNothing) {
  const pid_t child = start(words(section("300x300", 5000) + "--plan direct --tile 90000 --out s.npy"));
  wait_for("s.npy.journal", 0);
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.status, 130);
  EXPECT_NE(outcome.err.find("lossatlas: interrupted before the first tile was finished\n"), std::string::npos)
      << outcome.err;
  EXPECT_EQ(files(), std::set<std::string>{"model.safetensors"});
}

TEST_F(LongSection, CtrlCThroughALinkSaysWhereTheTilesAre) {
  fs::create_directory(path("deep"));
  write_text(path("deep/s.npy"), "old");
  fs::create_symlink(path("deep/s.npy"), path("link"));
  const pid_t child = start(words(section("300x300", 500) + "--plan direct --tile 50 --out link "));
  wait_for("deep/s.npy.journal", 2000);
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.status, 130);
  EXPECT_NE(outcome.err.find("deep/s.npy.partial"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
}

TEST_F(LongSection, ResumeOfAFinishedFileSaysWhatItDoes) {
  const std::string command = section("11x13") + "--resume --json ";
  run_well(command + "--out s.npy");
  const Outcome again = run(command + "--out s.npy");
  EXPECT_EQ(again.status, 0);
  EXPECT_NE(again.err.find("evaluated again and replaced"), std::string::npos) << again.err;
  for (const std::string shard : {"1/1", "2/3"}) {
    run_well(command + "--out part --shard " + shard);
    const Outcome kept = run(command + "--out part --shard " + shard);
    ASSERT_EQ(kept.status, 0) << kept.err;
    const Json report = Json::parse(kept.out);
    EXPECT_EQ(report["resumed_tiles"], report["tiles"]);
    EXPECT_EQ(kept.err.find("replaced"), std::string::npos) << kept.err;
  }
  run_well(section("11x13") + "--shard 1/1 --out one");
  run_well("merge --out merged.npy one");
  EXPECT_TRUE(read_text(path("merged.npy")) == read_text(path("s.npy")));
}

TEST_F(LongSection, OnlyErrorsAboutTheFileNameOut) {
  const Outcome tiles = run(section("2000x2000") + "--tile 1 --out s.npy");
  EXPECT_EQ(tiles.status, 2);
  EXPECT_NE(tiles.err.find("tiles of 1 points"), std::string::npos) << tiles.err;
  EXPECT_EQ(tiles.err.find("--out"), std::string::npos) << tiles.err;
  write_text(path("s.npy.partial"), "stale");
  const Outcome stale = run(section("5") + "--out s.npy");
  EXPECT_NE(stale.err.find("--out: "), std::string::npos) << stale.err;
}

TEST_F(LongSection, AFailingWriteSaysSoAndTheRunResumes) {
  const std::string command = section("60x50") + "--tile 100 --json --out s.npy ";
  run_well(section("60x50") + "--out whole.npy");
  Outcome outcome;
  {
    const testing::FileSizeLimit full(16000);
    outcome = run(command);
  }
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("s.npy.partial"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(path("s.npy")));
  const Outcome again = run(command + "--resume");
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["resumed_tiles"], 19);
  EXPECT_EQ(Json::parse(again.out)["tiles"], 30);
  EXPECT_TRUE(read_text(path("s.npy")) == read_text(path("whole.npy")));
}

TEST_F(LongSection, ShardsMergeToOneRunWithItsPictures) {
  const std::string command = section("11x13");
  run_well(command + "--out whole.npy --vti whole.vti");
  for (const std::string shard : {"1", "2", "3"})
    run_well(command + "--shard " + shard + "/3 --out " + shard + ".shard");
  const Outcome merged = run("merge --json --vti s.vti --png s.png --out s.npy 3.shard 1.shard 2.shard");
  ASSERT_EQ(merged.status, 0) << merged.err;
  EXPECT_TRUE(read_text(path("s.npy")) == read_text(path("whole.npy")));
  EXPECT_TRUE(read_text(path("s.vti")) == read_text(path("whole.vti")));
  EXPECT_TRUE(fs::exists(path("s.png")));
  const Json report = Json::parse(merged.out);
  const Range range = finite_range(read_npy(path("whole.npy")).values);
  EXPECT_EQ(report["min"], range.lo);
  EXPECT_EQ(report["max"], range.hi);

  const auto before = files();
  run_well("merge --out s.npy 3.shard 1.shard 2.shard");
  for (const std::string bad :
       {"merge --out t.npy 1.shard 3.shard", "merge --out t.npy 1.shard 2.shard 3.shard 3.shard",
        "merge --out t.npy 1.shard 2.shard whole.npy", "merge --out ./1.shard 1.shard 2.shard 3.shard",
        "merge --out t.npy", "merge 1.shard 2.shard 3.shard"}) {
    const Outcome refused = run(bad);
    EXPECT_EQ(refused.status, 2) << bad;
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  }
  for (const std::string bad : {"0/3", "4/3", "1/0", "1", "a/b", "1.5/3", "1/3/4", "1/1000"}) {
    const Outcome refused = run(command + "--out t.npy --shard " + bad);
    EXPECT_EQ(refused.status, 2) << bad;
    EXPECT_NE(refused.err.find("shard"), std::string::npos) << refused.err;
  }
  EXPECT_EQ(run(command + "--out t.npy --shard 1/3 --png t.png").status, 2);
  EXPECT_EQ(files(), before);
}

TEST_F(LongSection, ExamplesOfMergeWorkAsPrinted) {
  std::istringstream help(run("merge --help").out);
  int examples = 0;
  for (std::string line; std::getline(help, line);) {
    if (line.rfind("  lossatlas ", 0) != 0) continue;
    run_well(line.substr(12));
    ++examples;
  }
  EXPECT_EQ(examples, 4);
}

class SectionThrough : public testing::ProgramTest {
 protected:
  /// Models of random parameters by name, and the loss of each.
  double add(const std::string& name, std::uint64_t seed, std::int64_t width = 4) {
    const Network network = mlp({784, width, 10}, Activation::tanh);
    const std::vector<double> theta = random_parameters(network, {.seed = seed});
    write_model(path(name), network, theta);
    return Landscape(network, glyphs(30), Loss::cross_entropy, Device::cpu()).evaluate(theta).losses[0];
  }
  const std::string problem_ = " --data glyphs:30 --loss ce --device cpu --out s.npy";
};

TEST_F(SectionThrough, EachModelIsAPointOfTheGrid) {
  const double a = add("a.safetensors", 1), b = add("b.safetensors", 2), c = add("c.safetensors", 3);
  const std::string plane = "section --through a.safetensors,b.safetensors,c.safetensors" + problem_;
  for (const std::string how : {"", " --precision f32", " --plan direct", " --threads 2"}) {
    ASSERT_EQ(run(plane + how).status, 0);
    const Array losses = read_npy(path("s.npy"));
    ASSERT_EQ(losses.shape, (std::vector<std::int64_t>{61, 61, 1}));
    const auto at = [&](std::size_t i, std::size_t j) { return losses.values[i * 61 + j]; };
    const double tolerance = how == " --precision f32" ? 1e-5 : how == " --plan direct" ? 1e-14 : 0;
    EXPECT_NEAR(at(10, 10), a, tolerance) << how;
    EXPECT_NEAR(at(50, 10), b, tolerance) << how;
    EXPECT_NEAR(at(10, 50), c, tolerance) << how;
  }
  ASSERT_EQ(run("section --through b.safetensors a.safetensors --range 0:1 --grid 3" + problem_).status, 0);
  const Array line = read_npy(path("s.npy"));
  ASSERT_EQ(line.shape, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(line.values.front(), b);
  EXPECT_EQ(line.values.back(), a);
}

TEST_F(SectionThrough, RefusesWhatMakesNoLineOrPlane) {
  add("a.safetensors", 1);
  add("wide.safetensors", 1, 5);
  const auto refused = [&](const std::string& options) {
    const Outcome outcome = run("section" + options + problem_);
    EXPECT_EQ(outcome.status, 2) << options;
    EXPECT_FALSE(fs::exists(path("s.npy"))) << options;
    return outcome.err;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(refused(" --through a.safetensors,wide.safetensors"), HasSubstr("expected models of one network"));
  EXPECT_THAT(refused(" --through a.safetensors"), HasSubstr("--through: received 1 model, expected two or three"));
  EXPECT_THAT(refused(" --through a.safetensors,a.safetensors,a.safetensors,a.safetensors"),
              HasSubstr("received 4 models"));
  EXPECT_THAT(refused(" --through a.safetensors,absent.safetensors"), HasSubstr("absent.safetensors"));
  for (const std::string option : {"--model a.safetensors", "--directions filter", "--origin zero", "--orthogonalise",
                                   "--count 2", "--seed 1", "--normalise layer", "--bias-directions copy"}) {
    EXPECT_THAT(refused(" --through a.safetensors,a.safetensors " + option), HasSubstr("excludes --through"));
  }
  EXPECT_THAT(refused(""), HasSubstr("--model (or --through) is required"));
  EXPECT_THAT(refused(" --model a.safetensors"), HasSubstr("--directions (or --through) is required"));
  EXPECT_THAT(refused(" --through a.safetensors,a.safetensors --grid 0"), HasSubstr("--grid"));
  EXPECT_THAT(refused(" --through a.safetensors,a.safetensors --range 1"), HasSubstr("--range"));
}

}  // namespace
}  // namespace lossatlas
