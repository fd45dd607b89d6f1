// Activations and cotangents of one chunk of samples, as Hessians and their products need them, in device memory.
#pragma once

#include <cstdint>
#include <vector>

#include "../kernels/hessian.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// Samples of the largest chunk.
inline constexpr std::int64_t kHessianRows = 2048;

/// A row-major matrix in device memory.
struct DeviceMatrix {
  double* data;
  std::int64_t stride;
};
struct ConstDeviceMatrix {
  const double* data;
  std::int64_t stride;
};

/// C (m, n) ← A (m, k) B (k, n) + beta·C.
void multiply(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
              ConstDeviceMatrix b, double beta, DeviceMatrix c);
/// C (m, n) ← A (m, k) Bᵀ (n, k) + beta·C.
void multiply_by_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                            ConstDeviceMatrix b, double beta, DeviceMatrix c);
/// C (m, n) ← Aᵀ (k, m) B (k, n) + beta·C.
void multiply_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                         ConstDeviceMatrix b, double beta, DeviceMatrix c);

/// The layers with their offsets in θ.
std::vector<kernels::PlacedLayer> placed_layers(const Network& network);

class HessianPass {
 public:
  /// For chunks of up to `capacity` samples at θ (M, device memory).
  HessianPass(Workspace& workspace, const Problem& problem, const double* theta, std::int64_t capacity);

  /// Computes ã, φ' and, if `residuals`, δ and φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1} of samples first..first+rows−1.
  void compute(std::int64_t first, std::int64_t rows, bool residuals);

  /// Doubles per sample.
  static std::int64_t sample_entries(const Problem& problem);

  std::int64_t rows() const { return rows_; }
  std::size_t depth() const { return layers_.size(); }
  const kernels::PlacedLayer& placed(std::size_t l) const { return layers_[l].placed; }
  std::int64_t out(std::size_t l) const { return placed(l).out; }
  ConstDeviceMatrix weights(std::size_t l) const { return weights(l, theta_); }
  /// Weights of layer l within a vector (M) laid out like θ.
  ConstDeviceMatrix weights(std::size_t l, const double* vector) const {
    return {vector + placed(l).weight, placed(l).in};
  }
  const double* bias(std::size_t l, const double* vector) const {
    return placed(l).bias < 0 ? nullptr : vector + placed(l).bias;
  }

  // (rows, d_l), then three of (rows, m_l).
  ConstDeviceMatrix input(std::size_t l) const { return {layers_[l].input.data(), placed(l).augmented()}; }
  const double* slope(std::size_t l) const { return layers_[l].slope.data(); }
  const double* delta(std::size_t l) const { return layers_[l].delta.data(); }
  const double* bend(std::size_t l) const { return layers_[l].bend.data(); }
  /// The outputs with their targets.
  kernels::OutputRows outputs() const;

 private:
  struct LayerMemory {
    kernels::PlacedLayer placed;
    Activation activation;
    DeviceBuffer<double> input, pre, slope, delta, bend;
  };

  void forward_pass();
  void backward_pass();

  Workspace& workspace_;
  const Problem& problem_;
  const double* theta_;
  std::vector<LayerMemory> layers_;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
};

}  // namespace lossatlas::cuda
