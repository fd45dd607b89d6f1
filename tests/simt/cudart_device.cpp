// The CUDA runtime's devices, kernel attributes and errors.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "machine.hpp"

namespace simt {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

constexpr int kSingleToDouble = 2;
constexpr int kMajor = 9, kMinor = 0;
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr std::size_t kSharedPerMultiprocessor = 228 * 1024;
constexpr std::size_t kSharedReserved = 1024;
constexpr int kCacheBytes = 50 << 20;

struct ErrorText {
  cudaError_t status;
  const char* name;
  const char* text;
};

constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
};

const ErrorText* find(cudaError_t status) {
  const auto found = std::find_if(std::begin(kErrors), std::end(kErrors), [=](auto& e) { return e.status == status; });
  return found == std::end(kErrors) ? nullptr : found;
}

bool valid_device(int device) { return device >= 0 && device < kDevices; }

int attribute_value(cudaDeviceAttr attribute, bool& known) {
  known = true;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return 1024;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(kSharedByDefault);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(machine().shared_limit());
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(kSharedPerMultiprocessor);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return static_cast<int>(kSharedReserved);
    case cudaDevAttrWarpSize:
      return detail::kWarpSize;
    case cudaDevAttrMultiProcessorCount:
      return machine().multiprocessors();
    case cudaDevAttrSingleToDoublePrecisionPerfRatio:
      return kSingleToDouble;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kThreadsPerMultiprocessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrComputeCapabilityMajor:
      return kMajor;
    case cudaDevAttrComputeCapabilityMinor:
      return kMinor;
    case cudaDevAttrL2CacheSize:
      return kCacheBytes;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    case cudaDevAttrCooperativeLaunch:
      return 0;
    default:
      known = false;
      return 0;
  }
}

}  // namespace

cudaError_t remember(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

}  // namespace simt

using simt::call;
using simt::Machine;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = simt::kDevices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return call([&](Machine&) {
    if (!simt::valid_device(device)) return cudaErrorInvalidDevice;
    simt::current_device() = device;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return call([&](Machine&) {
    *device = simt::current_device();
    return cudaSuccess;
  });
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([&](Machine&) {
    if (!simt::valid_device(device)) return cudaErrorInvalidDevice;
    bool known = false;
    *value = simt::attribute_value(attribute, known);
    return known ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&](Machine& m) {
    if (!simt::valid_device(device)) return cudaErrorInvalidDevice;
    cudaDeviceProp& p = *properties = {};
    std::strcpy(p.name, "Emulated device");
    p.totalGlobalMem = m.memory_limit();
    p.sharedMemPerBlock = simt::kSharedByDefault;
    p.sharedMemPerBlockOptin = simt::kSharedOptIn;
    p.sharedMemPerMultiprocessor = simt::kSharedPerMultiprocessor;
    p.reservedSharedMemPerBlock = simt::kSharedReserved;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = simt::detail::kWarpSize;
    p.maxThreadsPerBlock = 1024;
    std::copy_n(std::array{1024, 1024, 64}.data(), 3, p.maxThreadsDim);
    std::copy_n(std::array{0x7fffffff, 65535, 65535}.data(), 3, p.maxGridSize);
    p.maxThreadsPerMultiProcessor = simt::kThreadsPerMultiprocessor;
    p.maxBlocksPerMultiProcessor = 32;
    p.multiProcessorCount = simt::kMultiprocessors;
    p.major = simt::kMajor;
    p.minor = simt::kMinor;
    p.l2CacheSize = simt::kCacheBytes;
    p.unifiedAddressing = p.concurrentKernels = p.memoryPoolsSupported = 1;
    p.asyncEngineCount = 2;
    p.pciBusID = device;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call([&](Machine& m) {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<std::size_t>(value) > simt::kSharedOptIn) {
      return cudaErrorInvalidValue;
    }
    m.shared_opt_in[{simt::current_device(), kernel}] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return call([&](Machine& m) {
    const auto asked = m.shared_opt_in.find({simt::current_device(), kernel});
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 64;
    attributes->binaryVersion = attributes->ptxVersion = simt::kMajor * 10 + simt::kMinor;
    attributes->maxDynamicSharedSizeBytes =
        static_cast<int>(asked == m.shared_opt_in.end() ? simt::kSharedByDefault : asked->second);
    return cudaSuccess;
  });
}

/// As if threads and shared memory were the only limits.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int threads,
                                                                   size_t shared_bytes, unsigned) {
  return call([&](Machine&) {
    if (threads <= 0) return cudaErrorInvalidValue;
    const std::size_t by_threads = static_cast<std::size_t>(simt::kThreadsPerMultiprocessor / threads);
    const std::size_t by_shared = simt::kSharedPerMultiprocessor / (shared_bytes + simt::kSharedReserved);
    *blocks = threads > 1024 ? 0 : static_cast<int>(std::min({by_threads, by_shared, std::size_t{32}}));
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int threads,
                                                          size_t shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, kernel, threads, shared_bytes, 0);
}

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(simt::machine().mutex);
  return simt::machine().sticky() != cudaSuccess ? simt::machine().sticky() : simt::last_error;
}
cudaError_t cudaGetLastError() {
  const cudaError_t status = cudaPeekAtLastError();
  simt::last_error = cudaSuccess;
  return status;
}

const char* cudaGetErrorName(cudaError_t status) {
  const simt::ErrorText* const known = simt::find(status);
  return known ? known->name : "unrecognized error code";
}

/// The status of a fault explains what the fault was.
const char* cudaGetErrorString(cudaError_t status) {
  const std::lock_guard lock(simt::machine().mutex);
  if (status != cudaSuccess && status == simt::machine().sticky()) return simt::machine().fault_text().c_str();
  const simt::ErrorText* const known = simt::find(status);
  return known ? known->text : "unrecognized error code";
}

}  // extern "C"
