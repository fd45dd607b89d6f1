#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/export.hpp>

namespace lossatlas {

/// N samples: inputs (N, d) with class labels (N) or real targets (N, C). Immutable; copies share storage.
class LOSSATLAS_API Dataset {
 public:
  /// inputs (N, features) row-major, labels (N) in [0, classes). Throws InvalidArgument when the data are empty,
  /// sizes disagree, an input is not finite, or a label is out of range.
  /// @snippet api/networks.cpp classification
  static Dataset classification(std::vector<double> inputs, std::int64_t features, std::vector<std::int32_t> labels,
                                std::int64_t classes, std::string name = "data");
  /// inputs (N, features) and targets (N, outputs) row-major. Throws as classification does.
  /// @snippet api/networks.cpp regression
  static Dataset regression(std::vector<double> inputs, std::int64_t features, std::vector<double> targets,
                            std::int64_t outputs, std::string name = "data");

  std::int64_t size() const;      ///< N
  std::int64_t features() const;  ///< d
  std::int64_t outputs() const;   ///< C: classes, or the width of the targets
  bool has_labels() const;
  /// The name given, which messages and reports show.
  const std::string& name() const;
  /// Names of classes 0, 1, ...; empty if the labels came as numbers, fewer than outputs() if with_classes() added
  /// classes.
  const std::vector<std::string>& class_names() const;

  std::span<const double> inputs() const;  ///< (N, d)
  std::span<const double> input(std::int64_t n) const;
  std::span<const std::int32_t> labels() const;  ///< (N); empty for real targets
  std::span<const double> targets() const;       ///< (N, C); empty for labels
  /// Target c of sample n: the real target, or 1 at the label and 0 elsewhere.
  double target(std::int64_t n, std::int64_t c) const;

  /// Samples first..last−1; throws InvalidArgument unless 0 ≤ first < last ≤ N.
  Dataset slice(std::int64_t first, std::int64_t last) const;
  /// Inputs shifted and scaled per column to mean 0 and population variance 1; constant columns become 0.
  Dataset standardised() const;
  /// The same samples and labels with other inputs (N, features).
  Dataset with_inputs(std::vector<double> inputs, std::int64_t features) const;
  /// The same labels, now among `classes` classes; throws InvalidArgument for real targets or fewer classes than
  /// before.
  Dataset with_classes(std::int64_t classes) const;
  /// The same labels with a name for each class; throws InvalidArgument if the number of names differs.
  Dataset with_class_names(std::vector<std::string> names) const;
  /// The same data under another name.
  Dataset renamed(std::string name) const;

 private:
  struct Data;
  explicit Dataset(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

/// The statistics of the targets that fix a loss independent of the inputs.
struct LabelStatistics {
  std::vector<double> mean;  ///< (C): class frequencies π, or the mean target ȳ
  double mean_square = 0;    ///< (1/N) Σ ‖y_n‖²; 1 for labels
  double variance = 0;       ///< tr Cov(y), population: mean_square − ‖mean‖², computed without cancellation
};

/// Label frequencies or target moments of a data set.
/// @snippet api/networks.cpp classification
LOSSATLAS_API LabelStatistics label_statistics(const Dataset& data);

/// Options of glyphs().
struct GlyphOptions {
  std::uint64_t seed = 0;
};

/// A built-in ten-class data set: N drawn digits, 28×28 grey values in [0, 1], with random shift, rotation, size,
/// stroke width and noise. Classes are drawn uniformly. A seed gives the same data on every machine.
LOSSATLAS_API Dataset glyphs(std::int64_t samples, GlyphOptions options = {});

/// The 1-D regression data of [Z21] Figures 1, 3a, 4: x = linspace(−15, 15, 50), y = tanh(x+7) + tanh(x) + tanh(x−7).
LOSSATLAS_API Dataset tanh3();

}  // namespace lossatlas
