// Parallel work whose results do not depend on the number of threads: the caller cuts the work into items by the
// problem alone, and each item writes only to its own place.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include <lossatlas/error.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// Throws Interrupted when a stop was requested.
inline void check_stop(const Control& control) {
  if (control.stop.stop_requested()) throw Interrupted("interrupted");
}

/// Starts work(t) for t = 1..threads−1, each on a thread of its own. Stops at the first thread that the system refuses,
/// for want of threads or of memory, and returns those already started.
template <class Work>
std::vector<std::jthread> start_team(int threads, const Work& work) {
  std::vector<std::jthread> team;
  try {
    for (int t = 1; t < threads; ++t) team.emplace_back(std::cref(work), t);
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  return team;
}

/// Runs item(i, thread) for i = 0..count−1 on up to `threads` threads, the caller's among them; `thread` < threads is
/// the index of the running thread, for scratch memory. Between items it reports progress and checks for a stop
/// request. The first exception ends the work and is rethrown to the caller.
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
    const auto team = start_team(static_cast<int>(std::min<std::int64_t>(threads, count)), work);
    work(0);
  }
  if (failure) std::rethrow_exception(failure);
}

/// Runs item(i, thread) without progress or stop requests.
template <class Item>
void parallel_for(std::int64_t count, int threads, Item&& item) {
  parallel_for(count, threads, Control{}, "", std::forward<Item>(item));
}

}  // namespace lossatlas
