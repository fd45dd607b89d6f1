// Failures planted into the emulated device one after the other: the k-th allocation, or the k-th launch, for
// k = 1, 2, ... until a call meets no more of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "cuda_device.hpp"

namespace lossatlas {

/// Tests that steer the emulated device.
class CudaFailures : public CudaBackend {
 protected:
  void SetUp() override {
    CudaBackend::SetUp();
    if (missing_device().empty() && !emulator()) GTEST_SKIP() << "needs the planted failures of the emulated device";
  }
};

/// refused_launch: the launch itself fails; faulting_launch: it faults when it runs, and the device is lost.
enum class Planted { allocation, refused_launch, faulting_launch };

inline void plant(Planted what, std::int64_t k) {
  const simt::Control& control = *emulator();
  (what == Planted::allocation       ? control.fail_allocation
   : what == Planted::refused_launch ? control.fail_launch
                                     : control.fault_launch)(k);
}

/// How many allocations or launches there have been.
inline std::int64_t met(Planted what) {
  const simt::Counts counts = emulator()->counts();
  return what == Planted::allocation ? counts.allocation_calls : counts.launches;
}

/// The house form; the bytes that were needed, which only streams, events and handles do not know; the launch.
inline void expect_clear(Planted what, const Error& error) {
  const std::string text = error.what();
  const auto says = [&](const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(text.starts_with("[") && says("received ") && says("expected ")) << text;
  EXPECT_FALSE(says("\n")) << text;
  if (const auto* memory = dynamic_cast<const OutOfMemory*>(&error)) {
    EXPECT_EQ(what, Planted::allocation) << text;
    EXPECT_TRUE(says("memory")) << text;
    EXPECT_TRUE(memory->bytes() > 0 || says("Create")) << text;
  } else {
    const bool named = says("kernels::") || says("cublas") || says("cusolver");
    EXPECT_TRUE(named || what == Planted::allocation) << text;
  }
}

/// Of a call with the k-th failure planted: whether it threw. Results must be the expected bits.
template <class Call>
bool fails(Planted what, std::int64_t k, Call& call, const std::vector<double>& expected) {
  try {
    EXPECT_TRUE(same_bits(call(), expected)) << k;  // a smaller batch did it
    return false;
  } catch (const OutOfMemory& error) {
    expect_clear(what, error);
  } catch (const DeviceError& error) {
    expect_clear(what, error);
  }
  return true;
}

/// prepare() makes a call, undisturbed; call() returns numbers. With the k-th failure planted before a fresh call: a
/// clear error or, where memory was refused, the right bits; no status left behind; nothing leaked; the next call as if
/// nothing had been: the same one, or after a fault one on the device started anew. Returns how many failures a call
/// can meet.
template <class Prepare>
std::int64_t fail_every(Planted what, Prepare&& prepare) {
  constexpr std::int64_t kMost = 3000;
  const std::vector<double> expected = prepare()();
  const std::int64_t before = emulator()->counts().live();
  for (std::int64_t k = 1; k < kMost; ++k) {
    bool reached = false;
    {
      emulator()->reset();
      auto call = prepare();
      const std::int64_t so_far = met(what);
      plant(what, k);
      const bool failed = fails(what, k, call, expected);
      reached = met(what) >= so_far + k;
      EXPECT_TRUE(failed == reached || (reached && what == Planted::allocation)) << k;
      plant(what, 0);
      if (what != Planted::faulting_launch) {
        EXPECT_EQ(emulator()->last_error(), 0) << "left to the next launch by failure " << k;
        EXPECT_TRUE(same_bits(call(), expected)) << "after failure " << k;
      }
    }
    EXPECT_EQ(emulator()->counts().live(), before) << k;
    if (what == Planted::faulting_launch) {
      emulator()->reset();
      EXPECT_TRUE(same_bits(prepare()(), expected)) << "after fault " << k;
    }
    if (!reached) return k - 1;
    if (testing::Test::HasFailure()) return k;
  }
  ADD_FAILURE() << kMost << " failures were not enough";
  return kMost;
}

/// Allocations of operation(landscape), and of making the landscape.
template <class Operation>
std::int64_t fail_every_allocation(const Instance& instance, Operation operation) {
  return fail_every(Planted::allocation, [&] {
    return [&, landscape = std::unique_ptr<DeviceLandscape>()]() mutable {
      if (!landscape) landscape = on_cuda(instance);
      return operation(std::as_const(*landscape));
    };
  });
}

}  // namespace lossatlas
