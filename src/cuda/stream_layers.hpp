// Later layers for the streaming tensor kernels: their packed weights, formed for a batch of points.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "../kernels/tensor_stream.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// What the kernels compute: an affine value A_0 + Σ_d α_d A_d + B, then dense layers. The layers are those of a plan,
/// which outlives it.
struct AffineChain {
  std::span<const ChainLayer> later;
  std::int64_t rank = 0;    ///< z
  std::int64_t heads = 1;   ///< H
  std::int64_t moving = 0;  ///< directions of the affine value

  /// Of a joint plan, whose rows are samples.
  static AffineChain of_samples(const SectionPlan& plan);
  /// Of a sample-free plan in which only biases of the first layer move: its rows are grid points, its parts b_d.
  static AffineChain of_points(const SectionPlan& plan);
};

template <class T>
class StreamLayers {
 public:
  /// Packs the layers that no direction moves. The layers' `parts`, (out, in), outlive this object.
  StreamLayers(Workspace& workspace, const AffineChain& chain, std::int64_t samples, const PackedLayers<T>& parts,
               kernels::Operands operands);

  /// What a batch of points needs besides its partial sums.
  struct Scratch {
    DeviceBuffer<unsigned char> weights;  // (points, moving fragments), unless blocks form them
    DeviceBuffer<T> biases;               // (points, bias values)
  };
  std::int64_t weight_bytes() const;  ///< per point
  std::int64_t bytes_per_point() const;
  Scratch scratch(std::int64_t points) const;

  /// Computes the partial sums of pairs.points points; `bias` is their B (points, units). With half operands only, sets
  /// `flags` (points) where a number left the range of half precision.
  void run(const kernels::PairLosses<T>& pairs, const T* bias, const Scratch& scratch, std::int32_t* flags) const;

  /// Losses of grid points as rows, see kernels::launch_tensor_points(); `scratch` is that of one point.
  void run_points(const kernels::PairLosses<T>& rows, double variance, const Scratch& scratch) const;

 private:
  void set_layers();
  kernels::StreamWeights<T> weights(std::size_t l) const;
  void form(const kernels::PairLosses<T>& pairs, const Scratch& scratch) const;
  kernels::TensorStream<T> problem(const kernels::PairLosses<T>& pairs, const Scratch& scratch) const;

  Workspace& workspace_;
  AffineChain chain_;
  const PackedLayers<T>& parts_;
  kernels::Operands operands_;
  std::vector<kernels::StreamLayer> layers_;
  std::int64_t fragments_[2] = {0, 0};  // of fixed layers, and of a point's own layers
  std::int64_t bias_values_ = 0;
  bool blocks_form_ = false;  ///< blocks form the moving layers' weights in their shared memory
  DeviceBuffer<kernels::StreamLayer> device_layers_;
  DeviceBuffer<double> largest_;  // half only, (layers, parts): max |W_d|
  std::vector<std::int64_t> first_largest_;
  DeviceBuffer<unsigned char> fixed_;
};

/// Whether the kernel for samples takes a plan: it is joint, its weights are finite, and a tile of its layers fits in
/// shared_limit bytes. Depends only on the plan, the precision, the number of samples and the device.
bool stream_takes(const SectionPlan& plan, kernels::Operands operands, std::int64_t samples, std::int64_t shared_limit);

/// Operands for a precision, or nothing if the kernel does not take the plan. Half precision also needs f32, for points
/// that leave its range.
std::optional<kernels::Operands> stream_operands(const SectionPlan& plan, Precision precision, std::int64_t samples,
                                                 std::int64_t shared_limit);

/// Whether the kernel for grid points takes a chain in full precision.
bool stream_takes_points(const AffineChain& chain, kernels::Operands operands, std::int64_t shared_limit);

}  // namespace lossatlas::cuda
