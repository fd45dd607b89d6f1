// A disk that fills, as a limit on the size of files.
#include <sys/resource.h>

#include <string>

#include "faulty_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
namespace fs = std::filesystem;

class FullDisk : public testing::FaultyProgram {
 protected:
  /// The program, which can write files of `bytes` at most.
  Outcome run_limited(const std::string& line, rlim_t bytes) {
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    const rlimit limited{bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
    const Outcome outcome = run(line);
    setrlimit(RLIMIT_FSIZE, &old);
    return outcome;
  }
};

TEST_F(FullDisk, ASectionIsResumedOnceThereIsRoom) {
  const std::string line =
      "section --model model.safetensors --data csv:data.csv --loss ce --directions filter --device cpu --grid 100x100 "
      "--tile 500 --out s.npy";
  ASSERT_EQ(run(line).status, 0);
  const std::string expected = read_text(path("s.npy"));
  fs::remove(path("s.npy"));
  const auto given = files();

  const Outcome full = run_limited(line, 40000);
  EXPECT_EQ(full.status, 1) << full.err;
  EXPECT_TRUE(testing::is_one_line(full.err)) << full.err;
  EXPECT_EQ(full.out, "");
  auto left = given;
  left.insert({"s.npy.partial", "s.npy.journal"});
  EXPECT_EQ(files(), left);

  const Outcome resumed = run(line + " --resume --json");
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(resumed.out.find("\"resumed_tiles\": 0"), std::string::npos) << resumed.out;
  EXPECT_TRUE(read_text(path("s.npy")) == expected);
}

TEST_F(FullDisk, OtherFilesAppearWholeOrNotAtAll) {
  const auto given = files();
  for (const std::string line : {"split --model model.safetensors --layer 1 --neuron 0 --out wide.safetensors",
                                 "fit --target picture.npy --train csv:data.csv --hidden 2,4 --device cpu --out out"}) {
    const Outcome full = run_limited(line, 400);
    EXPECT_EQ(full.status, 1) << line << "\n" << full.err;
    EXPECT_TRUE(testing::is_one_line(full.err)) << full.err;
    for (const std::string& name : files()) EXPECT_TRUE(given.count(name) > 0 || name == "out") << name;
  }
}

}  // namespace
}  // namespace lossatlas
