#include "cuda/eigen.hpp"

#include <algorithm>
#include <limits>

#include <lossatlas/error.hpp>

#include "base/check.hpp"

namespace lossatlas::cuda {
namespace {

// A row-major upper triangle is a column-major lower one, and columns of the result are our rows.
constexpr cublasFillMode_t kTriangle = CUBLAS_FILL_MODE_LOWER;

cusolverEigMode_t job_of(bool vectors) { return vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR; }

}  // namespace

// bufferSize looks only at sizes, so it can be called before there are matrices.

SymmetricEigensolver::SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors)
    : workspace_(workspace), n_(n), job_(job_of(vectors)), params_(make_cusolver_params()) {
  LOSSATLAS_CUDA(cusolverDnSetDeterministicMode(workspace.cusolver(), CUSOLVER_DETERMINISTIC_RESULTS));
  LOSSATLAS_CUDA(cusolverDnXsyevd_bufferSize(workspace.cusolver(), params_.get(), job_, kTriangle, n, CUDA_R_64F,
                                             nullptr, n, CUDA_R_64F, nullptr, CUDA_R_64F, &memory_.device_bytes,
                                             &memory_.host_bytes));
}

int SymmetricEigensolver::solve(double* matrix, double* values) {
  LOSSATLAS_CUDA(cusolverDnXsyevd(workspace_.cusolver(), params_.get(), job_, kTriangle, n_, CUDA_R_64F, matrix, n_,
                                  CUDA_R_64F, values, CUDA_R_64F, memory_.device.data(), memory_.device_bytes,
                                  memory_.host.data(), memory_.host_bytes, memory_.info.data()));
  int status = 0;
  download(workspace_.memory(), memory_.info.data(), std::span(&status, 1));
  require<DeviceError>(status >= 0, "cuda", "received status ", status, " from cusolverDnXsyevd, expected 0 or more");
  return status;
}

std::int64_t BatchedEigensolver::most_members(std::int64_t n) {
  constexpr std::int64_t kMost = 16384;  // cuSOLVER refuses calls with more than twice as many
  return std::clamp<std::int64_t>(std::numeric_limits<std::int32_t>::max() / (n * n), 1,
                                  kMost);  // cuSOLVER's own limit
}

BatchedEigensolver::BatchedEigensolver(Workspace& workspace, std::int64_t n, std::int64_t members, bool vectors)
    : workspace_(workspace), n_(n), members_(members), job_(job_of(vectors)), params_(make_cusolver_params()) {
  memory_.members = members;
  LOSSATLAS_CUDA(cusolverDnSetDeterministicMode(workspace.cusolver(), CUSOLVER_DETERMINISTIC_RESULTS));
#if CUSOLVER_VERSION >= 12000  // CUDA 13; by default the algorithm may change with the number of members
  LOSSATLAS_CUDA(cusolverDnSetAdvOptions(params_.get(), CUSOLVERDN_SYEVBATCHED, CUSOLVER_ALG_1));
#endif
  LOSSATLAS_CUDA(cusolverDnXsyevBatched_bufferSize(workspace.cusolver(), params_.get(), job_, kTriangle, n, CUDA_R_64F,
                                                   nullptr, n, CUDA_R_64F, nullptr, CUDA_R_64F, &memory_.device_bytes,
                                                   &memory_.host_bytes, members));
}

std::vector<int> BatchedEigensolver::solve(double* matrices, double* values) {
  LOSSATLAS_CUDA(cusolverDnXsyevBatched(workspace_.cusolver(), params_.get(), job_, kTriangle, n_, CUDA_R_64F, matrices,
                                        n_, CUDA_R_64F, values, CUDA_R_64F, memory_.device.data(), memory_.device_bytes,
                                        memory_.host.data(), memory_.host_bytes, memory_.info.data(), members_));
  std::vector<int> status(static_cast<std::size_t>(members_));
  download(workspace_.memory(), memory_.info.data(), std::span(status));
  const int least = *std::min_element(status.begin(), status.end());
  require<DeviceError>(least >= 0, "cuda", "received status ", least,
                       " from cusolverDnXsyevBatched, expected 0 or more");
  return status;
}

}  // namespace lossatlas::cuda
