#pragma once

#include <cstdint>
#include <string>

#include <lossatlas/export.hpp>
#include <lossatlas/precision.hpp>

namespace lossatlas {

/// Options of Device::cpu().
struct CpuOptions {
  int threads = 0;  ///< 0: all processors that this process may use
};

/// Options of Device::cuda().
struct CudaOptions {
  int index = 0;           ///< CUDA device number
  void* stream = nullptr;  ///< a cudaStream_t to work on; null: the library's own
};

/// Where a Landscape computes. A small value type; copies share no device state.
/// @snippet api/networks.cpp device
class LOSSATLAS_API Device {
 public:
  /// The kinds of devices.
  enum class Kind : std::uint8_t { cpu, cuda };

  /// The host. Throws InvalidArgument on a negative number of threads.
  static Device cpu(CpuOptions options = {});
  /// A CUDA GPU. Throws DeviceError saying whether the module, the driver or the GPU is missing; never falls back.
  static Device cuda(CudaOptions options = {});
  /// A CUDA GPU if there is one, else the CPU; reason() then says why.
  static Device best();

  Kind kind() const { return kind_; }
  int threads() const { return threads_; }
  int index() const { return index_; }
  void* stream() const { return stream_; }
  /// Why best() chose the CPU, in one line; empty otherwise.
  const std::string& reason() const { return reason_; }
  /// Such as "cpu, 2 threads, AVX3".
  std::string describe() const;

 private:
  Device() = default;
  Kind kind_ = Kind::cpu;
  int threads_ = 1;
  int index_ = 0;
  void* stream_ = nullptr;
  std::string reason_;
};

}  // namespace lossatlas
