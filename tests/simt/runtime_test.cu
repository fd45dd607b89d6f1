// The emulated runtime: streams, events, copies, errors, limits, leaks; and host code with planted bugs.
#include <gtest/gtest.h>

#include <thread>

#include <device/launch.cuh>

#include "device_memory.hpp"
#include "planted_bugs.cuh"

namespace {

using lossatlas::device::LaunchShape;
using planted::kThreads;

constexpr std::size_t kBytes = kThreads * sizeof(float);
constexpr int kSeeds = 32;

using Runtime = EmulatedDevice;

struct Stream {
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&get, flags), cudaSuccess);
  }
  ~Stream() { static_cast<void>(cudaStreamDestroy(get)); }
  cudaStream_t get = nullptr;
};

struct Event {
  explicit Event(unsigned flags = cudaEventDefault) { EXPECT_EQ(cudaEventCreateWithFlags(&get, flags), cudaSuccess); }
  ~Event() { static_cast<void>(cudaEventDestroy(get)); }
  cudaEvent_t get = nullptr;
};

cudaError_t write(float* y, float value, cudaStream_t stream) {
  return lossatlas::device::launch(planted::write_value, LaunchShape{dim3(1), dim3(kThreads), 0, stream}, y, value);
}

cudaError_t copy(const float* x, float* y, cudaStream_t stream) {
  return lossatlas::device::launch(planted::copy_values, LaunchShape{dim3(1), dim3(kThreads), 0, stream}, x, y);
}

/// In how many of the orders `wrong` is true.
template <class F>
int count_seeds(F wrong) {
  int count = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    simt_control()->reset();
    simt_control()->set_seed(static_cast<std::uint64_t>(seed));
    count += wrong();
    simt_control()->reset();
    static_cast<void>(cudaGetLastError());
  }
  return count;
}

// Order

TEST_F(Runtime, AStreamIsOrdered) {
  EXPECT_EQ(count_seeds([] {
              const Stream stream;
              const DeviceVector<float> x(kThreads), y(kThreads);
              for (int i = 0; i < 5; ++i) EXPECT_EQ(write(x.get(), static_cast<float>(i), stream.get), cudaSuccess);
              EXPECT_EQ(copy(x.get(), y.get(), stream.get), cudaSuccess);
              EXPECT_EQ(write(x.get(), 9, stream.get), cudaSuccess);
              return y.read() != std::vector<float>(kThreads, 4);
            }),
            0);
}

TEST_F(Runtime, WorkRunsLateAndQueriesSayNotReady) {
  const int unfinished = count_seeds([] {
    const Stream stream;
    const DeviceVector<float> y(kThreads);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(write(y.get(), 1, stream.get), cudaSuccess);
    const cudaError_t status = cudaStreamQuery(stream.get);
    EXPECT_EQ(cudaGetLastError(), status);
    EXPECT_EQ(cudaStreamSynchronize(stream.get), cudaSuccess);
    EXPECT_EQ(cudaStreamQuery(stream.get), cudaSuccess);
    return status == cudaErrorNotReady;
  });
  EXPECT_GT(unfinished, kSeeds / 2);
}

TEST_F(Runtime, LegacyStreamIsOrderedWithBlockingStreamsOnly) {
  const auto wrong = [](unsigned flags) {
    return count_seeds([flags] {
      const Stream stream(flags);
      const DeviceVector<float> x(std::vector<float>(kThreads, 1)), y(kThreads);
      EXPECT_EQ(write(x.get(), 2, stream.get), cudaSuccess);
      EXPECT_EQ(copy(x.get(), y.get(), nullptr), cudaSuccess);
      EXPECT_EQ(write(x.get(), 3, stream.get), cudaSuccess);
      return y.read() != std::vector<float>(kThreads, 2);
    });
  };
  EXPECT_EQ(wrong(cudaStreamDefault), 0);
  EXPECT_GT(wrong(cudaStreamNonBlocking), kSeeds / 8);
}

/// Writes in one stream, reads in another, with or without waiting for the event between them.
int seeds_wrong_between_streams(bool wait) {
  return count_seeds([wait] {
    const Stream producer, consumer;
    const Event event(cudaEventDisableTiming);
    const DeviceVector<float> x(std::vector<float>(kThreads, 1)), y(kThreads);
    EXPECT_EQ(write(x.get(), 2, producer.get), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event.get, producer.get), cudaSuccess);
    const cudaError_t status = wait ? cudaStreamWaitEvent(consumer.get, event.get, 0) : cudaSuccess;
    EXPECT_EQ(status, cudaSuccess);
    EXPECT_EQ(copy(x.get(), y.get(), consumer.get), cudaSuccess);
    return y.read() != std::vector<float>(kThreads, 2);
  });
}

TEST_F(Runtime, EventsOrderStreams) { EXPECT_EQ(seeds_wrong_between_streams(true), 0); }

TEST_F(Runtime, EventsMeasureTime) {
  const Event start, end, untimed(cudaEventDisableTiming), unrecorded;
  float milliseconds = -1;
  EXPECT_EQ(cudaEventQuery(unrecorded.get), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(start.get, nullptr), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end.get, nullptr), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(untimed.get, nullptr), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(end.get), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start.get, end.get), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start.get, untimed.get), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start.get, unrecorded.get), cudaErrorInvalidResourceHandle);
}

TEST_F(Runtime, HostFunctionsRunInOrderAndMayNotCallTheRuntime) {
  struct State {
    float seen = 0;
    cudaError_t status = cudaSuccess;
    float* host = nullptr;
  } state;
  const Stream stream;
  const DeviceVector<float> y(kThreads);
  std::vector<float> host(kThreads);
  state.host = host.data();
  EXPECT_EQ(write(y.get(), 3, stream.get), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(host.data(), y.get(), kBytes, cudaMemcpyDeviceToHost, stream.get), cudaSuccess);
  EXPECT_EQ(cudaLaunchHostFunc(
                stream.get,
                [](void* p) {
                  auto& to = *static_cast<State*>(p);
                  to.seen = to.host[5];
                  to.status = cudaStreamSynchronize(nullptr);
                },
                &state),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream.get), cudaSuccess);
  EXPECT_EQ(state.seen, 3);
  EXPECT_EQ(state.status, cudaErrorNotPermitted);
}

// Planted bugs in host code

TEST_F(Runtime, MissingSynchronisationShows) {
  const int wrong = count_seeds([] {
    const Stream stream;
    const DeviceVector<float> y(kThreads);
    std::vector<float> host(kThreads);
    EXPECT_EQ(write(y.get(), 2, stream.get), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(host.data(), y.get(), kBytes, cudaMemcpyDeviceToHost, stream.get), cudaSuccess);
    const float seen = host[7];
    EXPECT_EQ(cudaStreamSynchronize(stream.get), cudaSuccess);
    EXPECT_EQ(host[7], 2);
    return seen != 2;
  });
  EXPECT_GT(wrong, kSeeds / 2);
}

TEST_F(Runtime, MissingEventWaitShows) { EXPECT_GT(seeds_wrong_between_streams(false), kSeeds / 8); }

TEST_F(Runtime, HostSourceChangedBeforeTheCopyRanShows) {
  const int wrong = count_seeds([] {
    const Stream stream;
    const DeviceVector<float> x(kThreads);
    std::vector<float> host(kThreads, 1);
    EXPECT_EQ(cudaMemcpyAsync(x.get(), host.data(), kBytes, cudaMemcpyHostToDevice, stream.get), cudaSuccess);
    host.assign(kThreads, 2);
    return x.read() != std::vector<float>(kThreads, 1);
  });
  EXPECT_GT(wrong, kSeeds / 2);
}

TEST_F(Runtime, BufferFreedTooEarlyIsAFault) {
  const int noticed = count_seeds([] {
    const Stream stream;
    {
      const DeviceVector<float> y(kThreads);
      EXPECT_EQ(write(y.get(), 1, stream.get), cudaSuccess);
    }
    const DeviceVector<float> likely_in_its_place(kThreads);
    const bool fault = cudaStreamSynchronize(stream.get) == cudaErrorIllegalAddress;
    if (fault) {
      const std::string text = cudaGetErrorString(cudaErrorIllegalAddress);
      EXPECT_NE(text.find("freed before the work ran"), std::string::npos) << text;
      EXPECT_NE(text.find("runtime_test.cu:"), std::string::npos) << text;
    }
    return fault;
  });
  EXPECT_GT(noticed, kSeeds / 2);
}

TEST_F(Runtime, FreeingInStreamOrderIsRight) {
  EXPECT_EQ(count_seeds([] {
              const Stream stream;
              void* memory = nullptr;
              EXPECT_EQ(cudaMallocAsync(&memory, kBytes, stream.get), cudaSuccess);
              EXPECT_EQ(write(static_cast<float*>(memory), 1, stream.get), cudaSuccess);
              EXPECT_EQ(cudaFreeAsync(memory, stream.get), cudaSuccess);
              EXPECT_EQ(cudaStreamSynchronize(stream.get), cudaSuccess);
              return simt_control()->counts().device_allocations != 0;
            }),
            0);
}

TEST_F(Runtime, PinnedBufferFreedTooEarlyIsAFault) {
  const int noticed = count_seeds([] {
    const Stream stream;
    const DeviceVector<float> x(kThreads);
    void* host = nullptr;
    EXPECT_EQ(cudaMallocHost(&host, kBytes), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(x.get(), host, kBytes, cudaMemcpyHostToDevice, stream.get), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
    return cudaStreamSynchronize(stream.get) == cudaErrorIllegalAddress;
  });
  EXPECT_GT(noticed, kSeeds / 2);
}

TEST_F(Runtime, HostPointerToAKernelIsAFault) {
  std::vector<float> host(kThreads);
  EXPECT_EQ(write(host.data(), 1, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(Runtime, HostReadOfDeviceMemoryIsSeen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const DeviceVector<float> x(kThreads);
  EXPECT_DEATH(static_cast<void>(*static_cast<volatile float*>(x.get())), "use-after-poison");
}
#endif

// Copies

TEST_F(Runtime, CopiesCheckKindAndBounds) {
  const DeviceVector<float> x(kThreads), y(kThreads);
  std::vector<float> host(kThreads + 1);
  EXPECT_EQ(cudaMemcpy(x.get(), host.data(), kBytes, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), x.get(), kBytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x.get(), host.data(), kBytes, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x.get(), host.data(), kBytes + 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x.get() + 1, host.data(), kBytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(y.get(), x.get() + 1, kBytes, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(x.get() + 1, 0, kBytes), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, kBytes), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x.get(), host.data(), 4, static_cast<cudaMemcpyKind>(9)), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(Runtime, CopiesRectangles) {
  const std::vector<float> source = uniform<float>(6 * 5, 1);
  const DeviceVector<float> x(7 * 4);
  EXPECT_EQ(cudaMemset(x.get(), 0, 7 * 4 * sizeof(float)), cudaSuccess);
  EXPECT_EQ(cudaMemcpy2D(x.get(), 7 * 4, source.data(), 6 * 4, 3 * 4, 4, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy2D(x.get(), 2 * 4, source.data(), 6 * 4, 3 * 4, 4, cudaMemcpyHostToDevice),
            cudaErrorInvalidPitchValue);
  const std::vector<float> got = x.read();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i % 7 < 3 ? source[i / 7 * 6 + i % 7] : 0.0f) << i;
}

// Errors

TEST_F(Runtime, FailedAllocationStaysUntilRead) {
  void* memory = &memory;
  control().set_memory_limit(1000);
  EXPECT_EQ(cudaMalloc(&memory, 1001), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  const DeviceVector<char> fits(600);
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, 400u);
  EXPECT_EQ(total, 1000u);
  EXPECT_EQ(cudaMalloc(&memory, 401), cudaErrorMemoryAllocation);
}

TEST_F(Runtime, ErrorsBelongToTheThread) {
  EXPECT_EQ(cudaSetDevice(7), cudaErrorInvalidDevice);
  std::thread([] { EXPECT_EQ(cudaGetLastError(), cudaSuccess); }).join();
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

TEST_F(Runtime, FaultIsSticky) {
  const DeviceVector<float> y(kThreads);
  ASSERT_EQ(lossatlas::device::launch(planted::barrier_in_branch, {dim3(1), dim3(kThreads)}, y.get()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorLaunchFailure);
  EXPECT_EQ(write(y.get(), 1, nullptr), cudaErrorLaunchFailure);
  const std::string text = cudaGetErrorString(cudaErrorLaunchFailure);
  EXPECT_NE(text.find("planted_bugs.cuh:"), std::string::npos) << text;
  EXPECT_NE(text.find("runtime_test.cu:"), std::string::npos) << text;
  control().reset();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(write(y.get(), 1, nullptr), cudaSuccess);
  EXPECT_EQ(y.read()[0], 1);
}

TEST_F(Runtime, ImpossibleLaunchesAreRefused) {
  const DeviceVector<float> y(kThreads);
  const auto launch = [&](dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream = nullptr) {
    const cudaError_t status =
        lossatlas::device::launch(planted::write_value, {grid, block, shared, stream}, y.get(), 1.0f);
    static_cast<void>(cudaGetLastError());
    return status;
  };
  EXPECT_EQ(launch(dim3(0), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1, 65536), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(0), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(1025), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(1, 1, 65), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(kThreads), 227 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_EQ(launch(dim3(1), dim3(kThreads), 227 * 1024), cudaSuccess);
  cudaStream_t gone = nullptr;
  EXPECT_EQ(cudaStreamCreate(&gone), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(gone), cudaSuccess);
  EXPECT_EQ(launch(dim3(1), dim3(kThreads), 0, gone), cudaErrorInvalidResourceHandle);
  const Stream here;
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(launch(dim3(1), dim3(kThreads), 0, here.get), cudaErrorInvalidResourceHandle);
}

TEST_F(Runtime, SharedMemoryBeyondTheDefaultMustBeAskedFor) {
  const auto call = simt::make_call(planted::correct_rotate, dim3(1), dim3(kThreads), 48 * 1024 + 4,
                                    simt::Site::current(), static_cast<float*>(nullptr));
  EXPECT_EQ(simt::enqueue(call, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(call.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1),
            cudaErrorInvalidValue);
}

// A launch of 200 KB with one of 60 KB by another thread between its two steps: the limit belongs to the kernel.
TEST_F(Runtime, LaunchesDoNotTakeEachOthersSharedMemory) {
  const DeviceVector<float> y(kThreads);
  EXPECT_EQ(lossatlas::device::allow_shared(planted::write_value, 200 * 1024), cudaSuccess);
  const LaunchShape other{dim3(1), dim3(kThreads), 60 * 1024};
  EXPECT_EQ(lossatlas::device::launch(planted::write_value, other, y.get(), 1.0f), cudaSuccess);
  const auto call =
      simt::make_call(planted::write_value, dim3(1), dim3(kThreads), 200 * 1024, simt::Site::current(), y.get(), 2.0f);
  EXPECT_EQ(simt::enqueue(call, nullptr), cudaSuccess);
  EXPECT_EQ(y.read()[0], 2);
}

TEST_F(Runtime, PlantedFailures) {
  control().fail_allocation(3);
  void* memory[3] = {};
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaMalloc(&memory[0], 4), cudaSuccess);
  EXPECT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&memory[1], 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMallocHost(&memory[1], 4), cudaSuccess);
  EXPECT_EQ(cudaFree(memory[1]), cudaErrorInvalidValue);
  EXPECT_EQ(control().counts().live(), 3);
  EXPECT_EQ(control().counts().allocation_calls, 4);
  EXPECT_EQ(cudaFree(memory[0]), cudaSuccess);
  EXPECT_EQ(cudaFree(memory[0]), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(memory[1]), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(control().counts().live(), 0);

  const DeviceVector<float> y(kThreads);
  control().fail_launch(2);
  EXPECT_EQ(write(y.get(), 1, nullptr), cudaSuccess);
  EXPECT_EQ(write(y.get(), 2, nullptr), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(y.read()[0], 1);
  control().fault_launch(1);
  EXPECT_EQ(write(y.get(), 3, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
}

TEST_F(Runtime, DescribesItself) {
  int count = 0, value = 0, blocks = 0;
  cudaDeviceProp properties;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 1), cudaSuccess);
  EXPECT_EQ(value, properties.major);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 2), cudaErrorInvalidDevice);
  EXPECT_EQ(lossatlas::device::blocks_per_multiprocessor(planted::write_value, 256, 100 * 1024, &blocks), cudaSuccess);
  EXPECT_EQ(blocks, 2);
}

}  // namespace
