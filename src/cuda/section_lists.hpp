// The lists of a section plan on a CUDA device, step by step: one launch for each layer or term of a sum. They run any
// graph; chains have fused kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

#include "cuda/packed_layers.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/graph_plan.hpp"

namespace lossatlas::cuda {

/// A value (batch, rows, units) in device memory; with a stride of 0 the batch shares it.
template <class T>
struct ListValue {
  const T* data = nullptr;
  std::int64_t stride = 0;
};

/// A list with its layers on the device, for batches of points and rows of samples.
template <class T>
class DeviceList {
 public:
  using Start = std::function<ListValue<T>(std::int64_t k)>;
  using Done = std::function<void(std::int32_t s, const T* value)>;

  /// The plan of the steps outlives this object.
  DeviceList(Memory& memory, std::span<const PlanStep> steps, const ValueSlots& slots, const Control& control);

  /// Values of the weights of moving layers at one point.
  std::int64_t moving_values() const { return moving_values_; }
  /// Values of scratch memory for each row of one point, besides those that the list starts from.
  std::int64_t row_values() const { return row_values_; }
  double flop() const { return flop_; }  ///< of one row

  /// Forms the moving layers' weights at alpha (points, z): weights (points, moving_values()).
  void form(const double* alpha, std::int64_t rank, std::int64_t points, T* weights, cudaStream_t stream) const;

  /// Computes all values for `batch` points and `rows` rows in `buffers` (batch·rows·row_values()); start(k) is what
  /// the list starts from as number −1−k, and done(s, value) sees each value when it is there.
  void run(std::int64_t batch, std::int64_t rows, const T* weights, T* buffers, const Start& start, const Done& done,
           cudaStream_t stream) const;
  /// Where run() leaves a kept value, or the last.
  T* value(std::int32_t s, std::int64_t batch, std::int64_t rows, T* buffers) const {
    return buffers + batch * rows * places_[static_cast<std::size_t>(slots_.of(s))];
  }

 private:
  void run_layer(const PlanStep& step, const kernels::LayerParts<T>& layer, const ListValue<T>& from, T* to,
                 std::int64_t batch, std::int64_t rows, const T* weights, cudaStream_t stream) const;

  std::vector<PlanStep> steps_;
  ValueSlots slots_;
  std::vector<std::int64_t> places_;                            ///< first row value of each buffer
  std::vector<std::shared_ptr<const PackedLayers<T>>> layers_;  ///< of each step; null for an addition
  std::int64_t moving_values_ = 0;
  std::int64_t row_values_ = 0;
  double flop_ = 0;
};

/// The point list at a batch of points. Each point is a batch of one row, so that the bits of its values do not depend
/// on the others.
template <class T>
class PointValues {
 public:
  PointValues(Workspace& workspace, const PlanLists& lists, const Control& control)
      : workspace_(workspace),
        list_(workspace.memory(), lists.point, lists.point_slots, control),
        last_(static_cast<std::int32_t>(lists.point.size()) - 1) {}

  struct Scratch {
    Scratch(Memory& memory, const PointValues& values, std::int64_t points)
        : weights(memory, points * values.list_.moving_values()), buffers(memory, points * values.list_.row_values()) {}
    DeviceBuffer<T> weights;  // (points, moving values)
    DeviceBuffer<T> buffers;
  };
  std::int64_t bytes_per_point() const {
    return static_cast<std::int64_t>(sizeof(T)) * (list_.moving_values() + list_.row_values());
  }
  double flop_per_point() const { return list_.flop(); }

  void run(const PointBatch& batch, std::int64_t rank, const Scratch& scratch) const {
    const cudaStream_t stream = workspace_.stream();
    list_.form(batch.alpha, rank, batch.count, scratch.weights.data(), stream);
    list_.run(batch.count, 1, scratch.weights.data(), scratch.buffers.data(), {}, {}, stream);
  }
  const T* value(std::int32_t index, const PointBatch& batch, const Scratch& scratch) const {
    return list_.value(index, batch.count, 1, scratch.buffers.data());
  }
  /// The last value, after run().
  const T* outputs(const PointBatch& batch, const Scratch& scratch) const { return value(last_, batch, scratch); }

 private:
  Workspace& workspace_;
  DeviceList<T> list_;
  std::int32_t last_;
};

/// Receives a value (rows, units) of samples first..first+rows−1, in device memory; x has the index −1.
using TakeValue = std::function<void(std::int32_t index, std::int64_t first, std::int64_t rows, const double* value)>;

/// Computes the sample list in f64, a group of samples at a time. Heeds a requested stop between groups.
void run_sample_list(Workspace& workspace, const Problem& problem, const PlanLists& lists, const Control& control,
                     const TakeValue& take);

/// A_d of each crossing for all samples: (parts, units, N).
template <class T>
std::vector<DeviceBuffer<T>> crossing_units(Workspace& workspace, const Problem& problem, const PlanLists& lists,
                                            const Control& control);

}  // namespace lossatlas::cuda
