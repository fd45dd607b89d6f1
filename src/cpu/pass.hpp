// A forward and a backward pass on the host that keep, for a chunk of samples, what every layer saw: for sums over
// samples that are not gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/dataset.hpp>
#include <lossatlas/loss.hpp>
#include <lossatlas/network.hpp>

#include "cpu/dense.hpp"
#include "cpu/layers.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {

/// Layers are indices into Network::layers(). Single-threaded; the caller holds a cpu::SingleThreadedBlas, and network,
/// data and θ outlive the pass.
class SamplePass {
 public:
  SamplePass(const Network& network, const Dataset& data, Loss loss, std::span<const double> theta);

  /// z and a of all layers for samples first..first+rows−1, rows ≤ cpu::kChunk.
  void forward(std::int64_t first, std::int64_t rows);
  /// ∂R/∂z of the layers from `lowest` up for the samples of the last forward().
  void backward(std::int64_t lowest);
  /// gradient (M) += Jᵀ u for u (rows, outputs) and J, the derivative of the outputs of the last forward() in θ.
  void pull_back(std::span<const double> outputs, std::span<double> gradient);
  /// J d (rows, outputs) for a direction d (M).
  std::vector<double> image(std::span<const double> direction) const;

  std::int64_t first() const { return first_; }
  std::int64_t rows() const { return rows_; }
  cpu::ConstMatrix input(std::int64_t layer) const;   ///< a of the layer below (rows, in)
  cpu::ConstMatrix pre(std::int64_t layer) const;     ///< z (rows, out)
  cpu::ConstMatrix output(std::int64_t layer) const;  ///< a (rows, out)
  cpu::ConstMatrix error(std::int64_t layer) const;   ///< ∂R/∂z (rows, out), with the 1/N of R

 private:
  struct Values {
    std::vector<double> pre, output, error;  // (rows, out) each
  };
  void pull_down(std::int64_t lowest);  ///< errors of the layers below the last, from its own
  const Values& values(std::int64_t layer) const { return values_[static_cast<std::size_t>(layer)]; }

  const Network& network_;
  const Dataset& data_;
  Loss loss_;
  std::span<const double> theta_;
  std::vector<Values> values_;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
};

/// body(pass) after the forward pass of each chunk of all samples, in order.
template <class Body>
void for_each_chunk(SamplePass& pass, std::int64_t samples, Body&& body) {
  for (std::int64_t first = 0; first < samples; first += cpu::kChunk) {
    pass.forward(first, std::min(cpu::kChunk, samples - first));
    body(pass);
  }
}

}  // namespace lossatlas
