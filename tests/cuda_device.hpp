// What the tests of the CUDA backend share: the device under test, which is a GPU or the emulated one, and sections on
// it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <lossatlas/error.hpp>

#include "backend/backend.hpp"
#include "backend/cuda_module.hpp"
#include "section_instance.hpp"
#include "simt/control.hpp"

namespace lossatlas {
/// Why there is no CUDA device, or nothing.
inline const std::string& missing_device() {
  static const std::string reason = [] {
    try {
      return std::string(cuda_module().device_count() > 0 ? "" : "no device");
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
  }();
  return reason;
}

/// Steers the emulated device; null on a real one.
inline const simt::Control* emulator() {
  static const simt::Control* control = []() -> const simt::Control* {
    const char* file = std::getenv("LOSSATLAS_CUDA_MODULE");
    void* library = file ? dlopen(file, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
    const auto entry = library ? reinterpret_cast<const simt::Control* (*)()>(dlsym(library, "simt_control")) : nullptr;
    return entry ? entry() : nullptr;
  }();
  return control;
}

class CudaBackend : public testing::Test {
 protected:
  void SetUp() override {
    if (!missing_device().empty()) GTEST_SKIP() << missing_device();
    if (emulator()) emulator()->reset();
  }
  void TearDown() override {
    if (missing_device().empty() && emulator()) emulator()->reset();
  }
};

inline std::unique_ptr<DeviceLandscape> on_cuda(const Network& network, const Dataset& data, Loss loss) {
  return make_backend(Device::cuda())->landscape(network, data, loss);
}
inline std::unique_ptr<DeviceLandscape> on_cuda(const Instance& instance) {
  return on_cuda(instance.network, instance.data, instance.loss);
}
inline std::unique_ptr<DeviceLandscape> on_cpu(const Instance& instance) {
  return make_backend(Device::cpu({.threads = 1}))->landscape(instance.network, instance.data, instance.loss);
}

inline SectionPlan plan_of(const Instance& instance, Plan choice = Plan::automatic) {
  return plan_section(instance.network, instance.loss, instance.section, choice);
}

/// losses (G, H) by a set-up for this call alone; returns the precision that ran.
inline Precision section_losses(const DeviceLandscape& landscape, const SectionPlan& plan,
                                std::span<const double> points, Precision precision, const Control& control,
                                std::span<double> losses) {
  const auto section = landscape.section(plan, precision, control);
  section->losses({points, plan.rank}, control, losses);
  return landscape.section_precision(plan, precision);
}

inline std::vector<double> section(const DeviceLandscape& landscape, const Instance& instance, Precision precision,
                                   Plan choice = Plan::automatic, const Control& control = {}) {
  std::vector<double> losses(static_cast<std::size_t>(instance.count() * instance.network.heads()), -1.0);
  section_losses(landscape, plan_of(instance, choice), instance.points, precision, control, losses);
  return losses;
}

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline double largest(std::span<const double> values) {
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  return top;
}

/// A section of every kind of plan, on both sides of a chunk of samples.
inline std::vector<Problem> kinds() {
  const auto mse = Loss::mean_squared_error;
  return {{.widths = {5, 9, 7, 6}, .heads = 2, .support = Support::all, .samples = 300, .points = 23, .seed = 8},
          {.widths = {5, 9, 7, 6}, .heads = 2, .support = Support::all_biases, .samples = 70, .points = 23, .seed = 9},
          {.widths = {5, 9, 7, 6}, .heads = 2, .support = Support::theorem1, .samples = 70, .points = 23, .seed = 10},
          {.widths = {5, 9, 6}, .heads = 2, .loss = mse, .support = Support::last, .points = 23, .seed = 11},
          {.widths = {5, 9, 7, 6}, .heads = 2, .support = Support::first, .samples = 300, .points = 23, .seed = 12},
          {.widths = {5, 9, 7, 6}, .heads = 2, .support = Support::first_biases, .points = 23, .seed = 13}};
}

}  // namespace lossatlas
