#include <algorithm>
#include <iterator>
#include <new>
#include <vector>

#include <lossatlas/error.hpp>

#include "../kernels/hessian.hpp"
#include "base/check.hpp"
#include "base/parallel.hpp"
#include "base/vectors.hpp"
#include "cuda/eigen.hpp"
#include "cuda/hessian.hpp"
#include "cuda/pass.hpp"

namespace lossatlas::cuda {
namespace {

constexpr std::int64_t kBand = 512;  // eigenvectors whose residuals are computed at a time

/// max ‖H v − λ v‖₂ over the rows v of vectors (n, n); NaN if any of them is.
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
  return norm_max(found);
}

/// Device bytes of largest_residual().
double residual_bytes(std::int64_t n) {
  return 8 * static_cast<double>(n) * static_cast<double>(std::min(kBand, n) + 1);
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

/// Memory for the Hessians of some points; the solutions replace the Hessians, or a copy of them if vectors are asked
/// for.
struct SpectraMemory {
  /// Throws OutOfMemory unless all bytes of assembling and solving are free; the eigensolver takes `solver` of them.
  SpectraMemory(Workspace& workspace, const Problem& problem, HessianPart part, std::int64_t count, bool vectors,
                std::int64_t solver)
      : n(problem.network().parameter_count()),
        members(count),
        matrices(hessian_memory(workspace, problem, rest(problem, part, count, vectors, solver), count)),
        copies(vectors ? DeviceBuffer<double>(workspace.memory(), count * n * n) : DeviceBuffer<double>()),
        values(workspace.memory(), count * n),
        spectra(static_cast<std::size_t>(count)) {
    for (Spectrum& one : spectra) {
      one.eigenvalues.resize(static_cast<std::size_t>(n));
      if (vectors) one.eigenvectors = vector_memory(n);
    }
  }

  /// Device bytes besides the matrices.
  static double rest(const Problem& problem, HessianPart part, std::int64_t count, bool vectors, std::int64_t solver) {
    const std::int64_t n = problem.network().parameter_count();
    const double lines = static_cast<double>(count) * static_cast<double>(n);
    return 8 * lines * static_cast<double>(vectors ? n + 1 : 1) + static_cast<double>(solver) +
           std::max(assembly_bytes(problem, part, count), vectors ? 8 * static_cast<double>(n) + residual_bytes(n) : 0);
  }

  bool has_vectors() const { return copies.data() != nullptr; }
  /// Where the solver finds the matrices and leaves the eigenvectors.
  double* solved() const { return has_vectors() ? copies.data() : matrices.data(); }

  void assemble(Workspace& workspace, const Problem& problem, std::span<const double> thetas, HessianPart part,
                const Control& control, const HessianCaller& caller) {
    assemble_hessians(workspace, problem, thetas, part, control, matrices.data());
    require_finite_matrices(workspace, matrices.data(), members, n, caller);
    check_stop(control);
    if (!has_vectors()) return;
    LOSSATLAS_CUDA(cudaMemcpyAsync(copies.data(), matrices.data(),
                                   static_cast<std::size_t>(members * n * n) * sizeof(double), cudaMemcpyDeviceToDevice,
                                   workspace.stream()));
  }

  std::vector<Spectrum> results(Workspace& workspace) {
    const Memory& memory = workspace.memory();
    for (std::int64_t i = 0; i < members; ++i) {
      Spectrum& one = spectra[static_cast<std::size_t>(i)];
      const double* own_values = values.data() + i * n;
      download(memory, own_values, std::span(one.eigenvalues));
      if (!has_vectors()) continue;
      const double* vectors = copies.data() + i * n * n;
      one.residual = largest_residual(workspace, n, matrices.data() + i * n * n, vectors, own_values);
      download(memory, vectors, std::span(one.eigenvectors));
    }
    return std::move(spectra);
  }

  std::int64_t n;
  std::int64_t members;
  DeviceBuffer<double> matrices;  ///< (members, n, n)
  DeviceBuffer<double> copies;    ///< the same, if vectors are asked for
  DeviceBuffer<double> values;    ///< (members, n)
  std::vector<Spectrum> spectra;
};

void require_converged(int status, std::int64_t n, const HessianCaller& caller) {
  require<Error>(status == 0, caller.function, "received ", caller.parameters(), " whose Hessian of size ", n,
                 " is one on which cuSOLVER's iteration did not converge (", status, "); use Device::cpu()");
}

/// The spectra at a few points, the first of which is the one `caller` names.
std::vector<Spectrum> batch_spectra(Workspace& workspace, const Problem& problem, std::span<const double> thetas,
                                    HessianPart part, bool vectors, const Control& control,
                                    const HessianCaller& caller) {
  const std::int64_t n = problem.network().parameter_count();
  const std::int64_t members = static_cast<std::int64_t>(thetas.size()) / n;
  BatchedEigensolver solver(workspace, n, members, vectors);
  SpectraMemory memory(workspace, problem, part, members, vectors, solver.bytes());
  solver.reserve();
  memory.assemble(workspace, problem, thetas, part, control, caller);
  HessianCaller member = caller;
  for (const int status : solver.solve(memory.solved(), memory.values.data())) {
    require_converged(status, n, member);
    ++member.point;
  }
  return memory.results(workspace);
}

/// Points of a batch that memory is likely to hold.
std::int64_t batch_members(std::int64_t n, bool vectors, std::int64_t points) {
  const std::int64_t each = 8 * n * (n + 1) * (vectors ? 2 : 1);
  return std::clamp<std::int64_t>(std::min(memory_budget() / each, BatchedEigensolver::most_members(n)), 1, points);
}

}  // namespace

Spectrum hessian_spectrum(Workspace& workspace, const Problem& problem, std::span<const double> theta, HessianPart part,
                          bool vectors, const Control& control, const HessianCaller& caller) {
  const std::int64_t n = problem.network().parameter_count();
  SymmetricEigensolver solver(workspace, n, vectors);
  SpectraMemory memory(workspace, problem, part, 1, vectors, solver.bytes());
  solver.reserve();
  memory.assemble(workspace, problem, theta, part, control, caller);
  require_converged(solver.solve(memory.solved(), memory.values.data()), n, caller);
  return std::move(memory.results(workspace).front());
}

double hessian_spectrum_bytes(Workspace& workspace, const Problem& problem, HessianPart part, bool vectors) {
  const std::int64_t n = problem.network().parameter_count();
  const SymmetricEigensolver solver(workspace, n, vectors);
  return 8 * static_cast<double>(n) * static_cast<double>(n) +
         SpectraMemory::rest(problem, part, 1, vectors, solver.bytes());
}

std::vector<Spectrum> hessian_spectra(Workspace& workspace, const Problem& problem, std::span<const double> thetas,
                                      HessianPart part, bool vectors, const Control& control) {
  const std::int64_t n = problem.network().parameter_count();
  const std::int64_t count = static_cast<std::int64_t>(thetas.size()) / n;
  const bool batched = n <= BatchedEigensolver::kMostSize;  // depends on n only, never on free memory
  const Control quiet{.progress = {}, .stop = control.stop};
  std::vector<Spectrum> spectra;
  std::int64_t members = batched ? batch_members(n, vectors, count) : 1;
  for (std::int64_t first = 0; first < count;) {
    members = std::min(members, count - first);
    const auto points = thetas.subspan(static_cast<std::size_t>(first * n), static_cast<std::size_t>(members * n));
    const HessianCaller caller{"hessian_spectra", first};
    try {
      if (batched) {
        std::ranges::move(batch_spectra(workspace, problem, points, part, vectors, quiet, caller),
                          std::back_inserter(spectra));
      } else {
        spectra.push_back(hessian_spectrum(workspace, problem, points, part, vectors, quiet, caller));
      }
    } catch (const OutOfMemory&) {
      if (members == 1) throw;
      members /= 2;
      continue;
    }
    first += members;
    if (control.progress) control.progress({"spectra", first, count});
  }
  return spectra;
}

}  // namespace lossatlas::cuda
