// What the emulated cuBLAS's sources share: the handle, its scalars and argument checks.
#pragma once

#include <cublas_v2.h>

#include <algorithm>
#include <cstdlib>

#include "blas.hpp"

struct cublasContext : simt::LibraryHandle {
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics_mode = CUBLAS_ATOMICS_NOT_ALLOWED;
};

namespace simt {

namespace cublas {

using Status = cublasStatus_t;
using Int = std::int64_t;

inline std::set<cublasHandle_t>& live_handles() {
  static auto* const all = new std::set<cublasHandle_t>;
  return *all;
}

template <class F>
Status with_handle(cublasHandle_t handle, F f) {
  const std::lock_guard lock(machine().mutex);
  if (!live_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (machine().sticky() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  return f(*handle);
}

inline Status status_of(bool submitted) { return submitted ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED; }

/// α or β: read at the call in host mode, when the routine runs in device mode.
template <class T>
class Scalar {
 public:
  Scalar(const cublasContext& handle, const T* pointer)
      : on_device_(handle.pointer_mode == CUBLAS_POINTER_MODE_DEVICE), pointer_(pointer) {
    if (!on_device_) value_ = *pointer;
  }
  T get() const { return on_device_ ? *pointer_ : value_; }
  /// Whether it is known to be zero before the routine runs.
  bool known_zero() const { return !on_device_ && value_ == T(0); }
  Use use() const { return on_device_ ? machine().use(pointer_, sizeof(T)) : Use{}; }

 private:
  bool on_device_;
  const T* pointer_;
  T value_{};
};

inline bool valid(cublasOperation_t op) { return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C; }
inline bool valid(cublasFillMode_t uplo) { return uplo == CUBLAS_FILL_MODE_LOWER || uplo == CUBLAS_FILL_MODE_UPPER; }
inline char letter(cublasOperation_t op) { return op == CUBLAS_OP_N ? 'N' : 'T'; }
inline char letter(cublasFillMode_t uplo) { return uplo == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U'; }

inline bool enough(Int ld, Int rows) { return ld >= std::max<Int>(1, rows); }

}  // namespace cublas
}  // namespace simt
