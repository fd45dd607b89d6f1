// Row-major matrices in device memory, and their products by cuBLAS.
#pragma once

#include <cstdint>

#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// Entry (i, j) is data[i * stride + j].
struct ConstDeviceMatrix {
  const double* data = nullptr;
  std::int64_t stride = 0;
};
struct DeviceMatrix {
  double* data;
  std::int64_t stride;

  operator ConstDeviceMatrix() const { return {data, stride}; }
};

/// C (m, n) ← A (m, k) B (k, n) + beta·C.
void multiply(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
              ConstDeviceMatrix b, double beta, DeviceMatrix c);
/// C (m, n) ← A (m, k) Bᵀ (n, k) + beta·C.
void multiply_by_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                            ConstDeviceMatrix b, double beta, DeviceMatrix c);
/// C (m, n) ← Aᵀ (k, m) B (k, n) + beta·C.
void multiply_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                         ConstDeviceMatrix b, double beta, DeviceMatrix c);

}  // namespace lossatlas::cuda
