#include "base/parallel.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace lossatlas {
namespace {

TEST(ParallelFor, EveryItemOnceForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 5}) {
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      parallel_for(count, threads, [&](std::int64_t i, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        ++seen[static_cast<std::size_t>(i)];
      });
      for (const auto& times : seen) EXPECT_EQ(times, 1);
    }
  }
}

TEST(ParallelFor, TheFirstExceptionReachesTheCaller) {
  for (const int threads : {1, 3}) {
    std::atomic<int> started{0};
    EXPECT_THROW(parallel_for(100000, threads,
                              [&](std::int64_t i, int) {
                                ++started;
                                if (i == 3) throw std::runtime_error("item 3");
                              }),
                 std::runtime_error);
    EXPECT_LT(started, 100000);
  }
}

TEST(ParallelFor, ProgressCountsEveryItemAndMayThrow) {
  std::int64_t last = 0;
  parallel_for(50, 3,
               Control{[&](const ProgressEvent& event) {
                         EXPECT_EQ(event.done, last + 1);
                         EXPECT_EQ(event.total, 50);
                         last = event.done;
                       },
                       {}},
               "items", [](std::int64_t, int) {});
  EXPECT_EQ(last, 50);
  const Control thrower{[](const ProgressEvent&) { throw std::runtime_error("progress"); }, {}};
  EXPECT_THROW(parallel_for(50, 3, thrower, "items", [](std::int64_t, int) {}), std::runtime_error);
}

TEST(ParallelFor, AStopIsInterrupted) {
  std::stop_source source;
  EXPECT_THROW(parallel_for(1000, 2, Control{{}, source.get_token()}, "items",
                            [&](std::int64_t i, int) {
                              if (i == 10) source.request_stop();
                            }),
               Interrupted);
}

}  // namespace
}  // namespace lossatlas
