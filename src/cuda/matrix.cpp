#include "cuda/matrix.hpp"

namespace lossatlas::cuda {
namespace {

/// Row-major matrices are transposed column-major ones: C is transposed, and so the factors swap places.
void gemm(Workspace& workspace, cublasOperation_t op_a, cublasOperation_t op_b, std::int64_t m, std::int64_t n,
          std::int64_t k, ConstDeviceMatrix a, ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  const double one = 1;
  LOSSATLAS_CUDA(cublasDgemm_64(workspace.cublas(), op_b, op_a, n, m, k, &one, b.data, b.stride, a.data, a.stride,
                                &beta, c.data, c.stride));
}

}  // namespace

void multiply(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
              ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, a, b, beta, c);
}

void multiply_by_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                            ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, a, b, beta, c);
}

void multiply_transposed(Workspace& workspace, std::int64_t m, std::int64_t n, std::int64_t k, ConstDeviceMatrix a,
                         ConstDeviceMatrix b, double beta, DeviceMatrix c) {
  gemm(workspace, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, a, b, beta, c);
}

}  // namespace lossatlas::cuda
