// What `lossatlas fit` writes and prints.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <lossatlas/lossatlas.hpp>

#include "outputs.hpp"
#include "report.hpp"

namespace lossatlas::cli {

/// A data set besides the training data that the surface is shown on; role is "test" or "transfer".
struct Other {
  std::string role;
  Dataset data;
};

/// Everything that a run of `fit` found.
struct FitResult {
  Pattern target;
  Dataset train;
  FitOptions options;
  PatternFit fit;
  Surface surface;  ///< on the training data
  std::vector<Other> others;
  std::vector<TransferReport> reports;  ///< on the others
  PatternError error;  ///< on the pattern's own pixels
  double seconds = 0;
};

/// All files that a fit writes into `folder`.
std::vector<OutputFile> fit_files(const std::filesystem::path& folder, const std::vector<Other>& others);

Json fit_report(const FitResult& result);
/// Writes model.safetensors and directions.npy into `folder`, which is made if missing.
void write_fitted_model(const PatternFit& fit, const std::filesystem::path& folder);
/// Writes the other files of a fit: surfaces, pictures, report.json.
void write_fit(const FitResult& result, const Json& report, const std::filesystem::path& folder);
void print_fit(const FitResult& result, const std::filesystem::path& folder);

}  // namespace lossatlas::cli
