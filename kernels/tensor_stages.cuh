// Copies of A_d from L2 to the shared memory of a block of tensor_pairs.cu.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>
#include <device/intrinsics.cuh>

#include "tensor_pairs.hpp"

namespace lossatlas::kernels {

inline constexpr int kPairThreads = 256;
inline constexpr int kPairWarps = kPairThreads / 32;

// How the warps divide a block's work: warps side by side have different points of one tile of samples.
struct WarpGrid {
  int points;  // warps along the points: a power of two
  int blocks;  // blocks in a stage
  __device__ int tiles() const { return kPairWarps / points; }
  __device__ int stage_units() const { return blocks / tiles(); }  // blocks of units per tile
};

// Streams A_d from L2, stage after stage. A stage has some blocks of units, with every part, of as many tiles as the
// warps handle at once. All threads copy; all warps read each stage, for all their points.
template <class Arithmetic>
class SampleStages {
 public:
  using T = typename Arithmetic::Value;
  static constexpr int kFragment = Arithmetic::kRows * static_cast<int>(kBlockUnits);

  // `first` is the chunk's first tile; one pass over its tiles has `chunk_rounds` rounds.
  __device__ SampleStages(const TensorPairs<T>& args, T* stages, WarpGrid grid, int chunk_rounds, std::int64_t first)
      : args_(args), stages_(stages), grid_(grid), chunk_rounds_(chunk_rounds), first_(first) {}

  /// Values from one part to the next in a stage.
  __device__ int part() const { return grid_.blocks * kFragment; }
  /// Stages per round.
  __device__ int of_round() const {
    return (static_cast<int>(blocks_of(args_.pairs.units)) + grid_.stage_units() - 1) / grid_.stage_units();
  }

  // Starts the copies for `rounds` rounds.
  __device__ void start(int rounds) {
    left_ = rounds * of_round();
    for (int s = 1; s < count(); ++s) copy_next();
  }

  // Returns the next stage once it has arrived.
  __device__ const T* take() {
    if (count() > 2) {
      device::copy_async_wait<1>();
    } else {
      device::copy_async_wait<0>();
    }
    __syncthreads();  // all copies have arrived, and the stage read last may be overwritten
    copy_next();
    const T* stage = place(slot_);
    slot_ = slot_ + 1 == count() ? 0 : slot_ + 1;
    return stage;
  }

 private:
  __device__ int count() const { return static_cast<int>(args_.shape.stages); }
  __device__ int parts() const { return 1 + args_.pairs.moving; }
  __device__ T* place(int slot) const { return stages_ + slot * parts() * part(); }

  __device__ void copy_next() {
    if (left_ > 0) {
      copy(place(to_));
      --left_;
      to_ = to_ + 1 == count() ? 0 : to_ + 1;
      if (++stage_ == of_round()) {
        stage_ = 0;
        round_ = round_ + 1 == chunk_rounds_ ? 0 : round_ + 1;
      }
    }
    device::copy_async_commit();  // possibly empty, so that the count of groups stays right
  }

  __device__ void copy(T* to) const {
    constexpr int kValues = 16 / sizeof(T);  // per copy
    const std::int64_t blocks = blocks_of(args_.pairs.units);
    const std::int64_t tiles = (args_.pairs.samples + Arithmetic::kRows - 1) / Arithmetic::kRows;
    for (int i = static_cast<int>(threadIdx.x) * kValues; i < part(); i += kPairThreads * kValues) {
      const int cell = i / kFragment;
      const std::int64_t tile = first_ + round_ * grid_.tiles() + cell / grid_.stage_units();
      const std::int64_t block = stage_ * grid_.stage_units() + cell % grid_.stage_units();
      if (tile >= tiles || block >= blocks) continue;  // nobody reads it
      const T* from = args_.pairs.base + (tile * blocks + block) * kFragment + i % kFragment;
      for (int p = 0; p < parts(); ++p) {
        device::copy_async<16>(to + p * part() + i, from);
        from += tiles * blocks * kFragment;
      }
    }
  }

  const TensorPairs<T>& args_;
  T* stages_;
  WarpGrid grid_;
  int chunk_rounds_;
  std::int64_t first_;
  int round_ = 0, stage_ = 0, to_ = 0, left_ = 0;  // the next copy
  int slot_ = 0;                                   // the next read
};

}  // namespace lossatlas::kernels
