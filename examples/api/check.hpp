// What the programs of this folder share: checks that fail loudly, a folder for their files, and a main function.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <string>

/// Throws, naming the line, unless the claim holds.
inline void check(bool holds, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!holds) throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": this doesn't hold");
}

/// Whether a equals b to this relative error, or absolute error if |b| < 1.
inline bool near(double a, double b, double tolerance = 1e-9) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

/// A new folder, removed at the end with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "lossatlas-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder " + path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const char* file) const { return std::filesystem::path(path_) / file; }

 private:
  std::string path_;
};

/// Runs examples in turn and returns the status of the program.
inline int run(std::initializer_list<void (*)()> examples) try {
  for (const auto example : examples) example();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
