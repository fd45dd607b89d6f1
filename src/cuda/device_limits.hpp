// The limits of the device that decide how work is cut. Plain C++.
#pragma once

#include <cstdint>

namespace lossatlas::cuda {

struct DeviceLimits {
  std::int64_t shared_bytes = 0;  ///< dynamic shared memory available to a block
  std::int64_t multiprocessors = 1;
  double f32_per_f64 = 2;  ///< speed of single precision relative to double
};

inline constexpr double kBatchFlop = 5e10;  // for grid points without tensor cores: milliseconds, for a quick stop

}  // namespace lossatlas::cuda
