#include <lossatlas/spectrum.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <new>
#include <span>
#include <utility>

#include <lossatlas/device.hpp>
#include <lossatlas/error.hpp>

#include "check.hpp"
#include "cpu/blas.hpp"
#include "cpu/eigen.hpp"
#include "host_memory.hpp"
#include "parallel.hpp"
#include "spectrum.hpp"

namespace lossatlas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kVectorMatrices = 3;  // the eigenvectors and LAPACK's workspace
constexpr std::int64_t kBand = 128;    // eigenvectors whose residuals one thread computes at a time

void check_matrix(const std::vector<double>& matrix, std::int64_t n) {
  const std::size_t side = n > 0 ? static_cast<std::size_t>(n) : 0;
  require(side > 0 && matrix.size() % side == 0 && matrix.size() / side == side, "symmetric_spectrum", "received ",
          matrix.size(), " entries for size ", n, ", expected n*n with n at least 1");
  for (std::size_t r = 0; r < side; ++r) {
    for (std::size_t c = r; c < side; ++c) {
      require(std::isfinite(matrix[r * side + c]), "symmetric_spectrum", "received the entry ", matrix[r * side + c],
              " at (", r, ", ", c, "), expected finite entries");
    }
  }
}

/// max ‖H v − λ v‖₂ over the rows v of `vectors`, for the H whose upper triangle is in `matrix`.
double largest_residual(std::vector<double> matrix, std::int64_t n, const Spectrum& spectrum) {
  const cpu::Matrix h{matrix.data(), n};
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = r + 1; c < n; ++c) *h.at(c, r).data = *h.at(r, c).data;
  }
  std::vector<double> worst(static_cast<std::size_t>((n + kBand - 1) / kBand));
  parallel_for(static_cast<std::int64_t>(worst.size()), Device::cpu().threads(), [&](std::int64_t band, int) {
    const std::int64_t first = band * kBand, rows = std::min(kBand, n - first);
    const double* vectors = spectrum.eigenvectors.data() + first * n;
    std::vector<double> images(static_cast<std::size_t>(rows * n));
    cpu::gemm(cpu::Op::none, cpu::Op::none, rows, n, n, 1, {vectors, n}, h, 0, {images.data(), n});
    for (std::int64_t r = 0; r < rows; ++r) {
      const double value = spectrum.eigenvalues[static_cast<std::size_t>(first + r)];
      double scale = 0, sum = 0;
      for (std::int64_t c = 0; c < n; ++c) {
        double& entry = images[static_cast<std::size_t>(r * n + c)];
        entry -= value * vectors[r * n + c];
        scale = std::max(scale, std::abs(entry));
      }
      for (std::int64_t c = 0; scale > 0 && c < n; ++c) {
        const double entry = images[static_cast<std::size_t>(r * n + c)] / scale;
        sum += entry * entry;
      }
      double& largest = worst[static_cast<std::size_t>(band)];
      largest = std::max(largest, scale * std::sqrt(sum));
    }
  });
  return *std::max_element(worst.begin(), worst.end());
}

[[noreturn]] void refuse_size(std::int64_t n, double bytes) {
  throw OutOfMemory(
      message("symmetric_spectrum", "received size ", n, ", whose eigenvectors take ", static_cast<std::int64_t>(bytes),
              " bytes with their workspace, expected that much free; ask for the eigenvalues alone"),
      static_cast<std::int64_t>(bytes));
}

/// Eigenvalues and eigenvectors of the matrix whose upper triangle is in `matrix`; false if they did not converge.
bool solve_vectors(const std::vector<double>& matrix, std::int64_t n, Spectrum& spectrum) {
  const double bytes = 8 * kVectorMatrices * static_cast<double>(n) * static_cast<double>(n);
  if (!fits_host_memory(bytes)) refuse_size(n, bytes);
  try {
    spectrum.eigenvectors = matrix;
    return cpu::eigenvectors(n, {spectrum.eigenvectors.data(), n}, spectrum.eigenvalues);
  } catch (const std::bad_alloc&) {
    refuse_size(n, bytes);
  }
}

}  // namespace

double zero_threshold(std::int64_t n, double norm) {
  constexpr double kLeast = 1e-11, kFactor = 10;
  return std::max(kLeast, kFactor * static_cast<double>(n) * std::numeric_limits<double>::epsilon() * norm);
}

Inertia count_inertia(const std::vector<double>& eigenvalues, std::optional<double> zero_threshold, ZeroRule* rule) {
  require_finite(eigenvalues, "count_inertia", "eigenvalues");
  require(!zero_threshold || (std::isfinite(*zero_threshold) && *zero_threshold >= 0), "count_inertia",
          "received zero threshold ", zero_threshold.value_or(0), ", expected a finite number that is not negative");
  double norm = 0;
  for (const double value : eigenvalues) norm = std::max(norm, std::abs(value));
  const auto n = static_cast<std::int64_t>(eigenvalues.size());
  const double rounding = static_cast<double>(n) * std::numeric_limits<double>::epsilon() * norm;
  ZeroRule found{zero_threshold.value_or(lossatlas::zero_threshold(n, norm)), 0, kInfinity, 0};
  Inertia inertia;
  for (const double value : eigenvalues) {
    const double size = std::abs(value);
    if (size <= found.threshold) {
      ++inertia.zero;
      found.largest_zero = std::max(found.largest_zero, size);
    } else {
      ++(value > 0 ? inertia.positive : inertia.negative);
      found.smallest_nonzero = std::min(found.smallest_nonzero, size);
    }
  }
  const double noise = std::max(found.largest_zero, rounding);
  found.gap = noise > 0 ? found.smallest_nonzero / noise : kInfinity;
  if (rule) *rule = found;
  return inertia;
}

Spectrum symmetric_spectrum(std::vector<double> matrix, std::int64_t n, const SpectrumOptions& options) {
  check_matrix(matrix, n);
  require(!options.vectors || n <= cpu::kMaxVectors, "symmetric_spectrum", "received size ", n,
          " with vectors, expected at most ", cpu::kMaxVectors, "; ask for the eigenvalues alone");
  const cpu::SingleThreadedBlas guard;
  Spectrum spectrum;
  spectrum.eigenvalues.resize(static_cast<std::size_t>(n));
  const bool converged = options.vectors ? solve_vectors(matrix, n, spectrum)
                                         : cpu::eigenvalues(n, {matrix.data(), n}, spectrum.eigenvalues);
  require<Error>(converged, "symmetric_spectrum", "received a matrix of size ", n,
                 " on which LAPACK's iteration did not converge; scale it");
  spectrum.inertia = count_inertia(spectrum.eigenvalues, options.zero_threshold, &spectrum.zero);
  if (options.vectors) spectrum.residual = largest_residual(std::move(matrix), n, spectrum);
  spectrum.device = "cpu, " + cpu::blas_name();
  return spectrum;
}

}  // namespace lossatlas
