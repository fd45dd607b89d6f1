// The chains of a section plan: units that depend on the grid point alone, and units that depend on the sample alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <lossatlas/progress.hpp>

#include "../kernels/point_chain.hpp"
#include "cuda/packed_layers.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// A chain of layers at grid points; see kernels/point_chain.hpp.
template <class T>
class PointUnits {
 public:
  PointUnits(Workspace& workspace, std::span<const ChainLayer> layers, const Control& control);

  std::int64_t outputs() const { return layers_.layers().back().out; }
  double flop_per_point() const { return flop_; }
  /// Values of scratch memory for `points` points.
  std::int64_t scratch(std::int64_t points) const;
  /// outputs (points, out) at alpha (points, z).
  void run(const double* alpha, std::int64_t rank, std::int64_t points, T* scratch, T* outputs) const;

 private:
  kernels::PointChain<T> chain(std::int64_t points) const;

  Workspace& workspace_;
  PackedLayers<T> layers_;
  std::int64_t widths_[2] = {0, 0};
  double flop_ = 0;
};

/// B of a joint plan: the point-only units up to the joint layer's pre-activation.
std::vector<ChainLayer> point_layers(const SectionPlan& plan);

inline constexpr std::int64_t kSampleRows = 4096;  // of a group of samples, at most: whole tiles of every tensor kernel

/// Takes A_part of samples first..first+rows−1, (rows, units) in device memory that the stream writes again afterwards.
using TakeUnits = std::function<void(std::int64_t part, std::int64_t first, std::int64_t rows, const double* units)>;

/// A_d = W_{j,d} a_{j−1}(x_n) for groups of samples, computed in f64. Heeds a requested stop between groups, which are
/// small where the layers are wide.
void for_sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan, const Control& control,
                      const TakeUnits& take);

/// A_d for all samples: (parts, units, N).
template <class T>
DeviceBuffer<T> sample_units(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                             const Control& control);

}  // namespace lossatlas::cuda
