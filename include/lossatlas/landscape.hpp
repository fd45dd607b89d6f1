#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/device.hpp>
#include <lossatlas/device_rates.hpp>
#include <lossatlas/evaluate_options.hpp>
#include <lossatlas/export.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>
#include <lossatlas/progress.hpp>
#include <lossatlas/section.hpp>
#include <lossatlas/section_cost.hpp>
#include <lossatlas/surface.hpp>

namespace lossatlas {

/// R(θ) of each head, and the share of samples whose largest output is the label (NaN for real targets).
struct Evaluation {
  std::vector<double> losses;    ///< (H)
  std::vector<double> accuracy;  ///< (H)

  double loss() const {
    double sum = 0;
    for (double value : losses) sum += value;
    return sum;
  }
};

class DeviceLandscape;

/// The function R: R^M → R of one network, data set and loss: R(θ) = (1/N) Σ_n ℓ(f_θ(x_n), y_n), summed over heads. It
/// lives on one device, and the data move there once. Const calls may run in several threads at once.
/// @snippet api/networks.cpp landscape
class LOSSATLAS_API Landscape {
 public:
  /// Labels may have fewer classes than the network has outputs per head; the other classes then never occur.
  /// Throws InvalidArgument if the data do not fit the network (inputs, outputs per head) or the loss (cross entropy
  /// with targets that are not distributions), and DeviceError if the device fails.
  Landscape(Network network, Dataset data, Loss loss, Device device = Device::best());
  ~Landscape();
  Landscape(Landscape&&) noexcept;
  Landscape& operator=(Landscape&&) noexcept;

  const Network& network() const;
  const Dataset& data() const;
  Loss loss() const;
  const Device& device() const;

  /// Losses and accuracy at θ (M), in f64. Reports progress in samples. Throws InvalidArgument for a wrong size,
  /// Interrupted.
  Evaluation evaluate(std::span<const double> theta, const Control& control = {}) const;
  /// ∇R(θ) (M), in f64. Reports and throws as evaluate() does.
  std::vector<double> gradient(std::span<const double> theta, const Control& control = {}) const;

  /// L(α) = R(θ₀ + Σ αᵢθᵢ) at every point of a grid with as many axes as the section has directions. At the ends of a
  /// line or plane through given parameters, the loss is R of exactly those, in f64, whatever the method. If a sum in
  /// the plan overflows although θ₀ + Σ αᵢθᵢ does not, these parameters are formed and R is computed there, in f64.
  /// With Method::chebyshev the losses come from an interpolant wherever that takes fewer evaluations; the surface's
  /// report says whether it did and estimates the error. See fit_chebyshev().
  /// Throws InvalidArgument if the section does not fit, OutOfMemory with the bytes needed, Interrupted.
  /// @snippet api/sections.cpp surface
  Surface evaluate(const Section& section, const Grid& grid, const EvaluateOptions& options = {}) const;
  /// The same at a list of points (G, z), row-major. Throws InvalidArgument for an empty list or a non-finite point,
  /// too.
  /// @snippet api/sections.cpp surface
  Surface evaluate(const Section& section, std::span<const double> points, const EvaluateOptions& options = {}) const;

  /// The network's output p(α) (G, H·C) at a list of points (G, z), in f64, for a section on which it does not depend
  /// on the input (Theorem 1 of [C19]). Throws InvalidArgument for other sections.
  /// @snippet api/patterns.cpp implicit activation
  std::vector<double> outputs(const Section& section, std::span<const double> points,
                              const Control& control = {}) const;

  /// Describes the plan for a section at G points: stages, FLOP, bytes, transcendental functions and workspace, one
  /// line each. Nothing is measured, so the text is always the same. Heeds a requested stop in the options' control.
  std::string explain(const Section& section, std::int64_t points, const EvaluateOptions& options = {}) const;
  /// The same, with a line for the lower bound on its time at these rates and how it arises; with Method::chebyshev
  /// also for each number of nodes. Throws InvalidArgument unless the rates are positive.
  /// @snippet api/sections.cpp cost
  std::string explain(const Section& section, std::int64_t points, const EvaluateOptions& options,
                      const DeviceRates& rates) const;

 private:
  friend const DeviceLandscape& on_device(const Landscape& landscape);
  struct State;
  std::unique_ptr<State> state_;
};

/// Counts the cost of all G points before any work, whatever the method. Heeds a stop and throws as
/// Landscape::explain().
/// @snippet api/sections.cpp cost
LOSSATLAS_API SectionCost section_cost(const Landscape& landscape, const Section& section, std::int64_t points,
                                       const EvaluateOptions& options = {});

}  // namespace lossatlas
