// Runs the program on tiny problems with calls of the system that fail.
#pragma once

#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "cli_program.hpp"

namespace lossatlas::testing {

class FaultyProgram : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string table;
    for (int i = 0; i < 6; ++i) {
      table += std::to_string(std::sin(i)) + "," + std::to_string(std::cos(3 * i)) + "," + (i % 2 == 0 ? "0\n" : "1\n");
    }
    write_text(path("data.csv"), table);
    std::string line;
    for (int i = -3; i <= 3; ++i) {
      line += std::to_string(0.5 * i) + "," + std::to_string(std::tanh(0.5 * i) + 0.3 * std::sin(i)) + "\n";
    }
    write_text(path("line.csv"), line);  // real targets, on which 1-1-1 has a minimum
    const Network network = mlp({2, 3, 2}, Activation::tanh);
    write_model(path("model.safetensors"), network, random_parameters(network, {.seed = 5}));
    const std::int64_t shape[] = {3, 2};
    write_npy(path("picture.npy"), shape, std::vector<double>{0.1, 0.9, 0.4, 0.3, 0.7, 0.2});
  }

  /// With calls that fail: "k", or "k+" for all from there on.
  Outcome run_failing(const std::string& line, const std::string& kind, const std::string& which) {
    environment_["LD_PRELOAD"] = LOSSATLAS_FAILING_CALLS;
    environment_[kind] = which;
    const Outcome outcome = run(line);
    environment_.erase(kind);
    environment_.erase("LD_PRELOAD");
    return outcome;
  }

  /// How many allocations and threads a command asks for that nothing disturbs; it must succeed.
  std::pair<long, long> count_calls(const std::string& line) {
    environment_["FAIL_COUNTS"] = log("counts");
    const Outcome outcome = run_failing(line, "FAIL_NOTHING", "");
    environment_.erase("FAIL_COUNTS");
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::pair<long, long> counts;
    std::istringstream(read_text(log("counts"))) >> counts.first >> counts.second;
    fs::remove(log("counts"));
    return counts;
  }
};

inline bool is_one_line(const std::string& text) {
  return text.starts_with("lossatlas: ") && text.find('\n') == text.size() - 1;
}

}  // namespace lossatlas::testing
