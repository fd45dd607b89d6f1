// The CUDA runtime's memory calls.
#include <cuda_runtime_api.h>

#include <array>
#include <cstring>

#include "machine.hpp"

namespace simt {
namespace {

/// A rectangle of bytes in memory that a copy or fill touches.
struct Area {
  const void* pointer;
  std::size_t pitch, width, height;
  std::size_t bytes() const { return pitch * (height - 1) + width; }
};

cudaError_t allocate(void** pointer, std::size_t bytes, MemoryKind kind) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  return call([&](Machine& m) {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    *pointer = m.allocate(bytes, kind, current_device());
    return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

/// Memory is given back after a fault too.
cudaError_t release(void* pointer, MemoryKind kind) {
  const std::lock_guard lock(machine().mutex);
  const bool known = pointer == nullptr || machine().release(pointer, kind);
  if (machine().sticky() != cudaSuccess) return remember(machine().sticky());
  return remember(known ? cudaSuccess : cudaErrorInvalidValue);
}

bool on_device(const Machine& m, const void* pointer) {
  const Allocation* const allocation = m.find(pointer);
  return allocation && allocation->kind == MemoryKind::device;
}

bool inside(const Machine& m, const Area& area) {
  const Allocation* const allocation = m.find(area.pointer);
  const std::size_t offset = allocation ? reinterpret_cast<std::uintptr_t>(area.pointer) - allocation->base : 0;
  return !allocation || offset + area.bytes() <= allocation->bytes;
}

cudaError_t check_copy(const Machine& m, const Area& to, const Area& from, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (to.pointer == nullptr || from.pointer == nullptr) return cudaErrorInvalidValue;
  if (to.width > to.pitch || from.width > from.pitch) return cudaErrorInvalidPitchValue;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault &&
      (to_device != on_device(m, to.pointer) || from_device != on_device(m, from.pointer))) {
    return cudaErrorInvalidValue;
  }
  return inside(m, to) && inside(m, from) ? cudaSuccess : cudaErrorInvalidValue;
}

/// Host memory that the runtime did not allocate is beyond checking.
Use use_of(const Machine& m, const Area& area) {
  return m.find(area.pointer) ? m.use(area.pointer, area.bytes()) : Use{};
}

cudaError_t copy(Machine& m, const Area& to, const Area& from, cudaMemcpyKind kind, cudaStream_t stream) {
  CUstream_st* const queue = m.resolve(stream, current_device());
  if (queue == nullptr) return cudaErrorInvalidResourceHandle;
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  if (const cudaError_t status = check_copy(m, to, from, kind); status != cudaSuccess) return status;
  if (kind == cudaMemcpyHostToDevice) m.uploaded_bytes += static_cast<std::int64_t>(to.width * to.height);
  m.push(*queue, [&m, to, from, uses = std::array{use_of(m, to), use_of(m, from)}] {
    for (const Use& use : uses) m.verify(use, "a copy", Site{});
    for (std::size_t row = 0; row < to.height; ++row) {
      std::memcpy(static_cast<char*>(const_cast<void*>(to.pointer)) + row * to.pitch,
                  static_cast<const char*>(from.pointer) + row * from.pitch, to.width);
    }
  });
  return cudaSuccess;
}

cudaError_t fill(Machine& m, const Area& to, int value, cudaStream_t stream) {
  CUstream_st* const queue = m.resolve(stream, current_device());
  if (queue == nullptr) return cudaErrorInvalidResourceHandle;
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  if (to.width > to.pitch) return cudaErrorInvalidPitchValue;
  if (!on_device(m, to.pointer) || !inside(m, to)) return cudaErrorInvalidValue;
  m.push(*queue, [&m, to, value, use = use_of(m, to)] {
    m.verify(use, "a fill", Site{});
    for (std::size_t row = 0; row < to.height; ++row) {
      std::memset(static_cast<char*>(const_cast<void*>(to.pointer)) + row * to.pitch, value, to.width);
    }
  });
  return cudaSuccess;
}

/// The same on the legacy stream, waited for.
cudaError_t copy_now(Machine& m, const Area& to, const Area& from, cudaMemcpyKind kind) {
  const cudaError_t status = copy(m, to, from, kind, cudaStreamLegacy);
  return status == cudaSuccess ? m.drain(*m.resolve(cudaStreamLegacy, current_device())) : status;
}

}  // namespace
}  // namespace simt

using simt::Area;
using simt::call;
using simt::Machine;
using simt::MemoryKind;

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) { return simt::allocate(pointer, bytes, MemoryKind::device); }
cudaError_t cudaFree(void* pointer) { return simt::release(pointer, MemoryKind::device); }
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return simt::allocate(pointer, bytes, MemoryKind::host); }
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return simt::allocate(pointer, bytes, MemoryKind::host);
}
cudaError_t cudaFreeHost(void* pointer) { return simt::release(pointer, MemoryKind::host); }

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  unsigned flags = 0;
  const cudaError_t status = cudaStreamGetFlags(stream, &flags);  // fails for a stream that is none
  if (status != cudaSuccess) return status;
  return simt::allocate(pointer, bytes, MemoryKind::device);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  const std::lock_guard lock(simt::machine().mutex);
  if (simt::machine().sticky() != cudaSuccess) return simt::release(pointer, MemoryKind::device);
  return call([&](Machine& m) {
    CUstream_st* const queue = m.resolve(stream, simt::current_device());
    if (queue == nullptr) return cudaErrorInvalidResourceHandle;
    if (pointer == nullptr) return cudaSuccess;
    if (!simt::on_device(m, pointer)) return cudaErrorInvalidValue;
    m.push(*queue, [&m, pointer] {
      if (!m.release(pointer, MemoryKind::device)) throw simt::Fault(cudaErrorInvalidValue, "memory was freed twice");
    });
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return call([&](Machine& m) {
    *free = m.free_memory(simt::current_device());
    *total = m.memory_limit();
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call([&](Machine& m) {
    const simt::Allocation* const allocation = m.find(pointer);
    const bool device = allocation && allocation->kind == MemoryKind::device;
    *attributes = {};
    attributes->type = device ? cudaMemoryTypeDevice : allocation ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    attributes->device = allocation ? allocation->device : -2;
    attributes->devicePointer = allocation ? const_cast<void*>(pointer) : nullptr;
    attributes->hostPointer = device ? nullptr : const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call([&](Machine& m) { return simt::copy_now(m, {to, bytes, bytes, 1}, {from, bytes, bytes, 1}, kind); });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&](Machine& m) { return simt::copy(m, {to, bytes, bytes, 1}, {from, bytes, bytes, 1}, kind, stream); });
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return call([&](Machine& m) {
    return simt::copy_now(m, {to, to_pitch, width, height}, {from, from_pitch, width, height}, kind);
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&](Machine& m) {
    return simt::copy(m, {to, to_pitch, width, height}, {from, from_pitch, width, height}, kind, stream);
  });
}

// Filling does not wait, with or without a stream.
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, cudaStreamLegacy);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return call([&](Machine& m) { return simt::fill(m, {to, bytes, bytes, 1}, value, stream); });
}
cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return cudaMemset2DAsync(to, pitch, value, width, height, cudaStreamLegacy);
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return call([&](Machine& m) { return simt::fill(m, {to, pitch, width, height}, value, stream); });
}

}  // extern "C"
