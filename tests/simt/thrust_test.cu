// Sorting and compaction through the seam. Ordinary CUDA, for the emulated device and for a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include <device/thrust.cuh>

#include "device_memory.hpp"

namespace {

struct IsPositive {
  __host__ __device__ bool operator()(float x) const { return x > 0; }
};

TEST(Thrust, SortsStablyInStreamOrder) {
  std::vector<int> keys(1000), values(1000);
  std::mt19937 random(1);
  for (int& key : keys) key = static_cast<int>(random() % 10);
  std::iota(values.begin(), values.end(), 0);
  std::vector<int> want = values;
  std::stable_sort(want.begin(), want.end(),
                   [&](int a, int b) { return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)]; });
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const DeviceVector<int> device_keys(keys.size()), device_values(values);
  ASSERT_EQ(cudaMemcpyAsync(device_keys.get(), keys.data(), keys.size() * sizeof(int), cudaMemcpyHostToDevice, stream),
            cudaSuccess);
  lossatlas::device::sort_by_key(stream, device_keys.get(), device_values.get(), 1000);
  EXPECT_EQ(device_values.read(), want);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(device_keys.read(), keys);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST(Thrust, CompactsInOrder) {
  const auto x = uniform<float>(1000, 2);
  const DeviceVector<float> in(x), out(x.size());
  std::vector<float> want;
  std::copy_if(x.begin(), x.end(), std::back_inserter(want), IsPositive());
  const std::int64_t kept =
      lossatlas::device::copy_if(nullptr, static_cast<const float*>(in.get()), 1000, out.get(), IsPositive());
  ASSERT_EQ(kept, static_cast<std::int64_t>(want.size()));
  auto got = out.read();
  got.resize(want.size());
  EXPECT_EQ(got, want);
}

}  // namespace
