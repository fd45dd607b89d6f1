// Each planted bug in a kernel is noticed: by wrong or NaN results, by the emulator, or by a sanitizer.
#include <gtest/gtest.h>

#include <functional>

#include <device/launch.cuh>

#include "control.hpp"
#include "device_memory.hpp"
#include "planted_bugs.cuh"

namespace {

using planted::kThreads;
using Want = std::function<float(int)>;

constexpr std::size_t kShared = kThreads * sizeof(float);

/// What a launch of one block left in y, or the fault.
struct Outcome {
  std::vector<float> y;
  std::string fault;
  bool right(const Want& want) const {
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!(y[i] == want(static_cast<int>(i)))) return false;
    }
    return fault.empty();
  }
};

/// A kernel of (y, args...), or of (x, y) with `with_input`.
template <class Launch>
Outcome outcome_of(std::uint64_t seed, Launch launch) {
  simt_control()->reset();
  simt_control()->set_seed(seed);
  std::vector<float> x(kThreads + 4);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  Outcome outcome{std::vector<float>(kThreads), ""};
  void *device_x = nullptr, *device_y = nullptr;
  EXPECT_EQ(cudaMalloc(&device_x, x.size() * sizeof(float)), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&device_y, kShared), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device_x, x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(launch(static_cast<const float*>(device_x), static_cast<float*>(device_y)), cudaSuccess);
  if (cudaMemcpy(outcome.y.data(), device_y, kShared, cudaMemcpyDeviceToHost) != cudaSuccess) {
    outcome.fault = simt_control()->fault();
  }
  static_cast<void>(cudaFree(device_x));
  static_cast<void>(cudaFree(device_y));
  simt_control()->reset();
  static_cast<void>(cudaGetLastError());
  return outcome;
}

template <class... Params, class... Args>
auto launcher(void (*kernel)(Params...), std::size_t shared_bytes, Args... args) {
  return [=](const float* x, float* y) {
    const lossatlas::device::LaunchShape shape{dim3(1), dim3(kThreads), shared_bytes};
    if constexpr (sizeof...(Params) == 2 && sizeof...(Args) == 0) {
      return lossatlas::device::launch(kernel, shape, x, y);
    } else {
      return lossatlas::device::launch(kernel, shape, y, args...);
    }
  };
}

constexpr int kSeeds = 8;

/// How many of the thread orders give a wrong result.
template <class Launch>
int wrong_seeds(const Want& want, Launch launch) {
  int wrong = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) wrong += !outcome_of(static_cast<std::uint64_t>(seed), launch).right(want);
  return wrong;
}

/// Runs in a child process, whose exit status is the sanitizer's.
template <class Launch>
[[noreturn]] void run_and_exit(Launch launch) {
  outcome_of(1, launch);
  std::exit(0);
}

/// Without ThreadSanitizer: wrong in nearly every order; with it: named as a race.
template <class Launch>
void expect_race(const Want& want, Launch launch) {
  if (kThreadSanitizer) {
    EXPECT_EXIT(run_and_exit(launch), testing::ExitedWithCode(66), "data race");
  } else {
    EXPECT_GE(wrong_seeds(want, launch), kSeeds - 1);
  }
}

template <class Launch>
void expect_fault(const std::string& text, Launch launch) {
  const std::string fault = outcome_of(1, launch).fault;
  EXPECT_NE(fault.find(text), std::string::npos) << fault;
  EXPECT_NE(fault.find("planted_bugs.cuh:"), std::string::npos) << fault;
}

const Want kRotated = [](int i) { return static_cast<float>((i + 1) % kThreads); };
const Want kSwapped = [](int i) { return static_cast<float>(i ^ 1); };
const Want kSame = [](int i) { return static_cast<float>(i); };

class PlantedBugs : public testing::Test {
 protected:
  PlantedBugs() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(PlantedBugs, CorrectKernelsPass) {
  EXPECT_EQ(wrong_seeds(kRotated, launcher(planted::correct_rotate, kShared)), 0);
  EXPECT_EQ(wrong_seeds(kSwapped, launcher(planted::correct_syncwarp, kShared)), 0);
  EXPECT_EQ(wrong_seeds(kSame, launcher(planted::correct_copy, kShared)), 0);
}

TEST_F(PlantedBugs, MissingBarrier) { expect_race(kRotated, launcher(planted::missing_barrier, kShared)); }

TEST_F(PlantedBugs, MissingBarrierAtTheEndOfALoop) {
  const Want want = [](int i) { return 4.0f * static_cast<float>((i + 64) % kThreads) + 6; };
  expect_race(want, launcher(planted::missing_barrier_at_loop_end, kShared));
}

#if defined(__SANITIZE_THREAD__)
TEST_F(PlantedBugs, MissingSyncwarpIsARace) {
  EXPECT_EXIT(run_and_exit(launcher(planted::missing_syncwarp, kShared)), testing::ExitedWithCode(66), "data race");
}
#endif

TEST_F(PlantedBugs, MissingCopyWait) { expect_race(kSame, launcher(planted::missing_copy_wait, kShared)); }

TEST_F(PlantedBugs, CopyWaitWithoutBarrier) {
  expect_race(kSame, launcher(planted::copy_wait_without_barrier, kShared));
}

TEST_F(PlantedBugs, UninitialisedSharedMemoryIsNaN) {
  EXPECT_TRUE(std::isnan(outcome_of(1, launcher(planted::uninitialised_shared, kShared)).y[5]));
}

TEST_F(PlantedBugs, UninitialisedDeviceMemoryIsNaN) {
  const DeviceVector<float> never_written(1 << 20), y(kThreads);  // so large that the heap has zeros there
  ASSERT_EQ(lossatlas::device::launch(planted::copy_values, {dim3(1), dim3(kThreads)}, never_written.get(), y.get()),
            cudaSuccess);
  for (const float value : y.read()) EXPECT_TRUE(std::isnan(value));
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(PlantedBugs, SharedOverflow) {
  EXPECT_DEATH(run_and_exit(launcher(planted::static_shared_overflow, 0, 1)),
               "global-buffer-overflow|insufficient space");
  EXPECT_DEATH(run_and_exit(launcher(planted::dynamic_shared_overflow, kShared, 1)), "heap-buffer-overflow");
  EXPECT_DEATH(run_and_exit(launcher(planted::member_overflow, 2 * kShared, 1)), "out of bounds");
}
#endif

#if defined(__SANITIZE_ADDRESS__)
TEST_F(PlantedBugs, MisalignedVector) {
  EXPECT_DEATH(run_and_exit(launcher(planted::misaligned_vector, 0)), "misaligned address");
}
#endif

TEST_F(PlantedBugs, GlobalOverflow) {
  const auto launch = launcher(planted::global_overflow, 0, 1);
  if (kAddressSanitizer) {
    EXPECT_DEATH(run_and_exit(launch), "heap-buffer-overflow");
  } else {
    const std::string fault = outcome_of(1, launch).fault;
    EXPECT_NE(fault.find("wrote beyond an allocation of 512 bytes"), std::string::npos) << fault;
  }
}

TEST_F(PlantedBugs, DivergenceIsAFaultWithFileAndLine) {
  expect_fault("exited before a __syncthreads", launcher(planted::barrier_in_branch, 0));
  expect_fault("divergent __syncthreads", launcher(planted::barrier_in_both_branches, 0));
  expect_fault("28 threads have exited", launcher(planted::early_return, 0, 100));
  expect_fault("deadlock", launcher(planted::shuffle_in_branch, 0));
  expect_fault("the source lane is not in the mask", launcher(planted::shuffle_from_absent_lane, 0));
}

#if defined(__SANITIZE_THREAD__)
TEST_F(PlantedBugs, RaceBetweenBlocks) {
  const auto launch = [](const float*, float* y) {
    return lossatlas::device::launch(planted::race_between_blocks, {dim3(2), dim3(kThreads)}, y);
  };
  EXPECT_EXIT(run_and_exit(launch), testing::ExitedWithCode(66), "data race");
}
#endif

TEST_F(PlantedBugs, LastBlockSumsUp) {
  const DeviceVector<double> parts(9), out(1);
  const DeviceVector<unsigned> ticket(std::vector<unsigned>{0});
  ASSERT_EQ(lossatlas::device::launch(planted::correct_last_block, {dim3(9), dim3(kThreads)}, parts.get(), ticket.get(),
                                      out.get()),
            cudaSuccess);
  EXPECT_EQ(out.read(), std::vector<double>{45});
}

}  // namespace
