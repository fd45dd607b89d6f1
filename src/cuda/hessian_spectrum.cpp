#include <algorithm>
#include <new>
#include <vector>

#include <lossatlas/error.hpp>

#include "../kernels/hessian.hpp"
#include "check.hpp"
#include "cuda/eigen.hpp"
#include "cuda/hessian.hpp"
#include "cuda/hessian_pass.hpp"
#include "parallel.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kBand = 512;  // eigenvectors whose residuals are computed at a time

void require_finite_matrix(Workspace& workspace, const double* matrix, std::int64_t n) {
  Memory& memory = workspace.memory();
  const DeviceBuffer<std::int64_t> columns(memory, n);
  LOSSATLAS_CUDA(kernels::launch_find_not_finite(matrix, n, columns.data(), workspace.stream()));
  std::vector<std::int64_t> found(static_cast<std::size_t>(n));
  download(memory, columns.data(), std::span(found));
  const auto row = std::find_if(found.begin(), found.end(), [&](std::int64_t column) { return column < n; });
  if (row == found.end()) return;
  double entry = 0;
  download(memory, matrix + (row - found.begin()) * n + *row, std::span(&entry, 1));
  throw Error(message("hessian_spectrum", "received parameters whose Hessian has the entry ", entry, " at (",
                      row - found.begin(), ", ", *row,
                      "), expected a finite one; check that the loss is finite there"));
}

/// max ‖H v − λ v‖₂ over the rows v of vectors (n, n).
double largest_residual(Workspace& workspace, std::int64_t n, const double* matrix, const double* vectors,
                        const double* values) {
  Memory& memory = workspace.memory();
  const DeviceBuffer<double> images(memory, std::min(kBand, n) * n), norms(memory, n);
  for (std::int64_t first = 0; first < n; first += kBand) {
    const std::int64_t rows = std::min(kBand, n - first);
    multiply(workspace, rows, n, n, {vectors + first * n, n}, {matrix, n}, 0, {images.data(), n});
    LOSSATLAS_CUDA(kernels::launch_residual_norms(images.data(), vectors + first * n, values + first, rows, n,
                                                  norms.data() + first, workspace.stream()));
  }
  std::vector<double> found(static_cast<std::size_t>(n));
  download(memory, norms.data(), std::span(found));
  return *std::max_element(found.begin(), found.end());
}

/// Host memory for eigenvectors (n, n).
std::vector<double> vector_memory(std::int64_t n) {
  try {
    return std::vector<double>(static_cast<std::size_t>(n * n));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message("hessian_spectrum", "received ", n, " parameters, whose eigenvectors take ", 8 * n * n,
                              " bytes, expected that much free; ask for the eigenvalues alone"),
                      8 * n * n);
  }
}

}  // namespace

Spectrum hessian_spectrum(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                          bool vectors, const Control& control) {
  Memory& memory = workspace.memory();
  const std::int64_t n = problem.network().parameter_count();
  const DeviceBuffer<double> matrix = hessian_memory(workspace, problem, part), values(memory, n);
  const DeviceBuffer<double> copy = vectors ? DeviceBuffer<double>(memory, n * n) : DeviceBuffer<double>();
  double* solved = vectors ? copy.data() : matrix.data();
  SymmetricEigensolver solver(workspace, n, vectors, solved, values.data());
  Spectrum spectrum;
  spectrum.eigenvalues.resize(static_cast<std::size_t>(n));
  if (vectors) spectrum.eigenvectors = vector_memory(n);
  assemble_hessian(workspace, problem, theta, part, control, matrix.data());
  require_finite_matrix(workspace, matrix.data(), n);
  check_stop(control);
  if (vectors) {
    LOSSATLAS_CUDA(cudaMemcpyAsync(solved, matrix.data(), static_cast<std::size_t>(n * n) * sizeof(double),
                                   cudaMemcpyDeviceToDevice, workspace.stream()));
  }
  solver.solve();
  download(memory, values.data(), std::span(spectrum.eigenvalues));
  if (!vectors) return spectrum;
  spectrum.residual = largest_residual(workspace, n, matrix.data(), solved, values.data());
  download(memory, solved, std::span(spectrum.eigenvectors));
  return spectrum;
}

}  // namespace lossatlas::cuda
