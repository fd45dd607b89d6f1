// The passes over a chunk of samples on a CUDA device: forward, and derivatives forward and backward, by cuBLAS. The
// twin of cpu/pass.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "../kernels/hessian.hpp"
#include "../kernels/training.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "model/graph.hpp"

namespace lossatlas::cuda {

/// Samples in one matrix product.
inline constexpr std::int64_t kChunkRows = 2048;

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

/// The layers with their offsets in θ; those without parameters have weight and bias −1.
std::vector<kernels::PlacedLayer> placed_layers(const Network& network);

/// What a Pass keeps of a chunk of samples.
enum class PassDetail : std::uint8_t {
  values,    ///< z and a
  curvature  ///< values with the constant 1 of the next bias, and φ'(z); what Hessians and their products are made of
};

/// What the layers compute for samples first..first+rows−1 of the last forward(), with what was asked for since. Layers
/// are indices into Network::nodes(); values of a layer l are (rows, m_l). Problem and θ (M, device memory) outlive it.
class Pass {
 public:
  /// The layers 0..layers−1, for chunks of up to `capacity` samples.
  Pass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers, PassDetail detail,
       std::int64_t capacity);

  /// Doubles per sample of PassDetail::curvature.
  static std::int64_t curvature_entries(const Problem& problem);

  void forward(std::int64_t first, std::int64_t rows);

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

  /// The value that layer l takes, the first if there are several; with a 1 behind each row for a bias with
  /// PassDetail::curvature.
  ConstDeviceMatrix input(std::size_t l) const { return value(node(l).inputs.front()); }
  const double* slope(std::size_t l) const { return layers_[l].slope.data(); }  ///< φ'(z); PassDetail::curvature
  /// a (rows, m) of the last layer, or the inputs if there are no layers. PassDetail::values.
  const double* last() const { return layers_.empty() ? data_rows() : layers_.back().value.data(); }
  std::int64_t last_width() const { return layers_.empty() ? problem_.features() : layers_.back().placed.out; }
  /// The network's outputs with their targets; for all layers.
  kernels::OutputRows outputs() const;

  /// Memory (rows, H·C) for the cotangent of the outputs that vjp() reads.
  double* cotangent() { return moved(depth() - 1); }
  /// Leaves J v (rows, H·C) in cotangent(); v (M) is in device memory. PassDetail::values.
  void jvp(const double* v);
  /// sum (M) += Jᵀ cotangent. PassDetail::values.
  void vjp(double* sum);

  /// δ_l and φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1} for the cotangent of the samples' losses. PassDetail::curvature.
  void pull_down_bends();
  const double* delta(std::size_t l) const { return layers_[l].delta.data(); }
  const double* bend(std::size_t l) const { return layers_[l].bend.data(); }
  /// sum (M) += rows·H v for the Hessian of the mean loss of the samples, forward over reverse (see cpu/pass.cpp). The
  /// whole Hessian needs pull_down_bends(). PassDetail::curvature.
  void add_hessian_product(bool full, const double* v, double* sum);

 private:
  struct LayerMemory {
    kernels::PlacedLayer placed;
    Activation activation = Activation::identity;
    std::int64_t stride = 0;  // of value
    DeviceBuffer<double> pre;
    DeviceBuffer<double> value;                      // a; not of the last layer with PassDetail::curvature
    DeviceBuffer<double> slope, delta, bend;         // PassDetail::curvature
    DeviceBuffer<double> pre_tangent, post_tangent;  // of add_hessian_product(), made when it is first called
  };

  const Node& node(std::size_t l) const { return problem_.network().nodes()[l]; }
  bool has_weights(std::size_t l) const { return placed(l).weight >= 0; }
  bool keeps_curvature() const { return detail_ == PassDetail::curvature; }
  bool keeps_value(std::size_t l) const { return !keeps_curvature() || l + 1 < depth(); }
  const double* data_rows() const { return problem_.inputs() + first_ * problem_.features(); }
  ConstDeviceMatrix value(std::int64_t l) const;
  DeviceBuffer<double> buffer(std::int64_t width) const;
  double* moved(std::size_t l);
  void sum_layer(std::size_t l);
  template <class Tangent>
  void push_tangent(std::size_t l, const double* v, Tangent&& tangent_of, double* tangent);
  void pull_cotangent(std::size_t l, const double* vector, const double* from, double beta, double* to);
  void tangents(const double* v);
  void add_to_gradient(std::size_t l, bool full, double* sum);

  Workspace& workspace_;
  const Problem& problem_;
  const double* theta_;
  PassDetail detail_;
  std::int64_t capacity_;
  std::vector<LayerMemory> layers_;
  bool chain_;
  std::vector<std::vector<BackwardEdge>> edges_;
  std::int64_t input_stride_;
  DeviceBuffer<double> input_;  // x with a 1 behind each row for a bias; PassDetail::curvature
  // Cotangents, or tangents: of each layer, or in a chain of the layers with even and with odd index.
  std::vector<DeviceBuffer<double>> moved_;
  std::int64_t first_ = 0;
  std::int64_t rows_ = 0;
};

}  // namespace lossatlas::cuda
