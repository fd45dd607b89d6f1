// The verbs of layers on a CUDA device; see layers/verbs.hpp. They are queued on the workspace's stream.
#pragma once

#include <cstdint>
#include <span>

#include <lossatlas/add.hpp>
#include <lossatlas/dense.hpp>

#include "cuda/matrix.hpp"

namespace lossatlas::cuda {

/// Where a layer's weight and bias begin in device memory; null where it has none.
template <class T>
struct DeviceParameters {
  T* weight = nullptr;
  T* bias = nullptr;
};

/// A CUDA device, as the verbs see it. Inputs may have gaps between rows.
struct Gpu {
  using Matrix = DeviceMatrix;
  using ConstMatrix = ConstDeviceMatrix;
  using Parameters = DeviceParameters<const double>;
  using Gradient = DeviceParameters<double>;

  Workspace& workspace;
};

void forward(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, std::int64_t rows,
             std::span<const ConstDeviceMatrix> inputs, DeviceMatrix pre);
void jvp(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, const Gpu::Parameters& direction,
         std::int64_t rows, std::span<const ConstDeviceMatrix> inputs, std::span<const ConstDeviceMatrix> tangents,
         DeviceMatrix next);
void vjp_input(const Gpu& gpu, const Dense& layer, const Gpu::Parameters& parameters, std::int64_t rows,
               ConstDeviceMatrix cotangent, double beta, DeviceMatrix below);
void vjp_parameters(const Gpu& gpu, const Dense& layer, std::int64_t rows, ConstDeviceMatrix cotangent,
                    std::span<const ConstDeviceMatrix> inputs, const Gpu::Gradient& gradient);

void forward(const Gpu& gpu, const Add& layer, const Gpu::Parameters& parameters, std::int64_t rows,
             std::span<const ConstDeviceMatrix> inputs, DeviceMatrix pre);
void jvp(const Gpu& gpu, const Add& layer, const Gpu::Parameters& parameters, const Gpu::Parameters& direction,
         std::int64_t rows, std::span<const ConstDeviceMatrix> inputs, std::span<const ConstDeviceMatrix> tangents,
         DeviceMatrix next);
void vjp_input(const Gpu& gpu, const Add& layer, const Gpu::Parameters& parameters, std::int64_t rows,
               ConstDeviceMatrix cotangent, double beta, DeviceMatrix below);
void vjp_parameters(const Gpu& gpu, const Add& layer, std::int64_t rows, ConstDeviceMatrix cotangent,
                    std::span<const ConstDeviceMatrix> inputs, const Gpu::Gradient& gradient);

}  // namespace lossatlas::cuda
