// The two chains below the joint layer: units that depend only on the grid point (lanes are points), and units that
// depend only on the sample (lanes are samples; computed once per call, in f64).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/progress.hpp>

#include "cpu/section_pack.hpp"
#include "section/plan.hpp"

namespace lossatlas::cpu {

/// A chain of layers evaluated at R grid points at a time. A moving layer becomes one product with fixed weights: its
/// inputs a are followed by α_d a for each direction d of the weights and by α_d for each direction of the bias,
///   W(α) a + b(α) = [W_0 W_1 .. W_k | b_1 .. b_q] [a; α_1 a; ..; α_k a; α_1; ..; α_q] + b_0.
template <class T>
class PointChain {
 public:
  PointChain(const SectionKernels<T>& kernels, std::span<const ChainLayer> layers, const Control& control);

  /// Values of scratch memory that run() needs.
  std::int64_t scratch() const { return 2 * width_ * kernels_->rows; }
  /// Outputs (out of the last layer, R) at alpha (z, R), in `scratch`.
  const T* run(const T* alpha, T* scratch) const;

 private:
  struct Step {
    std::int64_t in;
    std::vector<std::int32_t> weight_directions;
    std::vector<std::int32_t> bias_directions;
    PackedParts<T> product;
  };

  const SectionKernels<T>* kernels_;
  std::vector<Step> steps_;
  std::int64_t width_ = 0;  ///< rows of the widest input or output
};

/// Writes at most R points (·, z) to alpha (z, R); rows past the last repeat it.
template <class T>
void load_points(std::span<const double> points, std::int64_t rank, std::int64_t rows, T* alpha);

/// A_d = W_{j,d} a_{j−1}(x_n) of a joint or quadratic plan, R samples at a time, in f64.
class SampleChain {
 public:
  SampleChain(const SectionPlan& plan, const Dataset& data, const Control& control);

  std::int64_t rows() const { return kernels_->rows; }  ///< R
  std::int64_t scratch() const { return 2 * width_ * rows(); }

  /// Calls use(d, A_d (units, R)) for d = 0..parts−1 at samples first..first+R−1; rows past the data repeat the last
  /// sample.
  template <class Use>
  void tile(std::int64_t first, const Control& control, double* scratch, Use&& use) const {
    const auto [inputs, outputs] = activations(first, control, scratch);
    for (std::int64_t d = 0; d < parts_; ++d) {
      check_stop(control);
      kernels_->dense(joint_.part(d), inputs, outputs);
      use(d, static_cast<const double*>(outputs));
    }
  }

 private:
  /// a_{j−1} (m_{j−1}, R) in one half of the scratch memory, and the other half, still free.
  std::pair<const double*, double*> activations(std::int64_t first, const Control& control, double* scratch) const;

  const SectionKernels<double>* kernels_;
  const Dataset* data_;
  std::vector<PackedParts<double>> layers_;
  PackedParts<double> joint_;
  std::int64_t parts_;
  std::int64_t width_;
};

/// Writes samples first..first+R−1 to x (d, R); rows past the data repeat the last sample.
template <class T>
void load_inputs(const Dataset& data, std::int64_t first, std::int64_t rows, T* x);

}  // namespace lossatlas::cpu
