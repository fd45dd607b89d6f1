// Figures of the papers, by name.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "common.hpp"
#include "report.hpp"

namespace lossatlas::cli {

struct ReproduceArguments {
  std::string figure;
  std::filesystem::path out;
  std::string data;
  DeviceOptions device;
  bool json = false;
};

/// A figure: what it shows, and what draws it into arguments.out and returns the report.
struct Figure {
  const char* name;
  const char* description;
  Json (*draw)(const ReproduceArguments& arguments, Session& session);
};

/// The figures of [C19] (arXiv 1912.07559).
std::span<const Figure> czarnecki2019_figures();
/// The figures of [Z21] (arXiv 2105.14573).
std::span<const Figure> zhang2021_figures();

}  // namespace lossatlas::cli
