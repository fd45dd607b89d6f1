// Thin typed calls of BLAS and LAPACK for row-major matrices of doubles. OpenBLAS's bits change with its number of
// threads: hold a SingleThreadedBlas, and run parallel_for over pieces that depend on the problem only.
#pragma once

#include <cstdint>
#include <string>

namespace lossatlas::cpu {

/// While any of these lives, OpenBLAS runs every call on the calling thread; the last to end restores the number of
/// threads that the first found.
class SingleThreadedBlas {
 public:
  SingleThreadedBlas();
  ~SingleThreadedBlas();
  SingleThreadedBlas(const SingleThreadedBlas&) = delete;
  SingleThreadedBlas& operator=(const SingleThreadedBlas&) = delete;
};

/// Hold one around each call of OpenBLAS, which takes a buffer for every call in progress and waits forever if there is
/// no room for one. Throws OutOfMemory in that case.
class BlasCall {
 public:
  BlasCall();
  ~BlasCall();
  BlasCall(const BlasCall&) = delete;
  BlasCall& operator=(const BlasCall&) = delete;
};

/// Such as "OpenBLAS 0.3.21 SkylakeX".
std::string blas_name();

enum class Op : char { none = 'N', transpose = 'T' };

/// A row-major block inside a larger matrix: entry (i, j) is data[i * stride + j].
template <class T>
struct Block {
  T* data = nullptr;
  std::int64_t stride = 0;

  Block at(std::int64_t row, std::int64_t col) const { return {data + row * stride + col, stride}; }
  operator Block<const T>() const { return {data, stride}; }
};
using Matrix = Block<double>;
using ConstMatrix = Block<const double>;

// All calls throw InvalidArgument when a dimension does not fit the 32-bit integers of this BLAS.

/// C (m, n) ← alpha·op(A) op(B) + beta·C, with op(A) (m, k) and op(B) (k, n).
void gemm(Op op_a, Op op_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, ConstMatrix a, ConstMatrix b,
          double beta, Matrix c);

/// Upper triangle of C (n, n) ← alpha·AᵀA + beta·C with A (k, n).
void syrk_upper(std::int64_t n, std::int64_t k, double alpha, ConstMatrix a, double beta, Matrix c);

/// B (m, n) ← op(U)⁻¹ B with U (m, m) upper triangular.
void solve_upper(Op op_u, std::int64_t m, std::int64_t n, ConstMatrix u, Matrix b);

/// A = UᵀU in the upper triangle of A (n, n); the lower one is not touched. False if A is not numerically positive
/// definite.
bool potrf_upper(std::int64_t n, Matrix a);

/// Estimates 1/(‖A‖₁ ‖A⁻¹‖₁) from the factor U of A = UᵀU and ‖A‖₁.
double reciprocal_condition(std::int64_t n, ConstMatrix u, double norm);

/// Least squares min ‖A X − B‖ for each column, by Householder QR of A (m, n), m ≥ n, of full rank. Takes `at`, which
/// is Aᵀ (n, m), and `bt`, which is Bᵀ (k, m), and overwrites both; the solution Xᵀ is the first n entries of each row
/// of `bt`. False if R has a zero on its diagonal.
bool least_squares_by_qr(std::int64_t m, std::int64_t n, std::int64_t k, Matrix at, Matrix bt);

}  // namespace lossatlas::cpu
