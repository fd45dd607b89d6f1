// Figures of the papers, by name.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common.hpp"
#include "outputs.hpp"
#include "report.hpp"

namespace lossatlas::cli {

struct ReproduceArguments {
  std::string figure;
  std::filesystem::path out;
  std::vector<OutputFile> outputs;  ///< of the figure, in out
  std::string data;
  DeviceOptions device;
  bool json = false;
};

/// A figure: what it shows, its files besides report.json, and the function that draws them into arguments.out and
/// returns the report. It draws only after check_apart(arguments.outputs, session).
struct Figure {
  const char* name;
  const char* description;
  std::array<const char*, 4> files;
  Json (*draw)(const ReproduceArguments& arguments, Session& session);
};

/// The figures of [C19] (arXiv 1912.07559).
std::span<const Figure> czarnecki2019_figures();
/// The figures of [Z21] (arXiv 2105.14573).
std::span<const Figure> zhang2021_figures();

}  // namespace lossatlas::cli
