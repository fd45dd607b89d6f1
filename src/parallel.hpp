// Work in parallel with results that do not depend on the number of threads: the caller cuts the work into items that
// depend on the problem only, and each item writes its own place.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Throws Interrupted when a stop was requested.
inline void check_stop(const Control& control) {
  if (control.stop.stop_requested()) throw Interrupted("interrupted");
}

/// item(i, thread) for i = 0..count−1 on up to `threads` threads, the caller's among them; thread < threads is the
/// index of the thread, for scratch memory. Between items it reports progress and looks for a requested stop. The first
/// exception ends the work and is thrown to the caller.
template <class Item>
void parallel_for(std::int64_t count, int threads, const Control& control, const char* stage, Item&& item) {
  std::atomic<std::int64_t> next{0};
  std::int64_t done = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&](int thread) {
    try {
      for (std::int64_t i; (i = next.fetch_add(1)) < count;) {
        check_stop(control);
        item(i, thread);
        if (control.progress) {
          const std::lock_guard lock(mutex);
          control.progress({stage, ++done, count});
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next.store(count);
    }
  };
  {
    std::vector<std::jthread> team;
    for (int t = 1; t < threads && t < count; ++t) team.emplace_back(work, t);
    work(0);
  }
  if (failure) std::rethrow_exception(failure);
}

/// item(i, thread) without progress.
template <class Item>
void parallel_for(std::int64_t count, int threads, Item&& item) {
  parallel_for(count, threads, Control{}, "", std::forward<Item>(item));
}

}  // namespace lossatlas
