// Owners of the handles of the CUDA runtime and its libraries, and of the current device.
#pragma once

#include <memory>
#include <type_traits>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include "cuda/status.hpp"

namespace lossatlas::cuda {

/// Makes a device the current one of this thread, and restores the previous one.
class DeviceGuard {
 public:
  explicit DeviceGuard(int index) {
    LOSSATLAS_CUDA(cudaGetDevice(&previous_));
    LOSSATLAS_CUDA(cudaSetDevice(index));
  }
  ~DeviceGuard() { cudaSetDevice(previous_); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
};

/// A stream of the library's own, or a view of one that the caller owns.
class Stream {
 public:
  explicit Stream(cudaStream_t of_caller) : stream_(of_caller), owned_(of_caller == nullptr) {
    if (owned_) LOSSATLAS_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~Stream() {
    if (owned_) cudaStreamDestroy(stream_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_;
  bool owned_;
};

/// A point in a stream that the host or another stream can wait for.
class Event {
 public:
  Event() { LOSSATLAS_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { LOSSATLAS_CUDA(cudaEventRecord(event_, stream)); }
  /// Waits until everything before the last record() is done; returns at once if there was none.
  void wait() const { LOSSATLAS_CUDA(cudaEventSynchronize(event_)); }
  /// Makes whatever is queued on the stream from now on wait for the event.
  void hold(cudaStream_t stream) const { LOSSATLAS_CUDA(cudaStreamWaitEvent(stream, event_, 0)); }

 private:
  cudaEvent_t event_ = nullptr;
};

template <class Handle, auto kDestroy>
struct Destroy {
  void operator()(Handle handle) const { kDestroy(handle); }
};

template <class Handle, auto kDestroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, kDestroy>>;

using CublasHandle = Owner<cublasHandle_t, cublasDestroy>;
using CusolverHandle = Owner<cusolverDnHandle_t, cusolverDnDestroy>;
using CusolverParams = Owner<cusolverDnParams_t, cusolverDnDestroyParams>;

inline CublasHandle make_cublas(cudaStream_t stream) {
  cublasHandle_t handle = nullptr;
  LOSSATLAS_CUDA(cublasCreate(&handle));
  CublasHandle owner(handle);
  LOSSATLAS_CUDA(cublasSetStream(handle, stream));
  return owner;
}

inline CusolverHandle make_cusolver(cudaStream_t stream) {
  cusolverDnHandle_t handle = nullptr;
  LOSSATLAS_CUDA(cusolverDnCreate(&handle));
  CusolverHandle owner(handle);
  LOSSATLAS_CUDA(cusolverDnSetStream(handle, stream));
  return owner;
}

inline CusolverParams make_cusolver_params() {
  cusolverDnParams_t params = nullptr;
  LOSSATLAS_CUDA(cusolverDnCreateParams(&params));
  return CusolverParams(params);
}

}  // namespace lossatlas::cuda
