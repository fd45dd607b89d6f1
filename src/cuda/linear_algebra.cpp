#include "cuda/linear_algebra.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <lossatlas/error.hpp>

#include "base/check.hpp"

namespace lossatlas::cuda {
namespace {

int narrow(std::int64_t size) {
  require(size <= std::numeric_limits<int>::max(), "cuda", "received a matrix with a side of ", size,
          ", expected one that fits 32-bit integers; use fewer samples");
  return static_cast<int>(size);
}

/// Device and host workspace of one call of the 64-bit API, and its status.
struct SolverBuffers {
  SolverBuffers(Memory& memory, std::size_t device_bytes, std::size_t host_bytes)
      : device(memory, static_cast<std::int64_t>(device_bytes)), host(host_bytes), info(memory, 1) {}
  /// Waits for the stream and returns the status; a bad argument is a bug of this library.
  int wait(const Memory& memory) {
    int status = 0;
    download(memory, info.data(), std::span(&status, 1));
    require<DeviceError>(status >= 0, "cuda", "received status ", status, " from cuSOLVER, expected 0 or more");
    return status;
  }
  DeviceBuffer<char> device;
  std::vector<char> host;
  DeviceBuffer<int> info;
};

/// Bytes that cuSOLVER needs on the device and on the host; it does not look at the matrix.
std::pair<std::size_t, std::size_t> cholesky_workspace(Workspace& workspace, const CusolverParams& params,
                                                       std::int64_t n) {
  std::size_t device_bytes = 0, host_bytes = 0;
  LOSSATLAS_CUDA(cusolverDnXpotrf_bufferSize(workspace.cusolver(), params.get(), CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F,
                                             nullptr, n, CUDA_R_64F, &device_bytes, &host_bytes));
  return {device_bytes, host_bytes};
}

}  // namespace

void factor_qr(Workspace& workspace, std::int64_t rows, std::int64_t columns, double* a, double* tau) {
  const CusolverParams params = make_cusolver_params();
  std::size_t device_bytes = 0, host_bytes = 0;
  LOSSATLAS_CUDA(cusolverDnXgeqrf_bufferSize(workspace.cusolver(), params.get(), rows, columns, CUDA_R_64F, a, rows,
                                             CUDA_R_64F, tau, CUDA_R_64F, &device_bytes, &host_bytes));
  SolverBuffers buffers(workspace.memory(), device_bytes, host_bytes);
  LOSSATLAS_CUDA(cusolverDnXgeqrf(workspace.cusolver(), params.get(), rows, columns, CUDA_R_64F, a, rows, CUDA_R_64F,
                                  tau, CUDA_R_64F, buffers.device.data(), device_bytes, buffers.host.data(), host_bytes,
                                  buffers.info.data()));
  buffers.wait(workspace.memory());
}

std::int64_t cholesky_bytes(Workspace& workspace, std::int64_t n) {
  const auto [device_bytes, host_bytes] = cholesky_workspace(workspace, make_cusolver_params(), n);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(device_bytes)) + static_cast<std::int64_t>(sizeof(int));
}

bool factor_cholesky(Workspace& workspace, std::int64_t n, double* a) {
  const CusolverParams params = make_cusolver_params();
  const auto [device_bytes, host_bytes] = cholesky_workspace(workspace, params, n);
  SolverBuffers buffers(workspace.memory(), device_bytes, host_bytes);
  LOSSATLAS_CUDA(cusolverDnXpotrf(workspace.cusolver(), params.get(), CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, a, n,
                                  CUDA_R_64F, buffers.device.data(), device_bytes, buffers.host.data(), host_bytes,
                                  buffers.info.data()));
  return buffers.wait(workspace.memory()) == 0;
}

void solve_cholesky(Workspace& workspace, std::int64_t n, std::int64_t k, const double* factor, double* x) {
  const CusolverParams params = make_cusolver_params();
  SolverBuffers buffers(workspace.memory(), 0, 0);
  LOSSATLAS_CUDA(cusolverDnXpotrs(workspace.cusolver(), params.get(), CUBLAS_FILL_MODE_LOWER, n, k, CUDA_R_64F, factor,
                                  n, CUDA_R_64F, x, n, buffers.info.data()));
  buffers.wait(workspace.memory());
}

bool solve_least_squares(Workspace& workspace, std::int64_t rows, std::int64_t columns, std::int64_t k, double* a,
                         double* b) {
  Memory& memory = workspace.memory();
  const DeviceBuffer<double> tau(memory, columns);
  factor_qr(workspace, rows, columns, a, tau.data());
  std::vector<double> diagonal(static_cast<std::size_t>(columns));
  LOSSATLAS_CUDA(cudaMemcpy2DAsync(diagonal.data(), sizeof(double), a,
                                   static_cast<std::size_t>(rows + 1) * sizeof(double), sizeof(double),
                                   static_cast<std::size_t>(columns), cudaMemcpyDeviceToHost, workspace.stream()));
  synchronise(memory);
  if (!std::all_of(diagonal.begin(), diagonal.end(), [](double r) { return std::isfinite(r) && r != 0; })) return false;
  const int m = narrow(rows), n = narrow(columns), right = narrow(k);
  int size = 0;
  LOSSATLAS_CUDA(cusolverDnDormqr_bufferSize(workspace.cusolver(), CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, right, n, a, m,
                                             tau.data(), b, m, &size));
  const DeviceBuffer<double> work(memory, size);
  SolverBuffers buffers(memory, 0, 0);
  LOSSATLAS_CUDA(cusolverDnDormqr(workspace.cusolver(), CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, right, n, a, m, tau.data(), b,
                                  m, work.data(), size, buffers.info.data()));
  buffers.wait(memory);
  const double one = 1;
  LOSSATLAS_CUDA(cublasDtrsm(workspace.cublas(), CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N,
                             CUBLAS_DIAG_NON_UNIT, n, right, &one, a, m, b, m));
  return true;
}

}  // namespace lossatlas::cuda
