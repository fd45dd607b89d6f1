// Later layers of a joint plan that the streaming tensor kernel takes: their packed weights, formed for a tile of
// points.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "../kernels/tensor_stream.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/workspace.hpp"
#include "plan.hpp"

namespace lossatlas::cuda {

template <class T>
class StreamLayers {
 public:
  /// Packs the layers that no direction moves. `parts` are the plan's later layers, (out, in), and outlive this.
  StreamLayers(Workspace& workspace, const SectionPlan& plan, const PackedLayers<T>& parts, kernels::Operands operands);

  /// What a tile of points needs besides its partial sums.
  struct Scratch {
    DeviceBuffer<unsigned char> weights;  // (points, moving fragments)
    DeviceBuffer<T> biases;               // (points, bias values)
  };
  std::int64_t weight_bytes() const;  ///< of a point
  std::int64_t bytes_per_point() const;
  Scratch scratch(std::int64_t points) const;

  /// Partial sums of pairs.points points, `bias` their B (points, units); `flags` (points), raised where half precision
  /// was left, with half operands only.
  void run(const kernels::PairLosses<T>& pairs, const T* bias, const Scratch& scratch, std::int32_t* flags) const;

 private:
  void set_layers();
  kernels::StreamWeights<T> weights(std::size_t l) const;

  Workspace& workspace_;
  const SectionPlan& plan_;
  const PackedLayers<T>& parts_;
  kernels::Operands operands_;
  std::vector<kernels::StreamLayer> layers_;
  std::int64_t fragments_[2] = {0, 0};  // of fixed layers, and of a point's own
  std::int64_t bias_values_ = 0;
  DeviceBuffer<kernels::StreamLayer> device_layers_;
  DeviceBuffer<double> largest_;  // half only, (layers, parts): max |W_d|
  std::vector<std::int64_t> first_largest_;
  DeviceBuffer<unsigned char> fixed_;
};

/// Whether the kernel takes a plan: joint, with finite weights, and a tile of its layers fits shared_limit bytes.
/// A matter of the plan, the precision, the number of samples and the device alone.
bool stream_takes(const SectionPlan& plan, kernels::Operands operands, std::int64_t samples, std::int64_t shared_limit);

/// Operands for a precision, or nothing where the kernel does not take the plan. Half precision needs f32 beside it,
/// for points that leave its range.
std::optional<kernels::Operands> stream_operands(const SectionPlan& plan, Precision precision, std::int64_t samples,
                                                 std::int64_t shared_limit);

}  // namespace lossatlas::cuda
