#include "cuda/eigen.hpp"

#include <algorithm>
#include <limits>

#include <lossatlas/error.hpp>

#include "check.hpp"

namespace lossatlas::cuda {
namespace {

// Row-major upper is column-major lower, and columns of the result are rows of ours.
constexpr cublasFillMode_t kTriangle = CUBLAS_FILL_MODE_LOWER;

cusolverEigMode_t job_of(bool vectors) { return vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR; }

}  // namespace

SymmetricEigensolver::SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors, double* matrix,
                                           double* values)
    : workspace_(workspace),
      n_(n),
      job_(job_of(vectors)),
      matrix_(matrix),
      values_(values),
      params_(make_cusolver_params()) {
  std::size_t device_bytes = 0, host_bytes = 0;
  LOSSATLAS_CUDA(cusolverDnSetDeterministicMode(workspace.cusolver(), CUSOLVER_DETERMINISTIC_RESULTS));
  LOSSATLAS_CUDA(cusolverDnXsyevd_bufferSize(workspace.cusolver(), params_.get(), job_, kTriangle, n, CUDA_R_64F,
                                             matrix, n, CUDA_R_64F, values, CUDA_R_64F, &device_bytes, &host_bytes));
  device_ = DeviceBuffer<char>(workspace.memory(), static_cast<std::int64_t>(device_bytes));
  host_.resize(host_bytes);
  info_ = DeviceBuffer<int>(workspace.memory(), 1);
}

int SymmetricEigensolver::solve() {
  LOSSATLAS_CUDA(cusolverDnXsyevd(workspace_.cusolver(), params_.get(), job_, kTriangle, n_, CUDA_R_64F, matrix_, n_,
                                  CUDA_R_64F, values_, CUDA_R_64F, device_.data(),
                                  static_cast<std::size_t>(device_.size()), host_.data(), host_.size(), info_.data()));
  int status = 0;
  download(workspace_.memory(), info_.data(), std::span(&status, 1));
  require<DeviceError>(status >= 0, "cuda", "received status ", status, " from cusolverDnXsyevd, expected 0 or more");
  return status;
}

std::int64_t BatchedEigensolver::most_members(std::int64_t n) {
  constexpr std::int64_t kMost = 16384;  // calls with more than twice as many have been refused
  return std::clamp<std::int64_t>(std::numeric_limits<std::int32_t>::max() / (n * n), 1,
                                  kMost);  // cuSOLVER's own limit
}

BatchedEigensolver::BatchedEigensolver(Workspace& workspace, std::int64_t n, std::int64_t members, bool vectors,
                                       double* matrices, double* values)
    : workspace_(workspace),
      n_(n),
      members_(members),
      job_(job_of(vectors)),
      matrices_(matrices),
      values_(values),
      params_(make_cusolver_params()) {
  std::size_t device_bytes = 0, host_bytes = 0;
  LOSSATLAS_CUDA(cusolverDnSetDeterministicMode(workspace.cusolver(), CUSOLVER_DETERMINISTIC_RESULTS));
#if CUSOLVER_VERSION >= 12000  // CUDA 13; the default may change the algorithm with the number of members
  LOSSATLAS_CUDA(cusolverDnSetAdvOptions(params_.get(), CUSOLVERDN_SYEVBATCHED, CUSOLVER_ALG_1));
#endif
  LOSSATLAS_CUDA(cusolverDnXsyevBatched_bufferSize(workspace.cusolver(), params_.get(), job_, kTriangle, n, CUDA_R_64F,
                                                   matrices, n, CUDA_R_64F, values, CUDA_R_64F, &device_bytes,
                                                   &host_bytes, members));
  device_ = DeviceBuffer<char>(workspace.memory(), static_cast<std::int64_t>(device_bytes));
  host_.resize(host_bytes);
  info_ = DeviceBuffer<int>(workspace.memory(), members);
}

std::vector<int> BatchedEigensolver::solve() {
  LOSSATLAS_CUDA(cusolverDnXsyevBatched(workspace_.cusolver(), params_.get(), job_, kTriangle, n_, CUDA_R_64F,
                                        matrices_, n_, CUDA_R_64F, values_, CUDA_R_64F, device_.data(),
                                        static_cast<std::size_t>(device_.size()), host_.data(), host_.size(),
                                        info_.data(), members_));
  std::vector<int> status(static_cast<std::size_t>(members_));
  download(workspace_.memory(), info_.data(), std::span(status));
  const int least = *std::min_element(status.begin(), status.end());
  require<DeviceError>(least >= 0, "cuda", "received status ", least,
                       " from cusolverDnXsyevBatched, expected 0 or more");
  return status;
}

}  // namespace lossatlas::cuda
