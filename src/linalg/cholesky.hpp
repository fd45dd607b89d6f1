// Gram matrix and Cholesky factor in parallel: blocks depend only on the size, and one thread computes each, so the
// bits do not depend on the number of threads. The caller holds a SingleThreadedBlas.
#pragma once

#include <cstdint>

#include <lossatlas/progress.hpp>

#include "linalg/blas.hpp"

namespace lossatlas::cpu {

/// Upper triangle of gram (n, n) += AᵀA for A (rows, n). Nothing below the diagonal is touched.
void add_gram(std::int64_t n, std::int64_t rows, ConstMatrix a, Matrix gram, int threads, const Control& control);

/// a = UᵀU in the upper triangle of a (n, n); false when a is not numerically positive definite.
bool cholesky(std::int64_t n, Matrix a, int threads, const Control& control);

/// x (n, k) ← (UᵀU)⁻¹ x.
void solve_cholesky(std::int64_t n, std::int64_t k, ConstMatrix u, Matrix x);

/// ‖A‖₁ of the symmetric matrix whose upper triangle is given.
double symmetric_norm(std::int64_t n, ConstMatrix a);

}  // namespace lossatlas::cpu
