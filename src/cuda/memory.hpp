// Owners of device and pinned memory, which count what a call holds and free it once its stream has drained.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <cuda_runtime_api.h>

#include "cuda/status.hpp"

namespace lossatlas::cuda {

/// The source of all buffers of one call, or of one landscape. Used by one thread at a time; outlives its buffers.
class Memory {
 public:
  explicit Memory(cudaStream_t stream) : stream_(stream) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  cudaStream_t stream() const { return stream_; }
  std::int64_t held() const { return held_; }  ///< bytes of device memory

  /// Throws OutOfMemory with the sum of the bytes held and the bytes asked for.
  void* allocate(std::int64_t bytes);
  void* allocate_pinned(std::int64_t bytes);
  void release(void* memory, std::int64_t bytes) noexcept;
  void release_pinned(void* memory) noexcept;

  /// Waits for the stream, which is not used from then on: buffers are freed without waiting.
  void settle();

 private:
  cudaStream_t stream_;
  std::int64_t held_ = 0;
  bool settled_ = false;
};

/// Bytes that may be taken now: half of what is free, which leaves room for other calls.
std::int64_t memory_budget();

/// `size` values of device memory, not initialised. Freed once the stream's work is done.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Memory& memory, std::int64_t size)
      : memory_(&memory), data_(static_cast<T*>(memory.allocate(bytes(size)))), size_(size) {}
  ~DeviceBuffer() {
    if (data_ != nullptr) memory_->release(data_, bytes(size_));
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }

 private:
  static std::int64_t bytes(std::int64_t size) {
    return std::max<std::int64_t>(1, size) * static_cast<std::int64_t>(sizeof(T));
  }
  void swap(DeviceBuffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  Memory* memory_ = nullptr;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

/// `size` values of page-locked host memory, for copies that run while the host continues.
template <class T>
class PinnedBuffer {
 public:
  PinnedBuffer(Memory& memory, std::int64_t size)
      : memory_(&memory),
        data_(static_cast<T*>(
            memory.allocate_pinned(std::max<std::int64_t>(1, size) * static_cast<std::int64_t>(sizeof(T))))) {}
  ~PinnedBuffer() {
    if (data_ != nullptr) memory_->release_pinned(data_);
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept : memory_(other.memory_), data_(std::exchange(other.data_, nullptr)) {}
  PinnedBuffer& operator=(PinnedBuffer&&) = delete;

  T* data() const { return data_; }

 private:
  Memory* memory_;
  T* data_;
};

inline void synchronise(const Memory& memory) { LOSSATLAS_CUDA(cudaStreamSynchronize(memory.stream())); }

/// Copies and waits, so that the caller may reuse the host memory.
template <class T>
void upload(const Memory& memory, std::span<const T> from, T* to) {
  LOSSATLAS_CUDA(cudaMemcpyAsync(to, from.data(), from.size_bytes(), cudaMemcpyHostToDevice, memory.stream()));
  synchronise(memory);
}
template <class T>
void download(const Memory& memory, const T* from, std::span<T> to) {
  LOSSATLAS_CUDA(cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost, memory.stream()));
  synchronise(memory);
}

/// A device copy of host values.
template <class T>
DeviceBuffer<T> uploaded(Memory& memory, std::span<const T> from) {
  DeviceBuffer<T> buffer(memory, static_cast<std::int64_t>(from.size()));
  if (!from.empty()) upload(memory, from, buffer.data());
  return buffer;
}

template <class T>
void fill_zero(const Memory& memory, T* values, std::int64_t count) {
  LOSSATLAS_CUDA(cudaMemsetAsync(values, 0, static_cast<std::size_t>(count) * sizeof(T), memory.stream()));
}

}  // namespace lossatlas::cuda
