#include <lossatlas/hessian.hpp>

#include <cmath>
#include <fstream>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "backend.hpp"
#include "check.hpp"

namespace lossatlas {
namespace {

constexpr double kMostBytes = 0x1p62;

void check_theta(const Landscape& landscape, std::span<const double> theta, std::string_view function) {
  require(static_cast<std::int64_t>(theta.size()) == landscape.network().parameter_count(), function, "received ",
          theta.size(), " parameters, expected ", landscape.network().parameter_count());
}

/// Bytes that the system can give without swapping; absent where it does not say.
std::optional<double> available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    double kilobytes = 0;
    if (word == "MemAvailable:" && file >> kilobytes) return 1024 * kilobytes;
  }
  return std::nullopt;
}

[[noreturn]] void refuse_size(std::int64_t parameters) {
  const double bytes = 8.0 * static_cast<double>(parameters) * static_cast<double>(parameters);
  const std::int64_t whole = bytes < kMostBytes ? 8 * parameters * parameters : static_cast<std::int64_t>(kMostBytes);
  throw OutOfMemory(message("hessian", "received ", parameters, " parameters, whose Hessian takes ", whole,
                            " bytes, expected one that fits the memory; use HessianOperator, which does not form it"),
                    whole);
}

/// Memory for an (M, M) matrix. Asks first when it is large: a system that overcommits would kill the process later.
std::vector<double> square_matrix(std::int64_t parameters) {
  constexpr double kLarge = 0x1p26;
  const double bytes = 8 * static_cast<double>(parameters) * static_cast<double>(parameters);
  if (bytes > kLarge && bytes > available_memory().value_or(kMostBytes)) refuse_size(parameters);
  try {
    return std::vector<double>(static_cast<std::size_t>(parameters) * static_cast<std::size_t>(parameters));
  } catch (const std::bad_alloc&) {
    refuse_size(parameters);
  } catch (const std::length_error&) {
    refuse_size(parameters);
  }
}

}  // namespace

std::vector<double> hessian(const Landscape& landscape, std::span<const double> theta, const HessianOptions& options) {
  check_theta(landscape, theta, "hessian");
  std::vector<double> result = square_matrix(landscape.network().parameter_count());
  on_device(landscape).hessian(theta, options.part, options.control, result);
  return result;
}

Spectrum hessian_spectrum(const Landscape& landscape, std::span<const double> theta, const SpectrumOptions& spectrum,
                          const HessianOptions& options) {
  check_theta(landscape, theta, "hessian_spectrum");
  std::optional<Spectrum> found =
      on_device(landscape).hessian_spectrum(theta, options.part, spectrum.vectors, options.control);
  if (found) {
    found->inertia = count_inertia(found->eigenvalues, spectrum.zero_threshold, &found->zero);
    return *std::move(found);
  }
  std::vector<double> matrix = hessian(landscape, theta, options);
  for (std::size_t e = 0; e < matrix.size(); ++e) {
    require<Error>(std::isfinite(matrix[e]), "hessian_spectrum", "received parameters whose Hessian has the entry ",
                   matrix[e], " at (", e / theta.size(), ", ", e % theta.size(),
                   "), expected a finite one; check that the loss is finite there");
  }
  return symmetric_spectrum(std::move(matrix), landscape.network().parameter_count(), spectrum);
}

HessianOperator::HessianOperator(const Landscape& landscape, std::vector<double> theta, HessianPart part)
    : landscape_(&landscape), theta_(std::move(theta)), part_(part) {
  check_theta(landscape, theta_, "HessianOperator");
}

std::vector<double> HessianOperator::multiply(std::span<const double> vectors) const {
  require(vectors.size() % theta_.size() == 0, "HessianOperator::multiply", "received ", vectors.size(),
          " entries, expected a multiple of ", theta_.size(), "; pass vectors (k, M)");
  std::vector<double> products(vectors.size());
  on_device(*landscape_).hessian_products(theta_, part_, vectors, products);
  return products;
}

}  // namespace lossatlas
