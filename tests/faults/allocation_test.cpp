// The k-th allocation since main began fails, alone or with all that follow.
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include "faulty_program.hpp"

namespace lossatlas {
namespace {

using testing::Outcome;
using testing::read_text;
namespace fs = std::filesystem;

struct Command {
  const char* name;
  std::string before;  ///< run first, undisturbed
  std::string line;
  std::vector<std::string> outputs;  ///< the same bytes in every run
  bool resumes = false;
};

const std::string kSection =
    "section --model model.safetensors --data csv:data.csv --loss ce --directions filter --device cpu --threads 1 "
    "--grid 3x2 --json ";

const Command kCommands[] = {
    {"section", "", kSection + "--tile 2 --out s.npy --vti s.vti", {"s.npy", "s.vti"}, true},
    {"fit",
     "",
     "fit --target picture.npy --train csv:data.csv --hidden 2,4 --device cpu --threads 1 --out out",
     {"out/surface.npy", "out/model.safetensors", "out/directions.npy", "out/target.png", "out/surface-train.png",
      "out/compare.png"}},
    {"find",
     "",
     "find --layers 1,1,1 --bias hidden --data csv:line.csv --loss mse --starts 1 --device cpu --threads 1 --out out",
     {"out/critical-1.safetensors"}},
    {"merge", kSection + "--shard 1/1 --tile 2 --out 1.shard", "merge --out s.npy --json 1.shard", {"s.npy"}},
};

/// A command, and whether all allocations from the k-th on fail.
using Kind = std::tuple<Command, bool>;

class FailedAllocation : public testing::FaultyProgram, public ::testing::WithParamInterface<Kind> {
 protected:
  const Command& command() const { return std::get<0>(GetParam()); }

  void clear() {
    for (const std::string& name : files()) {
      if (given_.count(name) == 0) fs::remove_all(path(name));
    }
  }

  /// What is left must be whole, or what --resume goes on from.
  void check_files(const std::string& which) {
    const auto& outputs = command().outputs;
    bool unfinished = false;
    for (const std::string& name : files()) {
      if (given_.count(name) > 0 || fs::is_directory(path(name))) continue;
      const auto known = std::find(outputs.begin(), outputs.end(), name);
      if (known != outputs.end()) {
        EXPECT_TRUE(read_text(path(name)) == expected_[static_cast<std::size_t>(known - outputs.begin())])
            << name << " after allocation " << which;
      } else if (command().resumes && (name == "s.npy.partial" || name == "s.npy.journal")) {
        unfinished = true;
      } else {
        EXPECT_TRUE(name.ends_with(".json")) << name << " after allocation " << which;
      }
    }
    if (!unfinished) return;
    EXPECT_EQ(run(command().line + " --resume").status, 0) << "after allocation " << which;
    EXPECT_TRUE(read_text(path("s.npy")) == expected_[0]) << "resumed after allocation " << which;
  }

  void fail(long k) {
    const std::string which = std::to_string(k) + (std::get<1>(GetParam()) ? "+" : "");
    const Outcome outcome = run_failing(command().line, "FAIL_ALLOCATION", which);
    if (outcome.status != 0) {
      EXPECT_EQ(outcome.status, 1) << "allocation " << which << ": " << outcome.err;
      EXPECT_TRUE(testing::is_one_line(outcome.err)) << "allocation " << which << ": " << outcome.err;
    }
    for (const std::string& name : command().outputs) {
      EXPECT_TRUE(outcome.status != 0 || fs::exists(path(name))) << name << " after allocation " << which;
    }
    check_files(which);
    clear();
  }

  std::set<std::string> given_;
  std::vector<std::string> expected_;
};

TEST_P(FailedAllocation, IsAnErrorOrNothingAtAll) {
#ifdef LOSSATLAS_SANITIZED
  GTEST_SKIP() << "sanitizers have allocators of their own";
#endif
  if (!command().before.empty()) {
    ASSERT_EQ(run(command().before).status, 0);
  }
  given_ = files();
  const long last = count_calls(command().line).first;
  ASSERT_GT(last, 200);
  for (const std::string& name : command().outputs) {
    expected_.push_back(read_text(path(name)));
    ASSERT_FALSE(expected_.back().empty()) << name;
  }
  clear();
  constexpr long kFirst = 200, kSpread = 100;
  for (long k = 1; k <= kFirst && !HasFailure(); ++k) fail(k);
  for (long i = 1; i <= kSpread && !HasFailure(); ++i) fail(kFirst + (last - kFirst) * i / kSpread);
}

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) ? "_for_good" : "_once");
}

INSTANTIATE_TEST_SUITE_P(Of, FailedAllocation, ::testing::Combine(::testing::ValuesIn(kCommands), ::testing::Bool()),
                         name_of);

class LittleAddressSpace : public testing::FaultyProgram {};

// As `ulimit -v` sets it. OpenBLAS waits for ever where it finds no room for a buffer.
TEST_F(LittleAddressSpace, IsAFailureAndNoWait) {
  const std::string line = "evaluate --model model.safetensors --data csv:data.csv --loss ce --device cpu --threads 2";
  const std::string expected = run(line).out;
  rlimit before{};
  ::getrlimit(RLIMIT_AS, &before);
  int failed = 0;
  for (rlim_t megabytes = 100; megabytes <= 600; megabytes += 50) {
    const rlimit limit{megabytes << 20, before.rlim_max};
    ::setrlimit(RLIMIT_AS, &limit);
    const pid_t child = start(testing::words(line));
    ::setrlimit(RLIMIT_AS, &before);
    const testing::Outcome outcome = finish(child);
    if (outcome.status == 0) {
      EXPECT_EQ(outcome.out, expected) << megabytes;
      continue;
    }
    ++failed;
    if (outcome.status == 127) continue;  // not even the libraries found room
    EXPECT_EQ(outcome.status, 1) << megabytes << ": " << outcome.err;
    EXPECT_TRUE(testing::is_one_line(outcome.err)) << outcome.err;
  }
  EXPECT_GE(failed, 1);
}

}  // namespace
}  // namespace lossatlas
