// Runs the built program in a folder of its own, for tests.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace lossatlas::testing {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

inline std::string program_path() {
  if (const char* path = std::getenv("LOSSATLAS_CLI")) return path;
#ifdef LOSSATLAS_CLI
  return LOSSATLAS_CLI;
#else
  throw std::runtime_error("the environment variable LOSSATLAS_CLI must name the program under test");
#endif
}

inline std::string read_text(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

inline void write_text(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

inline Words words(const std::string& line) {
  std::istringstream stream(line);
  Words list;
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

struct Outcome {
  int status = -1;  ///< exit status, or 1000 + signal
  std::string out;
  std::string err;
};

/// A temporary folder, the working directory of the programs it runs.
class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "lossatlas-cli-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    fs::remove(log("out"), ignored);
    fs::remove(log("err"), ignored);
  }

  fs::path path(const std::string& name) const { return folder_ / name; }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      names.insert(fs::relative(entry.path(), folder_).string());
    }
    return names;
  }

  /// Starts the program without a CUDA module, so that every machine behaves alike.
  pid_t start(const Words& arguments) const {
    const std::string program = program_path();
    const std::string out = log("out");
    const std::string err = log("err");
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& word : arguments) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child != 0) return child;
    setenv("LOSSATLAS_CUDA_MODULE", "/nonexistent/module.so", 1);
    for (const auto& [name, value] : environment_) setenv(name.c_str(), value.c_str(), 1);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
      signal(number, number == ignored_signal_ ? SIG_IGN : SIG_DFL);  // whatever the tests run under
    }
    const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err_file = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (chdir(folder_.c_str()) != 0 || dup2(out_file, 1) < 0 || dup2(err_file, 2) < 0) _exit(126);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  /// Waits for the program; one that takes more than two minutes is killed.
  Outcome finish(pid_t child) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > deadline) kill(child, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return {code, read_text(log("out")), read_text(log("err"))};
  }

  Outcome run(const Words& arguments) const { return finish(start(arguments)); }
  Outcome run(const std::string& line) const { return run(words(line)); }

  std::string log(const char* stream) const { return folder_.string() + "." + stream; }

  std::map<std::string, std::string> environment_;  ///< that programs get besides that of the tests
  int ignored_signal_ = 0;                          ///< when they begin

 private:
  fs::path folder_;
};

}  // namespace lossatlas::testing
