#include <lossatlas/device.hpp>

#include <algorithm>
#include <thread>

#include "backend/backend.hpp"
#include "backend/cuda_module.hpp"
#include "base/check.hpp"

#include <sched.h>

namespace lossatlas {
namespace {

/// Processors that this process may run on, which can be fewer than the machine has.
int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

Device Device::cpu(CpuOptions options) {
  require(options.threads >= 0 && options.threads <= 4096, "Device::cpu", "received ", options.threads,
          " threads, expected 0 (all) to 4096");
  Device device;
  device.threads_ = options.threads > 0 ? options.threads : usable_processors();
  return device;
}

Device Device::cuda(CudaOptions options) {
  const int count = cuda_module().device_count();
  require<DeviceError>(0 <= options.index && options.index < count, "Device::cuda", "received CUDA device ",
                       options.index, ", expected 0 to ", count - 1, "; use Device::best()");
  Device device;
  device.kind_ = Kind::cuda;
  device.threads_ = usable_processors();  // for host-side work, such as placing hidden units
  device.index_ = options.index;
  device.stream_ = options.stream;
  return device;
}

Device Device::best() {
  try {
    return cuda();
  } catch (const DeviceError& error) {
    Device device = cpu();
    device.reason_ = error.what();
    return device;
  }
}

std::string Device::describe() const {
  if (kind_ == Kind::cuda) return cuda_module().describe(index_);
  return "cpu, " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") + cpu::simd_target_name();
}

std::shared_ptr<const Backend> make_backend(const Device& device) {
  if (device.kind() == Device::Kind::cuda) return cuda_module().make_backend(device.index(), device.stream());
  return cpu::make_backend(device.threads());
}

}  // namespace lossatlas
