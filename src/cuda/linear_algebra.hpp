// cuSOLVER's factorisations of column-major matrices in device memory.
#pragma once

#include <cstdint>

#include "cuda/memory.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// A = Q R by Householder reflections, A (rows, columns) with leading dimension rows: R in the upper triangle, the
/// reflectors below it; tau (columns).
void factor_qr(Workspace& workspace, std::int64_t rows, std::int64_t columns, double* a, double* tau);

/// Device bytes that factor_cholesky() needs besides A (n, n).
std::int64_t cholesky_bytes(Workspace& workspace, std::int64_t n);
/// A = L Lᵀ in the lower triangle of A (n, n); the upper one is not read. False if a pivot is not positive.
bool factor_cholesky(Workspace& workspace, std::int64_t n, double* a);

/// X (n, k) ← (L Lᵀ)⁻¹ X.
void solve_cholesky(Workspace& workspace, std::int64_t n, std::int64_t k, const double* factor, double* x);

/// Least squares for the columns of B (rows, k) with A (rows, columns); the solutions are the first `columns` rows of
/// B. Overwrites both. False if R has a zero or a NaN on its diagonal.
bool solve_least_squares(Workspace& workspace, std::int64_t rows, std::int64_t columns, std::int64_t k, double* a,
                         double* b);

}  // namespace lossatlas::cuda
