#include <algorithm>
#include <cmath>
#include <vector>

#include "../kernels/training.hpp"
#include "base/parallel.hpp"
#include "cuda/hessian.hpp"
#include "cuda/linear_algebra.hpp"

namespace lossatlas::cuda {
namespace {

MatrixSize size_of(Workspace& workspace, const double* matrix, std::int64_t n) {
  MatrixSize size;
  std::vector<double> diagonal(static_cast<std::size_t>(n));
  LOSSATLAS_CUDA(cublasDnrm2_64(workspace.cublas(), n * n, matrix, 1, &size.frobenius));
  LOSSATLAS_CUDA(cudaMemcpy2DAsync(diagonal.data(), sizeof(double), matrix,
                                   static_cast<std::size_t>(n + 1) * sizeof(double), sizeof(double),
                                   static_cast<std::size_t>(n), cudaMemcpyDeviceToHost, workspace.stream()));
  synchronise(workspace.memory());
  for (const double entry : diagonal) size.diagonal += std::abs(entry);
  return size;
}

}  // namespace

bool hessian_has_factor(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                        const ShiftRule& shift, const Control& control) {
  const std::int64_t n = problem.network().parameter_count();
  const double factoring = 8 * static_cast<double>(n) + static_cast<double>(cholesky_bytes(workspace, n));
  const DeviceBuffer<double> matrix =
      hessian_memory(workspace, problem, std::max(assembly_bytes(problem, part), factoring));
  assemble_hessians(workspace, problem, theta, part, control, matrix.data());
  require_finite_matrices(workspace, matrix.data(), 1, n, {"test_curvature"});
  check_stop(control);
  const double below = shift(size_of(workspace, matrix.data(), n));
  LOSSATLAS_CUDA(kernels::launch_add_strided(matrix.data(), n, n + 1, below, workspace.stream()));
  return factor_cholesky(workspace, n, matrix.data());
}

}  // namespace lossatlas::cuda
