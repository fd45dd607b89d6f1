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

#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "base/vectors.hpp"
#include "curvature/spectrum.hpp"
#include "linalg/blas.hpp"
#include "linalg/eigen.hpp"

namespace lossatlas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kVectorMatrices = 3;  // the eigenvectors, and LAPACK's workspace of two
constexpr std::int64_t kBand = 128;    // eigenvectors whose residuals one thread computes at a time

void check_vector_size(std::int64_t n, std::string_view function, const char* advice) {
  require(n <= cpu::kMaxVectors, function, "received size ", n, " with vectors, expected at most ", cpu::kMaxVectors,
          advice);
}

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

/// ‖entries‖₂ without overflow; NaN if an entry is.
double scaled_norm(std::span<const double> entries) {
  const double scale = norm_max(entries);
  if (scale == 0 || !std::isfinite(scale)) return scale;
  double sum = 0;
  for (const double entry : entries) sum += entry / scale * (entry / scale);
  return scale * std::sqrt(sum);
}

[[noreturn]] void refuse_size(std::int64_t n, double bytes, const SpectrumCaller& caller) {
  const auto whole = static_cast<std::int64_t>(bytes);
  throw OutOfMemory(
      message(caller.function, "received ", caller.what, " of size ", n, ", whose eigenvectors take ", whole,
              " bytes with their workspace, expected that much free; ask for the eigenvalues alone"),
      whole);
}

/// Eigenvalues and eigenvectors of the matrix whose upper triangle is in `matrix`; false if they did not converge.
bool solve_vectors(const std::vector<double>& matrix, std::int64_t n, const SpectrumCaller& caller,
                   Spectrum& spectrum) {
  const double bytes = 8 * kVectorMatrices * static_cast<double>(n) * static_cast<double>(n);
  if (!fits_host_memory(bytes)) refuse_size(n, bytes, caller);
  try {
    spectrum.eigenvectors = matrix;
    return cpu::eigenvectors(n, {spectrum.eigenvectors.data(), n}, spectrum.eigenvalues);
  } catch (const std::bad_alloc&) {
    refuse_size(n, bytes, caller);
  }
}

}  // namespace

double zero_threshold(std::int64_t n, double norm) {
  constexpr double kLeast = 1e-11, kFactor = 10;
  return std::max(kLeast, kFactor * static_cast<double>(n) * std::numeric_limits<double>::epsilon() * norm);
}

void check_zero_threshold(std::optional<double> threshold, std::string_view function) {
  require(!threshold || (std::isfinite(*threshold) && *threshold >= 0), function, "received zero threshold ",
          threshold.value_or(0), ", expected a finite number that is not negative");
}

void check_vector_size(const Landscape& landscape, std::string_view function) {
  if (landscape.device().kind() != Device::Kind::cpu) return;
  check_vector_size(landscape.network().parameter_count(), function, " on the CPU; use Device::cuda()");
}

double largest_residual(std::vector<double> matrix, std::int64_t n, const Spectrum& spectrum, int threads) {
  const cpu::SingleThreadedBlas guard;
  const cpu::Matrix h{matrix.data(), n};
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = r + 1; c < n; ++c) *h.at(c, r).data = *h.at(r, c).data;
  }
  std::vector<double> norms(static_cast<std::size_t>(n));
  parallel_for((n + kBand - 1) / kBand, threads, [&](std::int64_t band, int) {
    const std::int64_t first = band * kBand, rows = std::min(kBand, n - first);
    const double* vectors = spectrum.eigenvectors.data() + first * n;
    std::vector<double> images(static_cast<std::size_t>(rows * n));
    cpu::gemm(cpu::Op::none, cpu::Op::none, rows, n, n, 1, {vectors, n}, h, 0, {images.data(), n});
    for (std::int64_t r = 0; r < rows; ++r) {
      const double value = spectrum.eigenvalues[static_cast<std::size_t>(first + r)];
      const std::span<double> image(images.data() + r * n, static_cast<std::size_t>(n));
      for (std::size_t c = 0; c < image.size(); ++c) image[c] -= value * vectors[static_cast<std::size_t>(r * n) + c];
      norms[static_cast<std::size_t>(first + r)] = scaled_norm(image);
    }
  });
  return norm_max(norms);
}

Inertia count_inertia(const std::vector<double>& eigenvalues, std::optional<double> zero_threshold, ZeroRule* rule) {
  require_finite(eigenvalues, "count_inertia", "eigenvalues");
  check_zero_threshold(zero_threshold, "count_inertia");
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

Spectrum host_spectrum(std::vector<double> matrix, std::int64_t n, const SpectrumOptions& options, int threads,
                       const SpectrumCaller& caller) {
  const cpu::SingleThreadedBlas guard;
  Spectrum spectrum;
  spectrum.eigenvalues.resize(static_cast<std::size_t>(n));
  const bool converged = options.vectors ? solve_vectors(matrix, n, caller, spectrum)
                                         : cpu::eigenvalues(n, {matrix.data(), n}, spectrum.eigenvalues);
  require<Error>(converged, caller.function, "received ", caller.what, " of size ", n,
                 " on which LAPACK's iteration did not converge; scale it");
  spectrum.inertia = count_inertia(spectrum.eigenvalues, options.zero_threshold, &spectrum.zero);
  if (options.vectors) spectrum.residual = largest_residual(std::move(matrix), n, spectrum, threads);
  spectrum.device = "cpu, " + cpu::blas_name();
  return spectrum;
}

Spectrum symmetric_spectrum(std::vector<double> matrix, std::int64_t n, const SpectrumOptions& options) {
  check_zero_threshold(options.zero_threshold, "symmetric_spectrum");
  if (options.vectors) check_vector_size(n, "symmetric_spectrum", "; ask for the eigenvalues alone");
  check_matrix(matrix, n);
  return host_spectrum(std::move(matrix), n, options, Device::cpu().threads());
}

}  // namespace lossatlas
