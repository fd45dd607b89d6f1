// What `lossatlas fit` writes and prints.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "report.hpp"

namespace lossatlas::cli {

/// The surface on another data set; role is "test" or "transfer".
struct SeenOn {
  std::string role;
  TransferReport report;
};

/// Everything that a run of `fit` found.
struct FitResult {
  Pattern target;
  Dataset train;
  FitOptions options;
  PatternFit fit;
  Surface surface;  ///< on the training data
  std::vector<SeenOn> others;
  PatternError error;  ///< on the pattern's own pixels
  double seconds = 0;
};

Json fit_report(const FitResult& result);
/// model.safetensors and directions.npy into `folder`, which is made if missing.
void write_fitted_model(const PatternFit& fit, const std::filesystem::path& folder);
/// The other files of a fit: surfaces, pictures, report.json.
void write_fit(const FitResult& result, const Json& report, const std::filesystem::path& folder);
void print_fit(const FitResult& result, const std::filesystem::path& folder);

}  // namespace lossatlas::cli
