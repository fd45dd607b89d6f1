// The emulated cuBLAS: handles and their settings.
#include "cublas.hpp"

namespace simt::cublas {
namespace {

/// A setting of the handle.
template <class T>
Status set(cublasHandle_t handle, T cublasContext::*member, T value) {
  return with_handle(handle, [&](cublasContext& h) {
    h.*member = value;
    return CUBLAS_STATUS_SUCCESS;
  });
}

}  // namespace
}  // namespace simt::cublas

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  const std::lock_guard lock(simt::machine().mutex);
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (simt::machine().sticky() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!simt::machine().may_allocate()) return CUBLAS_STATUS_ALLOC_FAILED;
  simt::cublas::live_handles().insert(*handle = new cublasContext);
  ++simt::machine().handles;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  const std::lock_guard lock(simt::machine().mutex);
  if (simt::cublas::live_handles().erase(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  --simt::machine().handles;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return simt::cublas::with_handle(handle, [&](cublasContext& h) {
    if (simt::machine().resolve(stream, h.device) == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    h.stream = stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  return simt::cublas::with_handle(handle, [&](cublasContext& h) {
    *stream = h.stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  return simt::cublas::set(handle, &cublasContext::pointer_mode, mode);
}
cublasStatus_t cublasGetPointerMode(cublasHandle_t handle, cublasPointerMode_t* mode) {
  return simt::cublas::with_handle(handle, [&](cublasContext& h) {
    *mode = h.pointer_mode;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return simt::cublas::set(handle, &cublasContext::math_mode, mode);
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return simt::cublas::with_handle(handle, [&](cublasContext& h) {
    *mode = h.math_mode;
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  return simt::cublas::set(handle, &cublasContext::atomics_mode, mode);
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, size_t bytes) {
  return simt::cublas::with_handle(handle, [&](cublasContext&) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0;
    return aligned && (workspace != nullptr || bytes == 0) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
  });
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}
const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }

}  // extern "C"
