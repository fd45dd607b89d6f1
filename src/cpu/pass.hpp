// The passes over a chunk of samples on the CPU: forward, and derivatives forward and backward. They underlie
// everything in f64 that sums over samples, except sections, which have fused kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <lossatlas/hessian_part.hpp>
#include <lossatlas/progress.hpp>

#include "cpu/loss_rows.hpp"
#include "cpu/problem.hpp"
#include "linalg/blas.hpp"
#include "model/graph.hpp"

namespace lossatlas::cpu {

/// Samples in one matrix product.
inline constexpr std::int64_t kChunk = 512;

struct PassOptions {
  std::int64_t capacity = kChunk;  ///< samples at most
  /// Computes φ'(z) in the forward pass and keeps it; pays for many directions at the same samples.
  bool slopes = false;
};

/// A matrix (rows, m_l) for each layer, with room for `capacity` rows. The memory is allocated on first use.
class LayerValues {
 public:
  LayerValues(const Network& network, std::int64_t capacity) : network_(network), capacity_(capacity) {}

  Matrix operator[](std::int64_t l) {
    allocate();
    return {values_[static_cast<std::size_t>(l)].data(), network_.width(l)};
  }
  ConstMatrix operator[](std::int64_t l) const {
    return {values_[static_cast<std::size_t>(l)].data(), network_.width(l)};
  }
  void allocate() {
    if (!values_.empty()) return;
    for (std::int64_t l = 0; l < network_.depth(); ++l) {
      values_.emplace_back(static_cast<std::size_t>(capacity_ * network_.width(l)));
    }
  }

 private:
  const Network& network_;
  std::int64_t capacity_;
  std::vector<std::vector<double>> values_;
};

/// The values of the layers for samples first..first+rows−1 of the last forward(). Layers are indices into
/// Network::nodes(); values of layer l are (rows, m_l). Single-threaded. The caller holds a SingleThreadedBlas;
/// network, data, θ and control outlive the pass. Heeds a requested stop between layers.
class ForwardPass {
 public:
  ForwardPass(const Problem& problem, std::span<const double> theta, PassOptions options = {},
              const Control& control = {});

  /// Computes z and a of the layers 0..layers−1.
  void forward(std::int64_t first, std::int64_t rows, std::int64_t layers);
  void forward(std::int64_t first, std::int64_t rows) { forward(first, rows, network_.depth()); }
  /// The same, through all layers, for inputs (rows, d) that are not from the data.
  void forward(ConstMatrix inputs, std::int64_t rows);

  std::int64_t first() const { return first_; }
  std::int64_t rows() const { return rows_; }
  /// The value that layer l takes; the first, if there are several.
  ConstMatrix input(std::int64_t l) const { return value(node(l).inputs.front()); }
  ConstMatrix pre(std::int64_t l) const { return pre_[l]; }             ///< z
  ConstMatrix output(std::int64_t l) const { return post_[l]; }         ///< a
  ConstMatrix slope(std::int64_t l) const { return slope_[l]; }         ///< φ'(z); PassOptions::slopes
  ConstMatrix outputs() const { return output(network_.depth() - 1); }  ///< (rows, H·C)

 protected:
  const Node& node(std::int64_t l) const { return network_.nodes()[static_cast<std::size_t>(l)]; }
  std::vector<ConstMatrix> inputs(std::int64_t l) const;
  LayerView<const double> view(std::int64_t l) const { return network_.view(theta_, l); }
  std::int64_t count(std::int64_t l) const { return rows_ * network_.width(l); }
  void multiply_by_slope(std::int64_t l, double* values) const;

  const Network& network_;
  Control control_;
  PassOptions options_;

 private:
  ConstMatrix value(std::int32_t l) const { return l < 0 ? inputs_ : output(l); }
  void run(std::int64_t layers);

  const Dataset& data_;
  std::span<const double> theta_;
  ConstMatrix inputs_;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
  LayerValues pre_, post_, slope_;
};

/// A forward pass, and the derivatives that were computed since it.
class Pass : public ForwardPass {
 public:
  Pass(const Problem& problem, std::span<const double> theta, PassOptions options = {}, const Control& control = {});

  /// J v (rows, H·C) for a direction v (M) and J the derivative of the outputs in θ.
  ConstMatrix jvp(std::span<const double> v);

  /// The cotangent of the outputs (rows, H·C); the caller fills it in before pull_down() or vjp().
  Matrix cotangent() { return delta_[network_.depth() - 1]; }
  /// Sets the cotangent of the outputs to that of the samples' losses, ∂ℓ/∂p / divisor.
  void fill_loss_cotangent(double divisor = 1);
  /// Computes δ_l, the cotangent of z_l, for the layers from `lowest` up, from the cotangent of the outputs.
  void pull_down(std::int64_t lowest);
  ConstMatrix delta(std::int64_t l) const { return delta_[l]; }
  /// sum (M) += Jᵀ cotangent.
  void vjp(std::span<double> sum);

  /// Does pull_down(0) and computes φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1} below the last layer. Needs PassOptions::slopes.
  void pull_down_bends();
  ConstMatrix bend(std::int64_t l) const { return bend_[l]; }
  /// sum (M) += rows·H v, forward over reverse, for the Hessian of the samples' mean loss. The whole Hessian first
  /// needs fill_loss_cotangent() and pull_down_bends(). See pass.cpp.
  void add_hessian_product(HessianPart part, std::span<const double> v, std::span<double> sum);

 private:
  std::vector<ConstMatrix> input_tangents(std::int64_t l) const;
  void tangents(std::span<const double> v, LayerValues* pre_tangents);
  void lower_cotangent(std::int64_t l, std::int64_t lowest);

  LossRows loss_rows_;
  std::vector<std::vector<BackwardEdge>> edges_;
  LayerValues delta_, bend_, tangent_, pre_tangent_, moved_delta_;
};

/// One Pass per thread, made when the thread first works.
class Passes {
 public:
  /// Problem, θ and control outlive this object.
  Passes(const Problem& problem, std::span<const double> theta, PassOptions options = {}, const Control& control = {})
      : problem_(problem),
        theta_(theta),
        options_(options),
        control_(control),
        passes_(static_cast<std::size_t>(problem.threads)) {}

  Pass& of(int thread) {
    auto& pass = passes_[static_cast<std::size_t>(thread)];
    if (!pass) pass = std::make_unique<Pass>(problem_, theta_, options_, control_);
    return *pass;
  }

 private:
  Problem problem_;
  std::span<const double> theta_;
  PassOptions options_;
  Control control_;
  std::vector<std::unique_ptr<Pass>> passes_;
};

/// Calls body(pass) after the forward pass of each chunk, for all samples in order.
template <class AnyPass, class Body>
void for_each_chunk(AnyPass& pass, std::int64_t samples, Body&& body) {
  for (std::int64_t first = 0; first < samples; first += kChunk) {
    pass.forward(first, std::min(kChunk, samples - first));
    body(pass);
  }
}

}  // namespace lossatlas::cpu
