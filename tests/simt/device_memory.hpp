// Small helpers of the emulated device's tests.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "control.hpp"

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

/// Every test starts and ends with a machine without faults.
class EmulatedDevice : public testing::Test {
 protected:
  EmulatedDevice() { reset(); }
  ~EmulatedDevice() override { reset(); }
  static const simt::Control& control() { return *simt_control(); }
  static void reset() {
    control().reset();
    static_cast<void>(cudaGetLastError());
    static_cast<void>(cudaSetDevice(0));
  }
};

/// Device memory that holds a copy of a vector, or NaNs.
template <class T>
class DeviceVector {
 public:
  explicit DeviceVector(std::size_t size) : size_(size) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, size * sizeof(T)), cudaSuccess);
    data_ = static_cast<T*>(memory);
  }
  explicit DeviceVector(const std::vector<T>& values) : DeviceVector(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceVector() { static_cast<void>(cudaFree(data_)); }
  DeviceVector(const DeviceVector&) = delete;
  DeviceVector& operator=(const DeviceVector&) = delete;

  T* get() const { return data_; }
  /// The contents after all work is done.
  std::vector<T> read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  std::size_t size_;
  T* data_ = nullptr;
};

template <class T>
std::vector<T> uniform(std::size_t count, unsigned seed, T low = T(-1)) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> distribution(low, T(1));
  std::vector<T> values(count);
  for (T& value : values) value = distribution(random);
  return values;
}

/// max |got - want|, NaN if any difference is NaN.
template <class A, class B>
double worst_error(const A& got, const B& want) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}
