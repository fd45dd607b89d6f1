// The docstrings of the public headers quote examples: `/// @snippet api/FILE.cpp NAME` stands for the lines between
// two comments `//! [NAME]` in examples/api/FILE.cpp, a program that another test runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = LOSSATLAS_SOURCE_DIR;

/// The lines of all files of a folder with this ending, by the file's name.
std::map<std::string, std::vector<std::string>> lines_of(const char* folder, const char* ending) {
  std::map<std::string, std::vector<std::string>> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(kRoot / folder)) {
    if (entry.path().extension() != ending) continue;
    std::ifstream text(entry.path());
    for (std::string line; std::getline(text, line);) files[entry.path().filename().string()].push_back(line);
  }
  return files;
}

/// "api/FILE.cpp NAME" of every example; fails where markers don't pair up around something.
std::set<std::string> examples() {
  const std::regex marker(R"(\s*//! \[([a-z ]+)\])");
  std::set<std::string> found;
  for (const auto& [file, lines] : lines_of("examples/api", ".cpp")) {
    std::string open;
    std::size_t first = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      std::smatch match;
      const std::string place = file + ":" + std::to_string(i + 1);
      if (!std::regex_match(lines[i], match, marker)) {
        EXPECT_EQ(lines[i].find("//!"), std::string::npos) << place << " is no marker";
      } else if (open.empty()) {
        open = match[1];
        first = i;
        EXPECT_TRUE(found.insert("api/" + file + " " + open).second) << place << " begins a second [" << open << "]";
      } else {
        EXPECT_EQ(match[1], open) << place << " doesn't end what line " << first + 1 << " begins";
        EXPECT_GT(i, first + 1) << place << " ends an empty example";
        open.clear();
      }
    }
    EXPECT_EQ(open, "") << file << " lacks the second marker";
  }
  return found;
}

TEST(Docstrings, QuoteExamplesThatExistAndEachOfThem) {
  const std::regex reference(R"(\s*/// @snippet (api/[a-z_]+\.cpp [a-z ]+))");
  const std::set<std::string> existing = examples();
  std::set<std::string> quoted;
  for (const auto& [header, lines] : lines_of("include/lossatlas", ".hpp")) {
    for (const std::string& line : lines) {
      std::smatch match;
      if (line.find("@snippet") == std::string::npos) continue;
      ASSERT_TRUE(std::regex_match(line, match, reference)) << header << ": " << line;
      quoted.insert(match[1]);
      EXPECT_TRUE(existing.contains(match[1])) << header << " quotes " << match[1] << ", which isn't there";
    }
  }
  for (const std::string& example : existing) EXPECT_TRUE(quoted.contains(example)) << "no header quotes " << example;
  EXPECT_GT(existing.size(), 30u);
}

TEST(Docstrings, EveryPublicFunctionIsInAnExampleUnlessItsNameSaysItAll) {
  const std::regex plain("name|parse_.*|activate.*|all_activations|glyphs|is_dense_chain|hidden_activation");
  const std::regex declaration(R"(^LOSSATLAS_API [^(]*?(\w+)\()");
  std::string shown;
  for (const auto& [file, lines] : lines_of("examples/api", ".cpp")) {
    for (const std::string& line : lines) shown += line + "\n";
  }
  int functions = 0;
  for (const auto& [header, lines] : lines_of("include/lossatlas", ".hpp")) {
    if (header == "version.hpp") continue;
    for (const std::string& line : lines) {
      std::smatch match;
      if (!std::regex_search(line, match, declaration) || std::regex_match(match[1].str(), plain)) continue;
      ++functions;
      EXPECT_TRUE(std::regex_search(shown, std::regex("\\b" + match[1].str() + "\\("))) << header << ": " << match[1];
    }
  }
  EXPECT_GT(functions, 50);
}

TEST(Docstrings, StandOverEveryTypeEveryFreeFunctionAndEveryName) {
  const std::regex declaration(
      R"((struct|class|enum class) (LOSSATLAS_API )?\w+ .*\{.*|LOSSATLAS_API .*|.*\bname\(.*\).*[;{].*)");
  for (const auto& [header, lines] : lines_of("include/lossatlas", ".hpp")) {
    std::string before;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string line = lines[i].substr(std::min(lines[i].size(), lines[i].find_first_not_of(' ')));
      if (!line.starts_with("//") && std::regex_match(line, declaration)) {
        EXPECT_TRUE(before.starts_with("///")) << header << ":" << i + 1 << " has no docstring: " << line;
      }
      if (!line.starts_with("template ")) before = line;
    }
  }
}

}  // namespace
