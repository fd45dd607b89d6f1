#include <lossatlas/hessian.hpp>

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "backend/backend.hpp"
#include "base/check.hpp"
#include "base/host_memory.hpp"
#include "base/parallel.hpp"
#include "curvature/hessian_matrix.hpp"
#include "curvature/spectrum.hpp"

namespace lossatlas {
namespace {

constexpr double kMostBytes = 0x1p62;
constexpr std::int64_t kBatchEntries = std::int64_t{1} << 25;  // 256 MiB of Hessians at a time

void check_theta(const Landscape& landscape, std::span<const double> theta, std::string_view function) {
  require(static_cast<std::int64_t>(theta.size()) == landscape.network().parameter_count(), function, "received ",
          theta.size(), " parameters, expected ", landscape.network().parameter_count());
}

[[noreturn]] void refuse_size(std::int64_t parameters) {
  const double bytes = 8.0 * static_cast<double>(parameters) * static_cast<double>(parameters);
  const std::int64_t whole = bytes < kMostBytes ? 8 * parameters * parameters : static_cast<std::int64_t>(kMostBytes);
  throw OutOfMemory(message("hessian", "received ", parameters, " parameters, whose Hessian takes ", whole,
                            " bytes, expected one that fits the memory; use HessianOperator, which does not form it"),
                    whole);
}

/// Allocates an (M, M) matrix. Checks first if it is large: a system that overcommits would kill the process later.
std::vector<double> square_matrix(std::int64_t parameters) {
  if (!fits_host_memory(8 * static_cast<double>(parameters) * static_cast<double>(parameters))) refuse_size(parameters);
  try {
    return std::vector<double>(static_cast<std::size_t>(parameters) * static_cast<std::size_t>(parameters));
  } catch (const std::bad_alloc&) {
    refuse_size(parameters);
  } catch (const std::length_error&) {
    refuse_size(parameters);
  }
}

/// Throws unless the eigenvectors of all `count` points fit in memory together.
void require_vector_memory(std::int64_t parameters, std::int64_t count, std::string_view function) {
  const double bytes =
      8 * static_cast<double>(count) * static_cast<double>(parameters) * static_cast<double>(parameters);
  if (fits_host_memory(bytes)) return;
  const auto whole = static_cast<std::int64_t>(std::min(bytes, kMostBytes));
  throw OutOfMemory(message(function, "received ", count, count == 1 ? " point with " : " points with ", parameters,
                            " parameters, whose eigenvectors take ", whole,
                            " bytes, expected that much free; ask for the eigenvalues alone"),
                    whole);
}

/// Checks what can be refused before any work on `count` points.
void check_options(const Landscape& landscape, const SpectrumOptions& spectrum, std::int64_t count,
                   std::string_view function) {
  check_zero_threshold(spectrum.zero_threshold, function);
  if (!spectrum.vectors) return;
  check_vector_size(landscape, function);
  require_vector_memory(landscape.network().parameter_count(), count, function);
}

/// The spectrum of `caller`'s Hessian, by LAPACK.
Spectrum solved_on_host(std::vector<double> matrix, std::int64_t size, const SpectrumOptions& spectrum, int threads,
                        const HessianCaller& caller) {
  return host_spectrum(std::move(matrix), size, spectrum, threads,
                       {caller.function, caller.parameters() + " with a Hessian"});
}

/// Calls call() and adds the point to the message of an OutOfMemory.
template <class Call>
auto at_point(std::int64_t point, Call&& call) {
  try {
    return call();
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(message("hessian_spectra", "received point ", point, ", for which ", error.what()),
                      error.bytes());
  }
}

/// Spectra by LAPACK: a batch of Hessians at a time, each on one thread.
std::vector<Spectrum> spectra_on_host(const Landscape& landscape, std::span<const double> thetas,
                                      const SpectrumOptions& spectrum, const HessianOptions& options) {
  const std::int64_t size = landscape.network().parameter_count();
  const std::int64_t count = static_cast<std::int64_t>(thetas.size()) / size;
  const std::int64_t batch = std::max<std::int64_t>(1, kBatchEntries / size / size);
  const int threads = landscape.device().threads();
  const HessianOptions quiet{.part = options.part, .control = {.progress = {}, .stop = options.control.stop}};
  std::vector<Spectrum> spectra(static_cast<std::size_t>(count));
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t members = std::min(batch, count - first);
    std::vector<std::vector<double>> matrices;
    for (std::int64_t i = first; i < first + members; ++i) {
      const auto theta = thetas.subspan(static_cast<std::size_t>(i * size), static_cast<std::size_t>(size));
      matrices.push_back(at_point(i, [&] { return finite_hessian(landscape, theta, quiet, {"hessian_spectra", i}); }));
    }
    parallel_for(members, threads, quiet.control, "", [&](std::int64_t i, int) {
      spectra[static_cast<std::size_t>(first + i)] = at_point(first + i, [&] {
        return solved_on_host(std::move(matrices[static_cast<std::size_t>(i)]), size, spectrum,
                              members == 1 ? threads : 1, {"hessian_spectra", first + i});
      });
    });
    if (options.control.progress) options.control.progress({"spectra", first + members, count});
  }
  return spectra;
}

}  // namespace

std::vector<double> hessian(const Landscape& landscape, std::span<const double> theta, const HessianOptions& options) {
  check_theta(landscape, theta, "hessian");
  std::vector<double> result = square_matrix(landscape.network().parameter_count());
  on_device(landscape).hessian(theta, options.part, options.control, result);
  return result;
}

std::vector<double> finite_hessian(const Landscape& landscape, std::span<const double> theta,
                                   const HessianOptions& options, const HessianCaller& caller) {
  std::vector<double> matrix = hessian(landscape, theta, options);
  for (std::size_t e = 0; e < matrix.size(); ++e) {
    if (e % theta.size() == 0) check_stop(options.control);
    if (std::isfinite(matrix[e])) continue;
    throw NonFiniteHessian(message(caller.function, "received ", caller.parameters(), " whose Hessian has the entry ",
                                   matrix[e], " at (", e / theta.size(), ", ", e % theta.size(),
                                   "), expected a finite one; check that the loss is finite there"));
  }
  return matrix;
}

Spectrum hessian_spectrum(const Landscape& landscape, std::span<const double> theta, const SpectrumOptions& spectrum,
                          const HessianOptions& options) {
  check_theta(landscape, theta, "hessian_spectrum");
  check_options(landscape, spectrum, 1, "hessian_spectrum");
  std::optional<Spectrum> found =
      on_device(landscape).hessian_spectrum(theta, options.part, spectrum.vectors, options.control);
  if (found) {
    found->inertia = count_inertia(found->eigenvalues, spectrum.zero_threshold, &found->zero);
    return *std::move(found);
  }
  const HessianCaller caller{"hessian_spectrum"};
  return solved_on_host(finite_hessian(landscape, theta, options, caller), landscape.network().parameter_count(),
                        spectrum, landscape.device().threads(), caller);
}

std::optional<Spectrum> spectrum_where_finite(const Landscape& landscape, std::span<const double> theta,
                                              const SpectrumOptions& spectrum, const Control& control) {
  try {
    return hessian_spectrum(landscape, theta, spectrum, {.control = {.progress = {}, .stop = control.stop}});
  } catch (const NonFiniteHessian&) {
    return std::nullopt;
  }
}

SpectrumCost spectrum_cost(const Landscape& landscape, const SpectrumOptions& spectrum, HessianPart part) {
  const auto m = static_cast<double>(landscape.network().parameter_count());
  const auto samples = static_cast<double>(landscape.data().size());
  return {samples * m * m, (spectrum.vectors ? 8 : 4.0 / 3) * m * m * m,
          on_device(landscape).hessian_spectrum_bytes(part, spectrum.vectors)};
}

std::vector<Spectrum> hessian_spectra(const Landscape& landscape, std::span<const double> thetas,
                                      const SpectrumOptions& spectrum, const HessianOptions& options) {
  const std::int64_t size = landscape.network().parameter_count();
  const auto entries = static_cast<std::int64_t>(thetas.size());
  require(entries % size == 0, "hessian_spectra", "received ", entries, " entries, expected a multiple of ", size,
          "; pass points (k, M)");
  if (entries == 0) return {};
  check_options(landscape, spectrum, entries / size, "hessian_spectra");
  std::optional<std::vector<Spectrum>> found =
      on_device(landscape).hessian_spectra(thetas, options.part, spectrum.vectors, options.control);
  if (!found) return spectra_on_host(landscape, thetas, spectrum, options);
  for (Spectrum& one : *found) one.inertia = count_inertia(one.eigenvalues, spectrum.zero_threshold, &one.zero);
  return *std::move(found);
}

HessianOperator::HessianOperator(const Landscape& landscape, std::vector<double> theta, HessianPart part)
    : landscape_(&landscape), theta_(std::move(theta)), part_(part) {
  check_theta(landscape, theta_, "HessianOperator");
}

std::vector<double> HessianOperator::multiply(std::span<const double> vectors, const Control& control) const {
  require(vectors.size() % theta_.size() == 0, "HessianOperator::multiply", "received ", vectors.size(),
          " entries, expected a multiple of ", theta_.size(), "; pass vectors (k, M)");
  std::vector<double> products(vectors.size());
  on_device(*landscape_).hessian_products(theta_, part_, vectors, control, products);
  return products;
}

}  // namespace lossatlas
