// The device as far as work is cut by it. Plain C++.
#pragma once

#include <cstdint>

namespace lossatlas::cuda {

struct DeviceLimits {
  std::int64_t shared_bytes = 0;  ///< dynamic shared memory that a block may have
  std::int64_t multiprocessors = 1;
  double f32_per_f64 = 2;  ///< how many times as fast single precision is
};

inline constexpr double kTileFlop = 5e10;  // of grid points without tensor cores: milliseconds, so that a stop is quick

}  // namespace lossatlas::cuda
