// Grid points in batches that fit the device memory. The results of a point do not depend on its batch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <lossatlas/error.hpp>
#include <lossatlas/grid.hpp>
#include <lossatlas/progress.hpp>

#include "../kernels/section.hpp"
#include "base/parallel.hpp"
#include "cuda/device_limits.hpp"
#include "cuda/workspace.hpp"
#include "section/section_points.hpp"

namespace lossatlas::cuda {

inline constexpr std::int64_t kMostBatchPoints = 32768;  // for kernels that index points along an axis of 65535 blocks

/// The cost of a point, which limits the number of points in a batch. A batch has at least one point: if that takes
/// more than 50 ms, a stop takes more than 100 ms.
struct PointBatches {
  std::int64_t rank = 1;             ///< z
  std::int64_t width = 1;            ///< values of a point's result
  std::int64_t bytes_per_point = 1;  ///< of a batch's scratch memory
  double flop_per_point = 1;
  double batch_flop = kBatchFlop;
  std::int64_t most = kMostBatchPoints;
  bool flagged = false;  ///< points have flags

  std::int64_t flags(std::int64_t points_of_batch) const { return flagged ? points_of_batch : 0; }
};

/// A batch of points in device memory.
struct PointBatch {
  const double* alpha = nullptr;  ///< (count, z)
  std::int64_t count = 0;
  double* results = nullptr;      ///< (count, width)
  std::int32_t* flags = nullptr;  ///< (count) if flagged: set for the points to be computed again
};

/// One of the two batches in flight: the device works on one while the host reads or fills the other.
class BatchInFlight {
 public:
  BatchInFlight(Memory& memory, const PointBatches& batches, std::int64_t capacity)
      : alpha_(memory, capacity * batches.rank),
        results_(memory, capacity * batches.width),
        flags_(memory, batches.flags(capacity)),
        host_results_(memory, capacity * batches.width),
        host_flags_(memory, batches.flags(capacity)) {}

  /// Allocates page-locked memory for the points of a list; those of a grid need none.
  void take_lists(Memory& memory) {
    if (!host_alpha_) host_alpha_.emplace(memory, alpha_.size());
  }

  /// Bytes of device memory per point, for both batches.
  static std::int64_t bytes_per_point(const PointBatches& batches) {
    return 2 * (8 * (batches.rank + batches.width) + 4 * batches.flags(1));
  }

  /// 0 if the batch is not in flight.
  std::int64_t count() const { return count_; }
  std::int64_t last() const { return first_ + count_; }
  PointBatch on_device() const { return {alpha_.data(), count_, results_.data(), flags_.data()}; }

  /// Queues what brings the points to the device: a copy or, for a grid, whose axes are at `axes` on the device, a
  /// kernel that forms them.
  void start(const PointBatches& batches, const SectionPoints& points, const Axis* axes, std::int64_t first,
             std::int64_t count, cudaStream_t stream) {
    first_ = first, count_ = count;
    if (points.grid()) {
      LOSSATLAS_CUDA(
          kernels::launch_grid_points(axes, batches.rank, points.first() + first, count, alpha_.data(), stream));
    } else {
      const std::size_t size = bytes<double>(count * batches.rank);
      std::copy_n(points.list().data() + first * batches.rank, count * batches.rank, host_alpha_->data());
      LOSSATLAS_CUDA(cudaMemcpyAsync(alpha_.data(), host_alpha_->data(), size, cudaMemcpyHostToDevice, stream));
    }
    if (batches.flagged) LOSSATLAS_CUDA(cudaMemsetAsync(flags_.data(), 0, bytes<std::int32_t>(count), stream));
  }
  /// Queues copies of the results and flags to the host, after the work queued so far.
  void fetch(const PointBatches& batches, const Workspace& workspace) {
    const cudaStream_t stream = workspace.downloads();
    computed_.record(workspace.stream());
    computed_.hold(stream);
    LOSSATLAS_CUDA(cudaMemcpyAsync(host_results_.data(), results_.data(), bytes<double>(count_ * batches.width),
                                   cudaMemcpyDeviceToHost, stream));
    if (batches.flagged) {
      LOSSATLAS_CUDA(cudaMemcpyAsync(host_flags_.data(), flags_.data(), bytes<std::int32_t>(count_),
                                     cudaMemcpyDeviceToHost, stream));
    }
    done_.record(stream);
  }
  /// Waits until the fetched values have arrived.
  void wait() const { done_.wait(); }
  bool any_flag(const PointBatches& batches) const {
    const std::int32_t* flags = host_flags_.data();
    return std::any_of(flags, flags + batches.flags(count_), [](std::int32_t flag) { return flag != 0; });
  }
  void finish(const PointBatches& batches, std::span<double> results) {
    std::copy_n(host_results_.data(), count_ * batches.width, results.data() + first_ * batches.width);
    count_ = 0;
  }

 private:
  template <class T>
  static std::size_t bytes(std::int64_t values) {
    return static_cast<std::size_t>(values) * sizeof(T);
  }

  DeviceBuffer<double> alpha_, results_;
  DeviceBuffer<std::int32_t> flags_;
  std::optional<PinnedBuffer<double>> host_alpha_;
  PinnedBuffer<double> host_results_;
  PinnedBuffer<std::int32_t> host_flags_;
  Event computed_, done_;
  std::int64_t first_ = 0, count_ = 0;
};

/// Memory of the batches. They follow each other on one stream, so they share the scratch memory.
template <class Scratch>
struct BatchMemory {
  template <class Make>
  BatchMemory(Memory& memory, const PointBatches& batches, std::int64_t batch_capacity, Make& make)
      : capacity(batch_capacity),
        axes(memory, batches.rank),
        sides{{memory, batches, capacity}, {memory, batches, capacity}},
        scratch(make(capacity)) {}

  /// Prepares what every batch of these points needs; call before the first batch.
  void take(const SectionPoints& points, Memory& memory) {
    if (points.grid()) return upload(memory, points.grid()->axes(), axes.data());
    for (BatchInFlight& side : sides) side.take_lists(memory);
  }

  std::int64_t capacity;
  DeviceBuffer<Axis> axes;  // (z) axes of the current grid
  BatchInFlight sides[2];
  Scratch scratch;
};

/// For set-ups whose batches need no memory of their own.
struct NoScratch {};

/// The batches of one set-up, in memory kept from call to call.
template <class Scratch>
class BatchQueue {
 public:
  explicit BatchQueue(Workspace& workspace) : workspace_(workspace) {}

  /// Calls run(scratch, batch) for every batch of the points; scratch = make(capacity) is memory for `capacity` points.
  /// results (G, width). Each batch is queued before the host waits for the previous one, so the device always has
  /// work. again(scratch, batch) replaces the results of a finished batch in which flags were set.
  template <class Make, class Run, class Again>
  void run(const PointBatches& batches, const SectionPoints& points, const Control& control, std::span<double> results,
           Make&& make, Run&& run, Again&& again) {
    reserve(batches, points, make);
    try {
      run_all(batches, points, control, results, run, again);
    } catch (...) {
      cudaStreamSynchronize(workspace_.downloads());
      memory_.reset();  // waits for everything else in flight
      throw;
    }
  }

  /// The same without flags.
  template <class Make, class Run>
  void run(const PointBatches& batches, const SectionPoints& points, const Control& control, std::span<double> results,
           Make&& make, Run&& run) {
    this->run(batches, points, control, results, make, run, [](const Scratch&, const PointBatch&) {});
  }

 private:
  /// Allocates batches for all the points, or for as many as are quick, halving until memory suffices; throws the last
  /// OutOfMemory.
  template <class Make>
  void reserve(const PointBatches& batches, const SectionPoints& points, Make& make) {
    const auto quick = static_cast<std::int64_t>(batches.batch_flop / std::max(1.0, batches.flop_per_point));
    const std::int64_t good = std::max<std::int64_t>(1, std::min({points.count(), batches.most, quick}));
    const std::int64_t each = batches.bytes_per_point + BatchInFlight::bytes_per_point(batches);
    const std::int64_t held = memory_ ? memory_->capacity : 0;
    // Memory that was short may be free again: then there is room for twice as many points.
    if (held > 0 && (held >= good || (scarce_ && memory_budget() / each < 2 * held))) {
      try {
        return memory_->take(points, workspace_.memory());
      } catch (const OutOfMemory&) {  // smaller batches may leave room
      }
    }
    memory_.reset();
    for (std::int64_t capacity = std::clamp<std::int64_t>(memory_budget() / each, 1, good);; capacity /= 2) {
      try {
        memory_ = std::make_unique<BatchMemory<Scratch>>(workspace_.memory(), batches, capacity, make);
        memory_->take(points, workspace_.memory());
        scarce_ = capacity < good;
        return;
      } catch (const OutOfMemory&) {
        memory_.reset();
        if (capacity == 1) throw;
      }
    }
  }

  template <class Run, class Again>
  void run_all(const PointBatches& batches, const SectionPoints& points, const Control& control,
               std::span<double> results, Run& run, Again& again) {
    const std::int64_t count = points.count();
    const cudaStream_t stream = workspace_.stream();
    BatchMemory<Scratch>& memory = *memory_;
    const auto finish = [&](BatchInFlight& side) {
      if (side.count() == 0) return;
      side.wait();
      if (side.any_flag(batches)) {
        again(memory.scratch, side.on_device());
        side.fetch(batches, workspace_);
        side.wait();
      }
      const std::int64_t last = side.last();
      side.finish(batches, results);
      if (control.progress) control.progress({"section", last, count});
    };
    int next = 0;
    for (std::int64_t first = 0; first < count; first += memory.capacity, next = 1 - next) {
      check_stop(control);
      BatchInFlight& side = memory.sides[next];  // already finished: the batch before last
      side.start(batches, points, memory.axes.data(), first, std::min(memory.capacity, count - first), stream);
      run(memory.scratch, side.on_device());
      side.fetch(batches, workspace_);
      finish(memory.sides[1 - next]);
    }
    finish(memory.sides[1 - next]);
  }

  Workspace& workspace_;
  std::unique_ptr<BatchMemory<Scratch>> memory_;
  bool scarce_ = false;  ///< memory allowed fewer points than wanted
};

}  // namespace lossatlas::cuda
