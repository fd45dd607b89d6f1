#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include <lossatlas/device.hpp>

#include "expect_error.hpp"

namespace lossatlas {
namespace {

TEST(Device, Cpu) {
  EXPECT_EQ(Device::cpu({.threads = 3}).threads(), 3);
  EXPECT_GE(Device::cpu().threads(), 1);
  EXPECT_EQ(Device::cpu({.threads = 3}).describe().substr(0, 15), "cpu, 3 threads,");
  EXPECT_TRUE(Device::cpu().reason().empty());
  EXPECT_ERROR(Device::cpu({.threads = -1}), InvalidArgument, "-1 threads");
}

TEST(Device, PrecisionNames) {
  for (const Precision precision : {Precision::f64, Precision::f32, Precision::fast}) {
    EXPECT_EQ(parse_precision(name(precision)), precision);
  }
  EXPECT_ERROR(parse_precision("f16"), InvalidArgument, "f64, f32 or fast");
}

// With or without a module, a driver and a GPU: an explicit cuda() never falls back, best() does and says why.
TEST(Device, CudaOrTheReasonWhyNot) {
  std::optional<std::string> missing;
  try {
    EXPECT_EQ(Device::cuda().kind(), Device::Kind::cuda);
  } catch (const DeviceError& error) {
    missing = error.what();
  }
  const Device best = Device::best();
  EXPECT_EQ(best.kind(), missing ? Device::Kind::cpu : Device::Kind::cuda);
  EXPECT_EQ(best.reason(), missing.value_or(""));
  EXPECT_FALSE(best.describe().empty());
  if (!missing) {
    EXPECT_ERROR(Device::cuda({.index = 1000}), DeviceError, "device 1000");
    EXPECT_ERROR(Device::cuda({.index = -1}), DeviceError, "device -1");
  }
}

}  // namespace
}  // namespace lossatlas
