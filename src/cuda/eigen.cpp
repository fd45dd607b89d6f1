#include "cuda/eigen.hpp"

#include <lossatlas/error.hpp>

#include "check.hpp"

namespace lossatlas::cuda {
namespace {

// Row-major upper is column-major lower, and columns of the result are rows of ours.
constexpr cublasFillMode_t kTriangle = CUBLAS_FILL_MODE_LOWER;

}  // namespace

SymmetricEigensolver::SymmetricEigensolver(Workspace& workspace, std::int64_t n, bool vectors, double* matrix,
                                           double* values)
    : workspace_(workspace),
      n_(n),
      job_(vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR),
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

void SymmetricEigensolver::solve() {
  LOSSATLAS_CUDA(cusolverDnXsyevd(workspace_.cusolver(), params_.get(), job_, kTriangle, n_, CUDA_R_64F, matrix_, n_,
                                  CUDA_R_64F, values_, CUDA_R_64F, device_.data(),
                                  static_cast<std::size_t>(device_.size()), host_.data(), host_.size(), info_.data()));
  int status = 0;
  download(workspace_.memory(), info_.data(), std::span(&status, 1));
  require<DeviceError>(status >= 0, "cuda", "received status ", status, " from cusolverDnXsyevd, expected 0 or more");
  require<Error>(status == 0, "hessian_spectrum", "received a matrix of size ", n_,
                 " on which cuSOLVER's iteration did not converge (", status, "); use Device::cpu()");
}

}  // namespace lossatlas::cuda
