#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/spectrum_values.hpp>

namespace lossatlas {

/// The spectrum of a symmetric matrix (n, n), of which the upper triangle is read, by LAPACK. Throws InvalidArgument
/// when it is not square or has a non-finite entry, when the zero threshold is negative or not finite, and on more than
/// 32766 rows with vectors (the limit of LAPACK's workspace sizes); OutOfMemory with the bytes that eigenvectors and
/// workspace need; Error when the iteration does not converge.
LOSSATLAS_API Spectrum symmetric_spectrum(std::vector<double> matrix, std::int64_t n,
                                          const SpectrumOptions& options = {});
/// Inertia and zero rule of eigenvalues (n) in any order.
LOSSATLAS_API Inertia count_inertia(const std::vector<double>& eigenvalues, std::optional<double> zero_threshold,
                                    ZeroRule* rule = nullptr);

}  // namespace lossatlas
