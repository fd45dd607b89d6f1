// The working set of one call: a stream and the library handles on it. A landscape keeps a few for its callers'
// threads.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "cuda/device_limits.hpp"
#include "cuda/handles.hpp"
#include "cuda/memory.hpp"

namespace lossatlas::cuda {

DeviceLimits device_limits(int index);

class Workspace {
 public:
  Workspace(cudaStream_t of_caller, DeviceLimits limits)
      : stream_(of_caller), downloads_(of_caller), memory_(stream_.get()), limits_(limits) {}

  cudaStream_t stream() const { return stream_.get(); }
  /// For copies to the host beside the stream's work; the same stream if it is the caller's.
  cudaStream_t downloads() const { return downloads_.get(); }
  Memory& memory() { return memory_; }
  const DeviceLimits& limits() const { return limits_; }
  /// Handles are made on first use, since they hold memory of their own.
  cublasHandle_t cublas() {
    if (!cublas_) cublas_ = make_cublas(stream());
    return cublas_.get();
  }
  cusolverDnHandle_t cusolver() {
    if (!cusolver_) cusolver_ = make_cusolver(stream());
    return cusolver_.get();
  }
  /// θ in device memory, in the place of the last call's if it is as large. Uploaded only if its bits are not there
  /// from the last call, so that loss, gradient and spectrum at a point share one upload.
  const double* parameters(std::span<const double> theta) {
    if (theta_.size() == theta.size() && std::memcmp(theta_.data(), theta.data(), theta.size_bytes()) == 0) {
      return device_theta_.data();
    }
    theta_.clear();  // stays so if anything fails
    const auto size = static_cast<std::int64_t>(theta.size());
    if (device_theta_.size() != size) device_theta_ = DeviceBuffer<double>(memory_, size);
    upload(memory_, theta, device_theta_.data());
    theta_.assign(theta.begin(), theta.end());
    return device_theta_.data();
  }
  void forget_parameters() {
    theta_ = {};
    device_theta_ = {};
  }

 private:
  Stream stream_;
  Stream downloads_;
  Memory memory_;
  DeviceLimits limits_;
  CublasHandle cublas_;
  CusolverHandle cusolver_;
  std::vector<double> theta_;
  DeviceBuffer<double> device_theta_;
};

/// Workspaces on one device, each lent to one call at a time.
class WorkspacePool {
 public:
  WorkspacePool(int device, cudaStream_t of_caller) : of_caller_(of_caller), limits_(device_limits(device)) {}

  const DeviceLimits& limits() const { return limits_; }

  class Lease {
   public:
    Lease(WorkspacePool& pool, std::unique_ptr<Workspace> workspace) : pool_(pool), workspace_(std::move(workspace)) {}
    ~Lease() { pool_.take_back(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

  Lease lend() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      idle_.reserve(made_ + 1);  // so that take_back() cannot fail
      auto workspace = std::make_unique<Workspace>(of_caller_, limits_);
      ++made_;
      return {*this, std::move(workspace)};
    }
    std::unique_ptr<Workspace> workspace = std::move(idle_.back());
    idle_.pop_back();
    return {*this, std::move(workspace)};
  }

 private:
  void take_back(std::unique_ptr<Workspace> workspace) noexcept {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(workspace));
  }

  cudaStream_t of_caller_;
  DeviceLimits limits_;
  std::mutex mutex_;
  std::size_t made_ = 0;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace lossatlas::cuda
