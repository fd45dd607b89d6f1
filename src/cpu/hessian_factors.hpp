// The factors of the Hessian's products, for one chunk of samples (docs/theory.md, section 5).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/hessian_part.hpp>
#include <lossatlas/progress.hpp>

#include "cpu/pass.hpp"
#include "cpu/problem.hpp"
#include "cpu/scratch.hpp"
#include "linalg/blas.hpp"

namespace lossatlas::cpu {

/// A dense layer and its offsets in θ. With the constant 1 of the bias it has d = in + bias inputs.
struct PlacedLayer {
  Dense layer;
  std::int64_t weight = 0;  ///< first entry in θ
  std::int64_t bias = 0;    ///< first entry in θ, when the layer has a bias

  std::int64_t augmented() const { return layer.in + (layer.bias ? 1 : 0); }
  std::int64_t parameters() const { return layer.out * augmented(); }
  /// Index in θ of unit i's parameter for input j; the bias is the input `in`.
  std::int64_t at(std::int64_t i, std::int64_t j) const { return j == layer.in ? bias + i : weight + i * layer.in + j; }
};

std::vector<PlacedLayer> placed_layers(const Network& network);

/// How the curvature of the loss enters the Hessian.
enum class HessianMethod : std::uint8_t {
  jacobian,  ///< JᵀJ with J (samples·H·C, M): the Gauss–Newton part as one large product
  blocks,    ///< S_kl of every pair of layers, in one product per unit
};

/// The factors of one chunk. For the mean squared error they are those of half the loss.
class ChunkFactors {
 public:
  ChunkFactors(const Network& network, HessianMethod method, std::int64_t samples);

  const std::vector<PlacedLayer>& layers() const { return layers_; }
  std::int64_t samples() const { return samples_; }

  // Rows of sample n of the chunk; l and k are indices of layers.
  double* input(std::size_t l, std::int64_t n) const { return input_[l] + n * layers_[l].augmented(); }  // ã
  double* slope(std::size_t l, std::int64_t n) const { return slope_[l] + n * layers_[l].layer.out; }    // φ'
  double* delta(std::size_t l, std::int64_t n) const { return delta_[l] + n * layers_[l].layer.out; }    // δ
  double* bend(std::size_t l, std::int64_t n) const { return bend_[l] + n * layers_[l].layer.out; }  // φ''⊙Wᵀδ
  /// S_kl (m_l, m_k), k ≤ l: entry (p, i) is ∂δ_l[p]/∂z_k[i].
  double* curvature(std::size_t k, std::size_t l, std::int64_t n) const {
    return curvature_[pair(k, l)] + n * layers_[k].layer.out * layers_[l].layer.out;
  }
  /// J_lk (m_k, m_l), k < l: entry (i, q) is ∂a_l[q]/∂z_k[i].
  double* sensitivity(std::size_t k, std::size_t l, std::int64_t n) const {
    return sensitivity_[pair(k, l)] + n * layers_[k].layer.out * layers_[l].layer.out;
  }
  /// (samples·H·C, M): F ∂p/∂θ with FᵀF = ∇²ℓ.
  Matrix jacobian() const { return jacobian_; }

 private:
  std::size_t pair(std::size_t k, std::size_t l) const { return k * layers_.size() + l; }

  std::vector<PlacedLayer> layers_;
  std::int64_t samples_;
  Scratch memory_;
  std::vector<double*> input_, slope_, delta_, bend_;  ///< by layer
  std::vector<double*> curvature_, sensitivity_;       ///< by pair of layers
  Matrix jacobian_{};
};

/// Computes the factors of one chunk after another.
class HessianFactors {
 public:
  HessianFactors(const Problem& problem, std::span<const double> theta, HessianPart part, HessianMethod method);
  HessianFactors(const HessianFactors&) = delete;
  HessianFactors& operator=(const HessianFactors&) = delete;

  /// Samples of a full chunk, and the bytes of its factors; both depend on the problem only.
  static std::int64_t capacity(const Problem& problem, HessianMethod method);
  static std::int64_t bytes(const Problem& problem, HessianMethod method);

  /// Computes the factors of samples first..first+rows−1. Heeds a requested stop.
  void compute(std::int64_t first, std::int64_t rows, int threads, const Control& control);
  const ChunkFactors& chunk() const { return chunk_; }
  std::int64_t rows() const { return rows_; }

 private:
  LayerView<const double> view(std::size_t l) const {
    return problem_.network.view(theta_, static_cast<std::int64_t>(l));
  }

  void take_forward(const ForwardPass& pass, std::int64_t begin);
  void take_backward(Pass& pass, std::int64_t begin);
  void curvature_blocks(ConstMatrix logits, std::int64_t begin, std::int64_t rows, const Control& control);
  void lower_diagonal_block(std::size_t l, std::int64_t begin, std::int64_t rows);
  void sensitivity_blocks(std::int64_t begin, std::int64_t rows, const Control& control);
  void jacobian_rows(ConstMatrix logits, std::int64_t begin, std::int64_t rows, const Control& control);
  void write_jacobian(std::size_t l, std::int64_t begin, std::int64_t rows, const double* cotangents);

  Problem problem_;
  std::span<const double> theta_;
  HessianPart part_;
  HessianMethod method_;
  ChunkFactors chunk_;
  const std::vector<PlacedLayer>& layers_;
  std::int64_t rows_ = 0;
};

}  // namespace lossatlas::cpu
