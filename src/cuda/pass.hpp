// The passes over a chunk of samples on a CUDA device: forward, and derivatives forward and backward, by cuBLAS. The
// twin of cpu/pass.hpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "../kernels/hessian.hpp"
#include "../kernels/training.hpp"
#include "cuda/layers.hpp"
#include "cuda/matrix.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "model/graph.hpp"

namespace lossatlas::cuda {

/// Samples in one matrix product.
inline constexpr std::int64_t kChunkRows = 2048;

/// The layers with their offsets in θ; those without parameters have weight and bias −1.
std::vector<kernels::PlacedLayer> placed_layers(const Network& network);

/// What a Pass keeps of a chunk of samples.
enum class PassDetail : std::uint8_t {
  values,    ///< z and a
  curvature  ///< values with the constant 1 of the next bias, and φ'(z); what Hessians and their products are made of
};

/// Doubles per sample of a Pass with PassDetail::curvature.
std::int64_t curvature_entries(const Problem& problem);

/// The values of the layers for samples first..first+rows−1 of the last forward(). Layers are indices into
/// Network::nodes(); values of a layer l are (rows, m_l). Problem and θ (M, device memory) outlive it.
class ForwardPass {
 public:
  /// The layers 0..layers−1, for chunks of up to `capacity` samples.
  ForwardPass(Workspace& workspace, const Problem& problem, const double* theta, std::size_t layers, PassDetail detail,
              std::int64_t capacity);

  void forward(std::int64_t first, std::int64_t rows);

  std::int64_t rows() const { return rows_; }
  std::size_t depth() const { return layers_.size(); }
  const kernels::PlacedLayer& placed(std::size_t l) const { return layers_[l].placed; }
  std::int64_t out(std::size_t l) const { return placed(l).out; }
  ConstDeviceMatrix weights(std::size_t l) const { return {parameters(l, theta_).weight, placed(l).in}; }
  /// The value that layer l takes, the first if there are several; with a 1 behind each row for a bias with
  /// PassDetail::curvature.
  ConstDeviceMatrix input(std::size_t l) const { return value(node(l).inputs.front()); }
  const double* slope(std::size_t l) const { return layers_[l].slope.data(); }  ///< φ'(z); PassDetail::curvature
  /// a (rows, m) of the last layer, or the inputs if there are no layers. PassDetail::values.
  const double* last() const { return layers_.empty() ? data_rows() : layers_.back().value.data(); }
  std::int64_t last_width() const { return layers_.empty() ? problem_.features() : layers_.back().placed.out; }
  /// The network's outputs with their targets; for all layers.
  kernels::OutputRows outputs() const;

 protected:
  struct LayerMemory {
    kernels::PlacedLayer placed;
    std::int64_t stride = 0;  // of value
    DeviceBuffer<double> pre;
    DeviceBuffer<double> value;  // a; not of the last layer with PassDetail::curvature
    DeviceBuffer<double> slope;  // PassDetail::curvature
  };

  const Node& node(std::size_t l) const { return problem_.network().nodes()[l]; }
  /// Where layer l's parameters are in a vector (M) laid out like θ.
  template <class T>
  DeviceParameters<T> parameters(std::size_t l, T* vector) const {
    return {placed(l).weight < 0 ? nullptr : vector + placed(l).weight,
            placed(l).bias < 0 ? nullptr : vector + placed(l).bias};
  }
  std::vector<ConstDeviceMatrix> inputs(std::size_t l) const;
  bool keeps_curvature() const { return detail_ == PassDetail::curvature; }
  DeviceBuffer<double> buffer(std::int64_t width) const;

  Gpu gpu_;
  const Problem& problem_;
  const double* theta_;
  std::vector<LayerMemory> layers_;
  std::int64_t rows_ = 0;

 private:
  const double* data_rows() const { return problem_.inputs() + first_ * problem_.features(); }
  ConstDeviceMatrix value(std::int64_t l) const;
  bool keeps_value(std::size_t l) const { return !keeps_curvature() || l + 1 < depth(); }

  PassDetail detail_;
  std::int64_t capacity_;
  std::int64_t input_stride_;
  DeviceBuffer<double> input_;  // x with a 1 behind each row for a bias; PassDetail::curvature
  std::int64_t first_ = 0;
};

/// A forward pass through all layers, and the derivatives that were asked for since it.
class Pass : public ForwardPass {
 public:
  Pass(Workspace& workspace, const Problem& problem, const double* theta, PassDetail detail, std::int64_t capacity);

  /// Memory (rows, H·C) for the cotangent of the outputs that vjp() reads.
  double* cotangent() { return moved(depth() - 1).data; }
  /// Leaves J v (rows, H·C) in cotangent(); v (M) is in device memory. PassDetail::values.
  void jvp(const double* v);
  /// sum (M) += Jᵀ cotangent. PassDetail::values.
  void vjp(double* sum);

  /// δ_l and φ''(z_l) ⊙ W_{l+1}ᵀ δ_{l+1} for the cotangent of the samples' losses. PassDetail::curvature.
  void pull_down_bends();
  const double* delta(std::size_t l) const { return derivatives_[l].delta.data(); }
  const double* bend(std::size_t l) const { return derivatives_[l].bend.data(); }
  /// sum (M) += rows·H v for the Hessian of the mean loss of the samples, forward over reverse (see cpu/pass.cpp). The
  /// whole Hessian needs pull_down_bends(). PassDetail::curvature.
  void add_hessian_product(bool full, const double* v, double* sum);

 private:
  struct LayerDerivatives {
    DeviceBuffer<double> delta, bend;                // PassDetail::curvature
    DeviceBuffer<double> pre_tangent, post_tangent;  // of add_hessian_product(), made when it is first called
  };

  DeviceMatrix moved(std::size_t l);
  ConstDeviceMatrix post_tangent(std::size_t l) const { return {derivatives_[l].post_tangent.data(), out(l)}; }
  template <class TangentOf>
  void push_tangent(std::size_t l, const double* v, TangentOf&& tangent_of, DeviceMatrix tangent);
  void multiply_by_slope(std::size_t l, double* values) const;
  void tangents(const double* v);

  bool chain_;
  std::vector<std::vector<BackwardEdge>> edges_;
  std::vector<LayerDerivatives> derivatives_;
  // Cotangents, or tangents: of each layer, or in a chain of the layers with even and with odd index.
  std::vector<DeviceBuffer<double>> moved_;
};

}  // namespace lossatlas::cuda
