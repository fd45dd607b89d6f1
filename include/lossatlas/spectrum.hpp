#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <lossatlas/export.hpp>
#include <lossatlas/spectrum_values.hpp>

namespace lossatlas {

/// The spectrum of a symmetric matrix (n, n) by LAPACK, which reads the upper triangle. Throws InvalidArgument if it is
/// not square or has a non-finite entry, if the zero threshold is negative or not finite, and for more than 32766 rows
/// with vectors (the limit of LAPACK's workspace sizes); OutOfMemory with the bytes for eigenvectors and workspace;
/// Error if the iteration does not converge.
/// @snippet api/curvature.cpp symmetric spectrum
LOSSATLAS_API Spectrum symmetric_spectrum(std::vector<double> matrix, std::int64_t n,
                                          const SpectrumOptions& options = {});
/// Inertia and zero rule of eigenvalues (n) in any order.
/// @snippet api/curvature.cpp symmetric spectrum
LOSSATLAS_API Inertia count_inertia(const std::vector<double>& eigenvalues, std::optional<double> zero_threshold,
                                    ZeroRule* rule = nullptr);

}  // namespace lossatlas
