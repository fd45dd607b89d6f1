// The options that say which line, plane or box of parameter space a section is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "common.hpp"

namespace lossatlas::cli {

/// θ_0 and the directions of a section: --through, or --origin, --directions and what belongs to it.
struct DirectionOptions {
  std::vector<std::string> through;  ///< models that give all of it; else --model and what follows
  std::string origin = "model";
  std::string source;  ///< a file, or "random" or "filter"
  std::string normalise;
  std::string bias = "zero";
  std::int64_t count = 2;
  std::uint64_t seed = 0;
  bool orthogonal = false;

  bool drawn_at_random() const { return source == "random" || source == "filter"; }

  void add_to(CLI::App& command);
  /// Checks which options go together, before any file is read.
  void check_usage(const CLI::App& command) const;
  /// The model of --model, or the first of --through.
  Model read_origin(const ModelOptions& models) const;
  /// The section for that model.
  Section section(const ModelOptions& models, const Model& origin_model) const;
};

}  // namespace lossatlas::cli
