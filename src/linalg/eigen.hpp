// Eigenvalues of symmetric matrices by LAPACK on the calling thread. The caller holds a SingleThreadedBlas: LAPACK's
// bits change with the number of BLAS threads.
#pragma once

#include <cstdint>
#include <span>

#include "linalg/blas.hpp"

namespace lossatlas::cpu {

/// Size of the largest matrix whose eigenvectors fit the 32-bit workspace sizes of this LAPACK.
inline constexpr std::int64_t kMaxVectors = 32766;

/// values (n), ascending, of the symmetric matrix whose upper triangle is in a (n, n); overwrites a. False if the
/// iteration did not converge.
bool eigenvalues(std::int64_t n, Matrix a, std::span<double> values);

/// The same, with the orthonormal eigenvectors in the rows of a. n ≤ kMaxVectors.
bool eigenvectors(std::int64_t n, Matrix a, std::span<double> values);

}  // namespace lossatlas::cpu
