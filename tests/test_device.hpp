// The device under test where a program runs once for the CPU and once more for each CUDA module.
#pragma once

#include <cstdlib>

#include <gtest/gtest.h>
#include <lossatlas/device.hpp>
#include <lossatlas/error.hpp>

namespace lossatlas {

/// The device of the module that LOSSATLAS_CUDA_MODULE names, else the CPU.
inline Device test_device() { return std::getenv("LOSSATLAS_CUDA_MODULE") ? Device::cuda() : Device::cpu(); }

/// Skips every test of the program where the named module has no device.
class RequireTestDevice : public testing::Environment {
  void SetUp() override {
    try {
      test_device();
    } catch (const DeviceError& error) {
      // CTest counts a test as skipped by the first line; GoogleTest does not print it for a whole program.
      GTEST_SKIP() << "[  SKIPPED ]\nskipped: " << error.what();
    }
  }
};
inline const testing::Environment* const kRequireTestDevice = testing::AddGlobalTestEnvironment(new RequireTestDevice);

}  // namespace lossatlas
