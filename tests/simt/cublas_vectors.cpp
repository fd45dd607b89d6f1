// The emulated cuBLAS: routines on vectors by BLAS.
#include "cublas.hpp"

namespace simt::cublas {
namespace {

/// y = α op(A) x + β y.
template <class T>
Status gemv(cublasHandle_t handle, cublasOperation_t op, Int m, Int n, const T* alpha, const T* a, Int lda, const T* x,
            Int incx, const T* beta, T* y, Int incy) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!valid(op) || m < 0 || n < 0 || !enough(lda, m) || incx == 0 || incy == 0 || !alpha || !beta) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!fits_int({m, n, lda, incx, incy})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
    const Int in = op == CUBLAS_OP_N ? n : m, out = op == CUBLAS_OP_N ? m : n;
    const Scalar<T> scale_a(h, alpha), scale_y(h, beta);
    const auto work = [=] {
      const char t = letter(op);
      const int im = static_cast<int>(m), in32 = static_cast<int>(n), la = static_cast<int>(lda);
      const int ix = static_cast<int>(incx), iy = static_cast<int>(incy);
      const T sa = scale_a.get(), sy = scale_y.get();
      for (Int i = 0; sy == T(0) && i < out; ++i) y[i * std::abs(incy)] = T(0);  // y may hold NaN
      Blas<T>::gemv(&t, &im, &in32, &sa, a, &la, x, &ix, &sy, y, &iy);
    };
    return status_of(submit(
        h, "gemv",
        {scale_a.use(), scale_y.use(), matrix_use(a, m, n, lda), vector_use(x, in, incx), vector_use(y, out, incy)},
        work));
  });
}

/// A routine with one number as its result, which is waited for if it goes to the host.
template <class T, class F>
Status reduce(cublasContext& h, const char* name, std::vector<Use> uses, T* result, F f) {
  const bool to_device = h.pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  if (to_device) uses.push_back(machine().use(result, sizeof(T)));
  if (!submit(h, name, std::move(uses), [=] { *result = f(); })) return CUBLAS_STATUS_EXECUTION_FAILED;
  return status_of(to_device || machine().drain(*machine().resolve(h.stream, h.device)) == cudaSuccess);
}

template <class T>
Status dot(cublasHandle_t handle, Int n, const T* x, Int incx, const T* y, Int incy, T* result) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!result) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_int({n, incx, incy})) return CUBLAS_STATUS_NOT_SUPPORTED;
    return reduce(h, "dot", {vector_use(x, n, incx), vector_use(y, n, incy)}, result, [=] {
      const int in = static_cast<int>(n), ix = static_cast<int>(incx), iy = static_cast<int>(incy);
      return n <= 0 ? T(0) : Blas<T>::dot(&in, x, &ix, y, &iy);
    });
  });
}

template <class T>
Status nrm2(cublasHandle_t handle, Int n, const T* x, Int incx, T* result) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!result) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_int({n, incx})) return CUBLAS_STATUS_NOT_SUPPORTED;
    return reduce(h, "nrm2", {incx > 0 ? vector_use(x, n, incx) : Use{}}, result, [=] {
      const int in = static_cast<int>(n), ix = static_cast<int>(incx);
      return n <= 0 || incx <= 0 ? T(0) : Blas<T>::nrm2(&in, x, &ix);
    });
  });
}

template <class T>
Status scal(cublasHandle_t handle, Int n, const T* alpha, T* x, Int incx) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!alpha) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_int({n, incx})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (n <= 0 || incx <= 0) return CUBLAS_STATUS_SUCCESS;
    const Scalar<T> scale(h, alpha);
    return status_of(submit(h, "scal", {scale.use(), vector_use(x, n, incx)}, [=] {
      const int in = static_cast<int>(n), ix = static_cast<int>(incx);
      const T value = scale.get();
      Blas<T>::scal(&in, &value, x, &ix);
    }));
  });
}

template <class T>
Status axpy(cublasHandle_t handle, Int n, const T* alpha, const T* x, Int incx, T* y, Int incy) {
  return with_handle(handle, [&](cublasContext& h) {
    if (!alpha) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_int({n, incx, incy})) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (n <= 0) return CUBLAS_STATUS_SUCCESS;
    const Scalar<T> scale(h, alpha);
    return status_of(submit(h, "axpy", {scale.use(), vector_use(x, n, incx), vector_use(y, n, incy)}, [=] {
      const int in = static_cast<int>(n), ix = static_cast<int>(incx), iy = static_cast<int>(incy);
      const T value = scale.get();
      Blas<T>::axpy(&in, &value, x, &ix, y, &iy);
    }));
  });
}

}  // namespace
}  // namespace simt::cublas

// Four C functions a routine: two types, two widths of int.

extern "C" {

#define SIMT_GEMV(name, T, Int)                                                                                       \
  cublasStatus_t name(cublasHandle_t handle, cublasOperation_t op, Int m, Int n, const T* alpha, const T* a, Int lda, \
                      const T* x, Int incx, const T* beta, T* y, Int incy) {                                          \
    return simt::cublas::gemv<T>(handle, op, m, n, alpha, a, lda, x, incx, beta, y, incy);                            \
  }
SIMT_GEMV(cublasDgemv, double, int)
SIMT_GEMV(cublasDgemv_64, double, int64_t)
SIMT_GEMV(cublasSgemv, float, int)
SIMT_GEMV(cublasSgemv_64, float, int64_t)

#define SIMT_DOT(name, T, Int)                                                                               \
  cublasStatus_t name(cublasHandle_t handle, Int n, const T* x, Int incx, const T* y, Int incy, T* result) { \
    return simt::cublas::dot<T>(handle, n, x, incx, y, incy, result);                                        \
  }
SIMT_DOT(cublasDdot, double, int)
SIMT_DOT(cublasDdot_64, double, int64_t)
SIMT_DOT(cublasSdot, float, int)
SIMT_DOT(cublasSdot_64, float, int64_t)

#define SIMT_NRM2(name, T, Int)                                                        \
  cublasStatus_t name(cublasHandle_t handle, Int n, const T* x, Int incx, T* result) { \
    return simt::cublas::nrm2<T>(handle, n, x, incx, result);                          \
  }
SIMT_NRM2(cublasDnrm2, double, int)
SIMT_NRM2(cublasDnrm2_64, double, int64_t)
SIMT_NRM2(cublasSnrm2, float, int)
SIMT_NRM2(cublasSnrm2_64, float, int64_t)

#define SIMT_SCAL(name, T, Int)                                                       \
  cublasStatus_t name(cublasHandle_t handle, Int n, const T* alpha, T* x, Int incx) { \
    return simt::cublas::scal<T>(handle, n, alpha, x, incx);                          \
  }
SIMT_SCAL(cublasDscal, double, int)
SIMT_SCAL(cublasDscal_64, double, int64_t)
SIMT_SCAL(cublasSscal, float, int)
SIMT_SCAL(cublasSscal_64, float, int64_t)

#define SIMT_AXPY(name, T, Int)                                                                             \
  cublasStatus_t name(cublasHandle_t handle, Int n, const T* alpha, const T* x, Int incx, T* y, Int incy) { \
    return simt::cublas::axpy<T>(handle, n, alpha, x, incx, y, incy);                                       \
  }
SIMT_AXPY(cublasDaxpy, double, int)
SIMT_AXPY(cublasDaxpy_64, double, int64_t)
SIMT_AXPY(cublasSaxpy, float, int)
SIMT_AXPY(cublasSaxpy_64, float, int64_t)

}  // extern "C"
