#include "cuda/memory.hpp"

#include <lossatlas/error.hpp>

#include "base/check.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kMostBudget = std::int64_t{4} << 30;

}  // namespace

void* Memory::allocate(std::int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // otherwise the next launch would report it again
    throw OutOfMemory(message("cuda", "received a problem that needs at least ", held_ + bytes,
                              " bytes of device memory at once, expected that much free; use fewer samples, a narrower "
                              "network or f32"),
                      held_ + bytes);
  }
  check(status, "cudaMalloc", __FILE__, __LINE__);
  held_ += bytes;
  return memory;
}

void* Memory::allocate_pinned(std::int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocHost(&memory, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory(message("cuda", "received work that needs ", bytes,
                              " bytes of page-locked memory, expected that much free; free host memory"),
                      bytes);
  }
  check(status, "cudaMallocHost", __FILE__, __LINE__);
  return memory;
}

void Memory::release(void* memory, std::int64_t bytes) noexcept {
  if (!settled_) cudaStreamSynchronize(stream_);
  cudaFree(memory);
  held_ -= bytes;
}

void Memory::release_pinned(void* memory) noexcept {
  if (!settled_) cudaStreamSynchronize(stream_);
  cudaFreeHost(memory);
}

void Memory::settle() {
  synchronise(*this);
  settled_ = true;
}

std::int64_t memory_budget() {
  std::size_t free = 0, total = 0;
  LOSSATLAS_CUDA(cudaMemGetInfo(&free, &total));
  return std::min(static_cast<std::int64_t>(free / 2), kMostBudget);
}

}  // namespace lossatlas::cuda
