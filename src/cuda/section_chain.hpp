// The chains of a section plan: units that depend only on the grid point, and units that depend only on the sample.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

#include "../kernels/point_chain.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/point_batches.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// A chain of layers at grid points; see kernels/point_chain.hpp.
template <class T>
class PointUnits {
 public:
  PointUnits(Workspace& workspace, std::span<const ChainLayer> layers, const Control& control);

  struct Scratch {
    Scratch(Memory& memory, const PointUnits& units, std::int64_t points)
        : chain(memory, units.scratch(points)), outputs(memory, points * units.layers_.layers().back().out) {}
    DeviceBuffer<T> chain;
    DeviceBuffer<T> outputs;  // (points, out)
  };
  std::int64_t bytes_per_point() const {
    return static_cast<std::int64_t>(sizeof(T)) * (scratch(8) / 8 + layers_.layers().back().out);
  }
  double flop_per_point() const { return flop_; }
  /// Values of scratch memory for `points` points, besides their outputs.
  std::int64_t scratch(std::int64_t points) const;
  /// outputs (points, out) at alpha (points, z).
  void run(const double* alpha, std::int64_t rank, std::int64_t points, T* scratch, T* outputs) const;
  /// The same at a batch of points.
  void run(const PointBatch& batch, std::int64_t rank, const Scratch& scratch) const {
    run(batch.alpha, rank, batch.count, scratch.chain.data(), scratch.outputs.data());
  }
  const T* outputs(const PointBatch&, const Scratch& scratch) const { return scratch.outputs.data(); }

 private:
  kernels::PointChain<T> chain(std::int64_t points) const;

  Workspace& workspace_;
  PackedLayers<T> layers_;
  std::int64_t widths_[2] = {0, 0};
  double flop_ = 0;
};

/// The layers of B in a joint plan: the point-only units up to the joint layer's pre-activation.
std::vector<ChainLayer> point_layers(const SectionPlan& plan);

inline constexpr std::int64_t kSampleRows = 4096;  // at most, in a group: whole tiles of every tensor kernel

/// Receives A_part of samples first..first+rows−1, (rows, units) in device memory, which later work of the stream
/// reuses.
using TakeUnits = std::function<void(std::int64_t part, std::int64_t first, std::int64_t rows, const double* units)>;

/// Computes A_d = W_{j,d} a_{j−1}(x_n) in f64, for one group of samples after another. Heeds a requested stop between
/// groups, which are small if the layers are wide.
void for_sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control,
                      const TakeUnits& take);

/// A_d for all samples: (parts, units, N).
template <class T>
DeviceBuffer<T> sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                             const Control& control);

}  // namespace lossatlas::cuda
