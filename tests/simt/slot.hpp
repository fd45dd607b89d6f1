// Fibers and the stacks they run on.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <deque>
#include <new>

#include "fiber.hpp"
#include "sanitizers.hpp"
#include "simt/runtime.hpp"

namespace simt::detail {

struct Fiber {
  Stack stack;
  const void* low = nullptr;
  std::size_t bytes = 0;
  void* asan_fake_stack = nullptr;
  void* tsan = nullptr;
};

inline void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.asan_fake_stack, to.low, to.bytes);
#endif
#ifdef SIMT_TSAN
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
  switch_stack(from.stack, to.stack);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(from.asan_fake_stack, nullptr, nullptr);
#endif
}

/// A stack above a guard page. Under ThreadSanitizer it is also a logical thread, which takes about 1 ms to create.
class Slot {
 public:
  explicit Slot(std::size_t size) : bytes_(size) {
    void* memory =
        mmap(nullptr, kGuard + bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kGuard, PROT_NONE);
    low_ = static_cast<char*>(memory) + kGuard;
#ifdef SIMT_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
  }
  ~Slot() { munmap(low_ - kGuard, kGuard + bytes_); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  char* low() const { return low_; }
  std::size_t bytes() const { return bytes_; }
  void* tsan() const { return tsan_; }

  /// Drops the sanitizers' records of the calls that a failed kernel left unfinished on this stack.
  void forget() {
#ifdef SIMT_ASAN
    __asan_unpoison_memory_region(low_, bytes_);
#endif
#ifdef SIMT_TSAN
    __tsan_destroy_fiber(tsan_);
    tsan_ = __tsan_create_fiber(0);
#endif
  }

 private:
  static constexpr std::size_t kGuard = 4096;

  std::size_t bytes_;
  char* low_;
  void* tsan_ = nullptr;
};

/// At least `count` slots, kept from launch to launch; blocks with no order between them must not share slots.
inline std::deque<Slot>& slots(std::size_t count) {
  static std::deque<Slot> all;
  while (all.size() < count) all.emplace_back(options().stack_bytes);
  return all;
}

}  // namespace simt::detail
