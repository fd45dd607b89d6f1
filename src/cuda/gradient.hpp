// Losses, gradients and Gauss–Newton products on a CUDA device: cuBLAS over fixed chunks of samples, in order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

#include "../kernels/training.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// Samples in one matrix product.
inline constexpr std::int64_t kChunkRows = 2048;

/// losses (H) and accuracy (H; NaN for real targets) at θ (M). Throws Interrupted; reports no progress.
void evaluate(Workspace& workspace, const Problem& problem, std::span<const double> theta, const Control& control,
              std::span<double> losses, std::span<double> accuracy);

/// ∇R (M) averaged over samples first..last−1. Throws InvalidArgument on an empty range.
void gradient(Workspace& workspace, const Problem& problem, std::span<const double> theta, std::int64_t first,
              std::int64_t last, const Control& control, std::span<double> gradient);

/// product (M) = (1/N) Σ_n J_nᵀ (∇²ℓ_n) J_n v.
void gauss_newton_product(Workspace& workspace, const Problem& problem, std::span<const double> theta,
                          std::span<const double> v, const Control& control, std::span<double> product);

/// Forward, tangent and backward passes over one chunk of samples at a time, with the memory they need.
class Pass {
 public:
  /// Layers 0..layers−1 of the network at θ (M, device memory).
  Pass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers);

  /// Computes all activations for samples first..first+rows−1, rows ≤ kChunkRows.
  void forward_pass(std::int64_t first, std::int64_t rows);
  /// a (rows, m) of the last layer, or the inputs if there are no layers.
  const double* last() const { return below(layers_.size()); }
  std::int64_t last_width() const { return width(layers_.size()); }
  /// Leaves J v (rows, H·C), at the activations of the last forward pass, in cotangent(); v (M) is in device memory.
  void tangent_pass(const double* v);
  /// The memory (rows, H·C) that backward_pass() reads.
  double* cotangent();
  /// sum (M) += Jᵀ cotangent.
  void backward_pass(double* sum);
  /// The outputs of the last forward pass with their targets.
  kernels::OutputRows outputs() const;

 private:
  struct LayerMemory {
    std::int64_t in, out;
    Activation activation;
    std::int64_t weight, bias;  // offsets in θ; bias −1: none
    DeviceBuffer<double> pre;   // z (rows, out)
    DeviceBuffer<double> post;  // a (rows, out)
  };

  double* delta(std::size_t l) { return deltas_[l % 2].data(); }
  /// The input of layer l.
  const double* below(std::size_t l) const;
  std::int64_t width(std::size_t l) const { return l == 0 ? problem_.features() : layers_[l - 1].out; }
  static const double* bias_at(const LayerMemory& layer, const double* theta) {
    return layer.bias < 0 ? nullptr : theta + layer.bias;
  }
  void multiply(const LayerMemory& layer, const double* weights, const double* x, double beta, double* y);

  Workspace& workspace_;
  const Problem& problem_;
  const double* theta_;
  std::vector<LayerMemory> layers_;
  DeviceBuffer<double> deltas_[2];  // of layers with even and with odd index
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
};

}  // namespace lossatlas::cuda
