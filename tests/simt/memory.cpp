// Device and pinned host memory: heap blocks of the exact size, filled with NaN.
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "machine.hpp"
#include "sanitizers.hpp"

namespace simt {
namespace {

constexpr std::size_t kAlignment = 256;
#ifdef SIMT_ASAN
constexpr std::size_t kGuard = 0;  // AddressSanitizer has its own
#else
constexpr std::size_t kGuard = kAlignment;
#endif
constexpr unsigned char kGuardByte = 0xa5;

void set_open([[maybe_unused]] const Allocation& allocation, [[maybe_unused]] bool open) {
#ifdef SIMT_ASAN
  const auto* const memory = reinterpret_cast<const void*>(allocation.base);
  open ? __asan_unpoison_memory_region(memory, allocation.bytes)
       : __asan_poison_memory_region(memory, allocation.bytes);
#endif
}

bool intact(const unsigned char* guard) {
  for (std::size_t i = 0; i < kGuard; ++i) {
    if (guard[i] != kGuardByte) return false;
  }
  return true;
}

std::string place(const Site& site) {
  return site.line() == 0 ? "by the runtime"
                          : std::string("at ") + site.file_name() + ":" + std::to_string(site.line());
}

}  // namespace

void Machine::open_device_memory([[maybe_unused]] bool open) const {
#ifdef SIMT_ASAN
  for (const auto& [base, allocation] : allocations_) {
    if (allocation.kind == MemoryKind::device) set_open(allocation, open);
  }
#endif
}

bool Machine::may_allocate() {
  ++allocation_calls_;
  return allocation_countdown_ == 0 || --allocation_countdown_ > 0;
}

void* Machine::allocate(std::size_t bytes, MemoryKind kind, int device) {
  if (!may_allocate()) return nullptr;
  if (kind == MemoryKind::device && bytes > free_memory(device)) return nullptr;
  void* block = nullptr;
  if (posix_memalign(&block, kAlignment, kGuard + bytes + kGuard) != 0) return nullptr;
  auto* const memory = static_cast<unsigned char*>(block) + kGuard;
  std::memset(block, kGuardByte, kGuard);
  std::memset(memory, 0xff, bytes);
  std::memset(memory + bytes, kGuardByte, kGuard);
  const auto base = reinterpret_cast<std::uintptr_t>(memory);
  const Allocation& made = allocations_[base] = {base, bytes, ++next_allocation_, device, kind, block};
  if (kind == MemoryKind::device) {
    used_[device] += bytes;
    set_open(made, executing_);
  }
  return memory;
}

bool Machine::release(const void* pointer, MemoryKind kind) {
  const auto found = allocations_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == allocations_.end() || found->second.kind != kind) return false;
  const Allocation gone = found->second;
  allocations_.erase(found);
  if (kind == MemoryKind::device) used_[gone.device] -= gone.bytes;
  set_open(gone, true);
  std::memset(reinterpret_cast<void*>(gone.base), 0xff, gone.bytes);
  std::free(gone.block);
  return true;
}

/// The allocation that holds the pointer, its end included.
const Allocation* Machine::find(const void* pointer) const {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  const Allocation& candidate = (--after)->second;
  return address - candidate.base <= candidate.bytes ? &candidate : nullptr;
}

Use Machine::use(const void* pointer, std::size_t bytes) const {
  const Allocation* const allocation = find(pointer);
  return {pointer, bytes, allocation ? allocation->id : 0};
}

void Machine::verify(const Use& use, const char* what, const Site& site) const {
  if (use.pointer == nullptr && use.bytes == 0) return;
  const auto fail = [&](const char* why) {
    std::ostringstream out;
    out << what << " queued " << place(site) << " uses " << use.bytes << " bytes at " << use.pointer << ": " << why;
    throw Fault(cudaErrorIllegalAddress, out.str());
  };
  if (use.allocation == 0) fail("not memory of the device");
  const Allocation* const now = find(use.pointer);
  if (now == nullptr || now->id != use.allocation) fail("it was freed before the work ran");
  if (reinterpret_cast<std::uintptr_t>(use.pointer) - now->base + use.bytes > now->bytes) fail("beyond its allocation");
}

void Machine::check_guards(const Site& site) const {
  for (const auto& [base, allocation] : allocations_) {
    const auto* const memory = reinterpret_cast<const unsigned char*>(base);
    if (intact(memory - kGuard) && intact(memory + allocation.bytes)) continue;
    throw Fault(cudaErrorIllegalAddress, "the kernel launched " + place(site) + " wrote beyond an allocation of " +
                                             std::to_string(allocation.bytes) + " bytes");
  }
}

std::size_t Machine::free_memory(int device) const {
  return memory_limit_ > used_[device] ? memory_limit_ - used_[device] : 0;
}

}  // namespace simt
