// The chapters of docs/architecture.md: who may include whom.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

// Includes go down. Chapters on one floor don't include each other.
const std::vector<std::vector<std::string>> kFloors = {{"base"},
                                                       {"file", "linalg", "kernels"},
                                                       {"layers"},
                                                       {"model"},
                                                       {"section"},
                                                       {"backend"},
                                                       {"cpu", "cuda"},
                                                       {"landscape"},
                                                       {"surface", "curvature"},
                                                       {"pattern", "critical"},
                                                       {"format"},
                                                       {"section_file", "picture"},
                                                       {"cli"}};

const std::map<std::string, std::vector<std::string>> kPublicHeaders = {
    {"base",
     {"activation", "device_rates", "error", "export", "hessian_part", "loss", "precision", "progress", "text"}},
    {"file", {"opened_files", "output_file"}},
    {"linalg", {"spectrum_values"}},
    {"layers", {"add", "dense", "shape"}},
    {"model", {"dataset", "network"}},
    {"section", {"evaluate_options", "grid", "section", "section_cost", "surface"}},
    {"backend", {"device", "rates", "version"}},
    {"landscape", {"landscape"}},
    {"surface", {"chebyshev"}},
    {"curvature", {"curvature", "hessian", "spectrum"}},
    {"critical", {"critical_point", "embedding", "forecast", "optimise"}},
    {"pattern", {"implicit_activation", "pattern", "pattern_fit", "transfer"}},
    {"format", {"array", "dataset_io", "model_file", "rgb_image", "vti"}},
    {"section_file", {"section_file"}},
    {"picture", {"figure_options", "image"}},
    {"cli", {"lossatlas"}}};

struct Exception {
  std::string_view from, to, reason;
};

/// Includes that the rules below would refuse.
const std::vector<Exception> kExceptions = {
    {"src/base/activation.cpp", "kernels/scalar.cuh", "the activations' formulas, of host and device alike"},
    {"kernels/section.hpp", "include/lossatlas/grid.hpp", "the axes of a grid go to the device as they are"},
    {"src/pattern/placed_features.cpp", "src/cpu/section_kernel.hpp", "works on dense chains alone, on the CPU"},
    {"src/pattern/placed_features.cpp", "src/cpu/section_pack.hpp", "works on dense chains alone, on the CPU"},
};

/// Of a device, these chapters see only its pass.
const std::set<std::string> kSeeOnlyThePass = {"pattern", "critical"};

const std::set<std::string> kKinds = {".hpp", ".cpp", ".cu", ".cuh"};
const fs::path kRoot = LOSSATLAS_SOURCE_DIR;

std::optional<std::size_t> floor_of(const std::string& chapter) {
  for (std::size_t floor = 0; floor < kFloors.size(); ++floor) {
    if (std::ranges::find(kFloors[floor], chapter) != kFloors[floor].end()) return floor;
  }
  return std::nullopt;
}

std::string chapter_of_public(const std::string& header) {
  for (const auto& [chapter, headers] : kPublicHeaders) {
    if (std::ranges::find(headers, header) != headers.end()) return chapter;
  }
  return "";
}

/// A file's path below src/, kernels/ or include/ -> its chapter; empty where it has none.
std::string chapter_of(const fs::path& file) {
  auto part = file.begin();
  const std::string top = (part++)->string();
  if (top == "kernels") return top;
  if (top == "src") return part->string();
  return chapter_of_public(file.stem().string());
}

struct Include {
  std::string from, to;  // paths from the root
};

/// Where an include of the project leads: a path from the root; empty for other headers.
std::string target_of(const fs::path& from, const std::string& name) {
  if (name.starts_with("lossatlas/")) return "include/" + name;
  for (const fs::path& folder : {from.parent_path(), fs::path("src"), fs::path("kernels")}) {
    const fs::path target = (folder / name).lexically_normal();
    if (fs::is_regular_file(kRoot / target)) return target.string();
  }
  return "";
}

std::vector<Include> all_includes() {
  const std::regex pattern(R"re(\s*#\s*include\s*(["<])([^">]+)[">].*)re");
  std::vector<Include> includes;
  for (const char* folder : {"include", "src", "kernels"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      if (!kKinds.contains(entry.path().extension().string())) continue;
      const fs::path from = fs::relative(entry.path(), kRoot);
      std::ifstream lines(entry.path());
      std::smatch match;
      for (std::string line; std::getline(lines, line);) {
        if (!std::regex_match(line, match, pattern)) continue;
        const std::string to = target_of(from, match[2]);
        if (!to.empty()) includes.push_back({from.string(), to});
        EXPECT_FALSE(to.empty() && match[1] == "\"" && match[2] != "backend_abi.hpp")
            << from << " includes " << match[2] << ", which is nowhere";
      }
    }
  }
  return includes;
}

/// Why an include breaks the rules; empty where it doesn't.
std::string broken_rule(const Include& include) {
  const std::string from = chapter_of(include.from), to = chapter_of(include.to);
  const auto above = floor_of(from), below = floor_of(to);
  if (!above) return include.from + " is in no chapter: give it one in this test and in docs/architecture.md";
  if (!below) return include.to + " is in no chapter: give it one in this test and in docs/architecture.md";
  if (from == to) return "";
  if (*above < *below) return from + " stands below " + to;
  if (*above == *below) return from + " and " + to + " stand side by side";
  if (kSeeOnlyThePass.contains(from) && (to == "cpu" || to == "cuda") && fs::path(include.to).stem() != "pass")
    return from + " may see only the pass of a device";
  return "";
}

TEST(Chapters, IncludesGoDown) {
  const std::vector<Include> includes = all_includes();
  ASSERT_GT(includes.size(), 500u) << "in " << kRoot;
  std::set<const Exception*> used;
  for (const Include& include : includes) {
    const std::string rule = broken_rule(include);
    if (rule.empty()) continue;
    const auto exception = std::ranges::find_if(
        kExceptions, [&](const Exception& known) { return known.from == include.from && known.to == include.to; });
    if (exception != kExceptions.end()) {
      used.insert(&*exception);
      continue;
    }
    ADD_FAILURE() << include.from << " includes " << include.to << ": " << rule;
  }
  for (const Exception& exception : kExceptions) {
    EXPECT_TRUE(used.contains(&exception)) << exception.from << " no longer needs its exception";
  }
}

TEST(Chapters, EveryFileOfTheSourcesIsInOne) {
  for (const fs::directory_entry& entry : fs::directory_iterator(kRoot / "src")) {
    EXPECT_TRUE(entry.is_directory()) << entry.path();
    EXPECT_TRUE(floor_of(entry.path().filename().string())) << entry.path();
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(kRoot / "include" / "lossatlas")) {
    EXPECT_NE(chapter_of_public(entry.path().stem().string()), "") << entry.path();
  }
}

TEST(Chapters, TheListsNameWhatThereIs) {
  std::ifstream file(kRoot / "docs" / "architecture.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  for (auto floor = kFloors.rbegin(); floor != kFloors.rend(); ++floor) {
    for (const std::string& chapter : *floor) {
      EXPECT_TRUE(fs::is_directory(kRoot / (chapter == "kernels" ? "" : "src") / chapter)) << chapter;
      EXPECT_NE(document.find(chapter), std::string::npos) << chapter << " is not in docs/architecture.md";
    }
  }
  for (const auto& [chapter, headers] : kPublicHeaders) {
    EXPECT_TRUE(floor_of(chapter)) << chapter;
    for (const std::string& header : headers)
      EXPECT_TRUE(fs::is_regular_file(kRoot / "include" / "lossatlas" / (header + ".hpp"))) << header;
  }
}

TEST(Chapters, NoFileIsLong) {
  constexpr std::int64_t kMostLines = 450;
  for (const char* folder : {"bench", "examples", "include", "kernels", "src", "tests"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      if (!kKinds.contains(entry.path().extension().string())) continue;
      std::ifstream text(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(text), {}, '\n');
      EXPECT_LE(lines, kMostLines) << entry.path() << " asks to be two";
    }
  }
}

TEST(Chapters, TheRulesRefuseWhatTheyShould) {
  EXPECT_NE(broken_rule({"src/base/check.hpp", "src/model/labels.hpp"}), "");
  EXPECT_NE(broken_rule({"src/cpu/dense.hpp", "src/cuda/dense.hpp"}), "");
  EXPECT_NE(broken_rule({"src/surface/evaluate.cpp", "include/lossatlas/hessian.hpp"}), "");
  EXPECT_NE(broken_rule({"src/pattern/refine.cpp", "src/cpu/dense.hpp"}), "");
  EXPECT_NE(broken_rule({"include/lossatlas/unknown.hpp", "include/lossatlas/error.hpp"}), "");
  EXPECT_EQ(broken_rule({"src/pattern/refine.cpp", "src/cpu/pass.hpp"}), "");
  EXPECT_EQ(broken_rule({"src/picture/image.cpp", "src/format/png.hpp"}), "");
}

}  // namespace
