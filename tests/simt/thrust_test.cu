// Compaction through the seam. Ordinary CUDA, for the emulated device and for a GPU.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include <device/thrust.cuh>

#include "device_memory.hpp"

namespace {

struct IsPositive {
  __host__ __device__ bool operator()(float x) const { return x > 0; }
};

TEST(Thrust, FindsIndicesInStreamOrder) {
  const auto x = uniform<float>(1000, 2);
  std::vector<std::int32_t> want;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (IsPositive()(x[i])) want.push_back(static_cast<std::int32_t>(i));
  }
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const DeviceVector<float> values(x.size());
  const DeviceVector<std::int32_t> indices(x.size());
  const DeviceVector<unsigned char> workspace(static_cast<std::size_t>(lossatlas::device::index_workspace(1000)));
  ASSERT_EQ(cudaMemcpyAsync(values.get(), x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice, stream),
            cudaSuccess);
  const std::int64_t found = lossatlas::device::indices_if(stream, static_cast<const float*>(values.get()), 1000,
                                                           indices.get(), workspace.get(), IsPositive());
  ASSERT_EQ(found, static_cast<std::int64_t>(want.size()));
  auto got = indices.read();
  got.resize(want.size());
  EXPECT_EQ(got, want);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
