// Skips every test of a program where there is no GPU to run it on.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

namespace {

class RequireGpu : public testing::Environment {
  void SetUp() override {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    // CTest counts a test as skipped by the first line; GoogleTest does not print it for a whole program.
    if (status != cudaSuccess) GTEST_SKIP() << "[  SKIPPED ]\nskipped: " << cudaGetErrorString(status);
  }
};

const testing::Environment* const environment = testing::AddGlobalTestEnvironment(new RequireGpu);

}  // namespace
