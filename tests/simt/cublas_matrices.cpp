// The emulated cuBLAS: products, solves and sums of matrices by BLAS, column-major.
#include <bit>
#include <cmath>

#include "cublas.hpp"

namespace simt::cublas {
namespace {

/// The matrix (rows, columns) rounded to TF32, as tensor cores read it.
std::vector<float> rounded_to_tf32(const float* a, Int rows, Int columns, Int ld) {
  std::vector<float> rounded(static_cast<std::size_t>(ld * columns));
  for (Int c = 0; c < columns; ++c) {
    for (Int r = 0; r < rows; ++r) {
      const float x = a[c * ld + r];
      const auto bits = std::bit_cast<std::uint32_t>(x);
      rounded[static_cast<std::size_t>(c * ld + r)] =
          std::isfinite(x) ? std::bit_cast<float>((bits + 0x1000u) & ~0x1fffu) : x;
    }
  }
  return rounded;
}

/// C = α op(A) op(B) + β C for each matrix of a batch.
template <class T>
struct GemmCall {
  cublasOperation_t op_a, op_b;
  Int m, n, k;
  const T* a;
  Int lda, stride_a;
  const T* b;
  Int ldb, stride_b;
  T* c;
  Int ldc, stride_c;
  Int batch;
  bool tf32;

  Int rows_a() const { return op_a == CUBLAS_OP_N ? m : k; }
  Int columns_a() const { return op_a == CUBLAS_OP_N ? k : m; }
  Int rows_b() const { return op_b == CUBLAS_OP_N ? k : n; }
  Int columns_b() const { return op_b == CUBLAS_OP_N ? n : k; }
  bool valid_arguments() const {
    return valid(op_a) && valid(op_b) && m >= 0 && n >= 0 && k >= 0 && batch >= 0 && enough(lda, rows_a()) &&
           enough(ldb, rows_b()) && enough(ldc, m) &&
           (batch < 2 || stride_c >= ldc * (n - 1) + m || m == 0 || n == 0);  // the outputs must not overlap
  }

  void run(T alpha, T beta) const {
    for (Int i = 0; i < batch; ++i) {
      const T* a_i = a + i * stride_a;
      const T* b_i = b + i * stride_b;
      if constexpr (std::is_same_v<T, float>) {
        if (tf32) {
          const auto ra = rounded_to_tf32(a_i, rows_a(), columns_a(), lda);
          const auto rb = rounded_to_tf32(b_i, rows_b(), columns_b(), ldb);
          multiply(alpha, ra.data(), rb.data(), beta, c + i * stride_c);
          continue;
        }
      }
      multiply(alpha, a_i, b_i, beta, c + i * stride_c);
    }
  }

 private:
  void multiply(T alpha, const T* a_i, const T* b_i, T beta, T* c_i) const {
    const char ta = letter(op_a), tb = letter(op_b);
    const int im = static_cast<int>(m), in = static_cast<int>(n), ik = static_cast<int>(k);
    const int la = static_cast<int>(lda), lb = static_cast<int>(ldb), lc = static_cast<int>(ldc);
    Blas<T>::gemm(&ta, &tb, &im, &in, &ik, &alpha, a_i, &la, b_i, &lb, &beta, c_i, &lc);
  }
};

template <class T>
Status gemm(cublasHandle_t handle, GemmCall<T> call, const T* alpha, const T* beta) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!call.valid_arguments() || !alpha || !beta) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_int({call.m, call.n, call.k, call.lda, call.ldb, call.ldc})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (call.m == 0 || call.n == 0 || call.batch == 0) return CUBLAS_STATUS_SUCCESS;
    call.tf32 = h.math_mode & CUBLAS_TF32_TENSOR_OP_MATH;
    const Scalar<T> scale_a(h, alpha), scale_c(h, beta);
    std::vector<Use> uses{scale_a.use(), scale_c.use()};
    for (const Int i : {Int{0}, call.batch - 1}) {
      uses.push_back(matrix_use(call.c + i * call.stride_c, call.m, call.n, call.ldc));
      if (call.k == 0 || scale_a.known_zero()) continue;  // A and B are not read
      uses.push_back(matrix_use(call.a + i * call.stride_a, call.rows_a(), call.columns_a(), call.lda));
      uses.push_back(matrix_use(call.b + i * call.stride_b, call.rows_b(), call.columns_b(), call.ldb));
    }
    return status_of(submit(h, "gemm", uses, [=] { call.run(scale_a.get(), scale_c.get()); }));
  });
}

/// C = α op(A) op(A)ᵀ + β C, one triangle.
template <class T>
Status syrk(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t op, Int n, Int k, const T* alpha,
            const T* a, Int lda, const T* beta, T* c, Int ldc) {
  return with_handle(handle, [&](cublasContext& h) {
    const Int rows = op == CUBLAS_OP_N ? n : k, columns = op == CUBLAS_OP_N ? k : n;
    if (!valid(uplo) || !valid(op) || n < 0 || k < 0 || !enough(lda, rows) || !enough(ldc, n) || !alpha || !beta) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!fits_int({n, k, lda, ldc})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (n == 0) return CUBLAS_STATUS_SUCCESS;
    const Scalar<T> scale_a(h, alpha), scale_c(h, beta);
    const auto work = [=] {
      const char u = letter(uplo), t = letter(op);
      const int in = static_cast<int>(n), ik = static_cast<int>(k), la = static_cast<int>(lda);
      const int lc = static_cast<int>(ldc);
      const T sa = scale_a.get(), sc = scale_c.get();
      Blas<T>::syrk(&u, &t, &in, &ik, &sa, a, &la, &sc, c, &lc);
    };
    const Use read = scale_a.known_zero() ? Use{} : matrix_use(a, rows, columns, lda);
    return status_of(submit(h, "syrk", {scale_a.use(), scale_c.use(), read, matrix_use(c, n, n, ldc)}, work));
  });
}

/// op(A) X = α B or X op(A) = α B, X in B's place.
template <class T>
Status trsm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, cublasOperation_t op,
            cublasDiagType_t diag, Int m, Int n, const T* alpha, const T* a, Int lda, T* b, Int ldb) {
  return with_handle(handle, [&](cublasContext& h) {
    const Int order = side == CUBLAS_SIDE_LEFT ? m : n;
    if ((side != CUBLAS_SIDE_LEFT && side != CUBLAS_SIDE_RIGHT) || !valid(uplo) || !valid(op) ||
        (diag != CUBLAS_DIAG_UNIT && diag != CUBLAS_DIAG_NON_UNIT) || m < 0 || n < 0 || !enough(lda, order) ||
        !enough(ldb, m) || !alpha) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!fits_int({m, n, lda, ldb})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
    const Scalar<T> scale(h, alpha);
    const auto work = [=] {
      const char s = side == CUBLAS_SIDE_LEFT ? 'L' : 'R', u = letter(uplo), t = letter(op);
      const char d = diag == CUBLAS_DIAG_UNIT ? 'U' : 'N';
      const int im = static_cast<int>(m), in = static_cast<int>(n), la = static_cast<int>(lda);
      const int lb = static_cast<int>(ldb);
      const T value = scale.get();
      Blas<T>::trsm(&s, &u, &t, &d, &im, &in, &value, a, &la, b, &lb);
    };
    return status_of(
        submit(h, "trsm", {scale.use(), matrix_use(a, order, order, lda), matrix_use(b, m, n, ldb)}, work));
  });
}

/// C = α op(A) + β op(B).
template <class T>
Status geam(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, Int m, Int n, const T* alpha,
            const T* a, Int lda, const T* beta, const T* b, Int ldb, T* c, Int ldc) {
  return with_handle(handle, [&](cublasContext& h) {
    const bool na = op_a == CUBLAS_OP_N, nb = op_b == CUBLAS_OP_N;
    if (!valid(op_a) || !valid(op_b) || m < 0 || n < 0 || !enough(lda, na ? m : n) || !enough(ldb, nb ? m : n) ||
        !enough(ldc, m) || !alpha || !beta || (c == a && (!na || lda != ldc)) || (c == b && (!nb || ldb != ldc))) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
    const Scalar<T> scale_a(h, alpha), scale_b(h, beta);
    const auto work = [=] {
      const T sa = scale_a.get(), sb = scale_b.get();
      for (Int j = 0; j < n; ++j) {
        for (Int i = 0; i < m; ++i) {
          const T from_a = sa == T(0) ? T(0) : sa * a[na ? i + j * lda : j + i * lda];
          const T from_b = sb == T(0) ? T(0) : sb * b[nb ? i + j * ldb : j + i * ldb];
          c[i + j * ldc] = from_a + from_b;
        }
      }
    };
    const Use use_a = scale_a.known_zero() ? Use{} : matrix_use(a, na ? m : n, na ? n : m, lda);
    const Use use_b = scale_b.known_zero() ? Use{} : matrix_use(b, nb ? m : n, nb ? n : m, ldb);
    return status_of(submit(h, "geam", {scale_a.use(), scale_b.use(), use_a, use_b, matrix_use(c, m, n, ldc)}, work));
  });
}

}  // namespace
}  // namespace simt::cublas

// Four C functions a routine: two types, two widths of int.

extern "C" {

#define SIMT_GEMM(name, T, Int)                                                                                   \
  cublasStatus_t name(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, Int m, Int n, Int k, \
                      const T* alpha, const T* a, Int lda, const T* b, Int ldb, const T* beta, T* c, Int ldc) {   \
    return simt::cublas::gemm<T>(handle, {op_a, op_b, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, 1, false}, alpha, \
                                 beta);                                                                           \
  }
SIMT_GEMM(cublasDgemm, double, int)
SIMT_GEMM(cublasDgemm_64, double, int64_t)
SIMT_GEMM(cublasSgemm, float, int)
SIMT_GEMM(cublasSgemm_64, float, int64_t)

#define SIMT_GEMM_BATCH(name, T, Int)                                                                             \
  cublasStatus_t name(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, Int m, Int n, Int k, \
                      const T* alpha, const T* a, Int lda, long long sa, const T* b, Int ldb, long long sb,       \
                      const T* beta, T* c, Int ldc, long long sc, Int batch) {                                    \
    return simt::cublas::gemm<T>(handle, {op_a, op_b, m, n, k, a, lda, sa, b, ldb, sb, c, ldc, sc, batch, false}, \
                                 alpha, beta);                                                                    \
  }
SIMT_GEMM_BATCH(cublasDgemmStridedBatched, double, int)
SIMT_GEMM_BATCH(cublasDgemmStridedBatched_64, double, int64_t)
SIMT_GEMM_BATCH(cublasSgemmStridedBatched, float, int)
SIMT_GEMM_BATCH(cublasSgemmStridedBatched_64, float, int64_t)

#define SIMT_SYRK(name, T, Int)                                                                         \
  cublasStatus_t name(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t op, Int n, Int k, \
                      const T* alpha, const T* a, Int lda, const T* beta, T* c, Int ldc) {              \
    return simt::cublas::syrk<T>(handle, uplo, op, n, k, alpha, a, lda, beta, c, ldc);                  \
  }
SIMT_SYRK(cublasDsyrk, double, int)
SIMT_SYRK(cublasDsyrk_64, double, int64_t)
SIMT_SYRK(cublasSsyrk, float, int)
SIMT_SYRK(cublasSsyrk_64, float, int64_t)

#define SIMT_TRSM(name, T, Int)                                                                                  \
  cublasStatus_t name(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, cublasOperation_t op, \
                      cublasDiagType_t diag, Int m, Int n, const T* alpha, const T* a, Int lda, T* b, Int ldb) { \
    return simt::cublas::trsm<T>(handle, side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);                     \
  }
SIMT_TRSM(cublasDtrsm, double, int)
SIMT_TRSM(cublasDtrsm_64, double, int64_t)
SIMT_TRSM(cublasStrsm, float, int)
SIMT_TRSM(cublasStrsm_64, float, int64_t)

#define SIMT_GEAM(name, T, Int)                                                                                 \
  cublasStatus_t name(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, Int m, Int n,      \
                      const T* alpha, const T* a, Int lda, const T* beta, const T* b, Int ldb, T* c, Int ldc) { \
    return simt::cublas::geam<T>(handle, op_a, op_b, m, n, alpha, a, lda, beta, b, ldb, c, ldc);                \
  }
SIMT_GEAM(cublasDgeam, double, int)
SIMT_GEAM(cublasDgeam_64, double, int64_t)
SIMT_GEAM(cublasSgeam, float, int)
SIMT_GEAM(cublasSgeam_64, float, int64_t)

}  // extern "C"
