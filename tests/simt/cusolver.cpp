// cuSOLVER by LAPACK, in double: column-major, the library's argument checks, run on the handle's stream.
#include <cusolverDn.h>

#include <algorithm>
#include <cstring>

#include "blas.hpp"

struct cusolverDnContext : simt::LibraryHandle {
  cusolverDeterministicMode_t deterministic = CUSOLVER_DETERMINISTIC_RESULTS;
};
struct cusolverDnParams {};

namespace simt {
namespace {

using Status = cusolverStatus_t;
using Int = std::int64_t;

std::set<cusolverDnHandle_t>& live_handles() {
  static auto* const all = new std::set<cusolverDnHandle_t>;
  return *all;
}

template <class F>
Status with_handle(cusolverDnHandle_t handle, F f) {
  const std::lock_guard lock(machine().mutex);
  if (!live_handles().contains(handle)) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (machine().sticky() != cudaSuccess) return CUSOLVER_STATUS_EXECUTION_FAILED;
  return f(*handle);
}

Status status_of(bool submitted) { return submitted ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED; }

bool valid(cublasFillMode_t uplo) { return uplo == CUBLAS_FILL_MODE_LOWER || uplo == CUBLAS_FILL_MODE_UPPER; }
bool valid(cusolverEigMode_t mode) { return mode == CUSOLVER_EIG_MODE_NOVECTOR || mode == CUSOLVER_EIG_MODE_VECTOR; }
char letter(cublasFillMode_t uplo) { return uplo == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U'; }
bool enough(Int ld, Int rows) { return ld >= std::max<Int>(1, rows); }

bool all_double(std::initializer_list<cudaDataType> types) {
  return std::all_of(types.begin(), types.end(), [](cudaDataType type) { return type == CUDA_R_64F; });
}

/// The workspaces of one call. Their sizes are this emulator's own; both must be there and live until the call has run.
struct Workspace {
  void* device;
  std::size_t device_bytes;
  void* host;
  std::size_t host_bytes;

  static std::size_t device_need(Int n) { return static_cast<std::size_t>(std::max<Int>(1, n)) * 64; }
  static std::size_t host_need(Int n) { return static_cast<std::size_t>(std::max<Int>(1, n)) * 8; }
  bool enough_for(Int n) const {
    return device_bytes >= device_need(n) && host_bytes >= host_need(n) && device != nullptr && host != nullptr;
  }
  Use use() const { return machine().use(device, device_bytes); }
  void scribble() const {
    std::memset(device, 0xff, device_bytes);
    std::memset(host, 0xff, host_bytes);
  }
};

Status tell_need(std::size_t* device_bytes, std::size_t* host_bytes, Int n, bool valid_arguments) {
  if (!valid_arguments || !device_bytes || !host_bytes) return CUSOLVER_STATUS_INVALID_VALUE;
  *device_bytes = Workspace::device_need(n);
  *host_bytes = Workspace::host_need(n);
  return CUSOLVER_STATUS_SUCCESS;
}

int lapack_syevd(char jobz, char uplo, int n, double* a, int lda, double* w) {
  int info = 0, iwork_size = 0;
  double work_size = 0;
  const int query = -1;
  dsyevd_(&jobz, &uplo, &n, a, &lda, w, &work_size, &query, &iwork_size, &query, &info);
  std::vector<double> work(static_cast<std::size_t>(work_size));
  std::vector<int> iwork(static_cast<std::size_t>(iwork_size));
  const int lwork = static_cast<int>(work.size()), liwork = static_cast<int>(iwork.size());
  dsyevd_(&jobz, &uplo, &n, a, &lda, w, work.data(), &lwork, iwork.data(), &liwork, &info);
  return info;
}

bool valid_syevd(cusolverEigMode_t jobz, cublasFillMode_t uplo, Int n, Int lda, cudaDataType a, cudaDataType w,
                 cudaDataType compute) {
  return valid(jobz) && valid(uplo) && n >= 0 && enough(lda, n) && all_double({a, w, compute}) && fits_int({n, lda});
}

/// The library's limit on all entries, and one on the members that is below where calls were seen to be refused.
bool valid_batch(Int n, Int lda, Int batch) {
  constexpr Int kMostMembers = 32767;
  return 0 < batch && batch <= kMostMembers && n * lda <= INT_MAX / batch;
}

/// Eigenvalues, and eigenvectors in A's place, of `batch` matrices that lie lda · n apart.
Status syevd(cusolverDnHandle_t handle, cusolverEigMode_t jobz, cublasFillMode_t uplo, Int n, double* a, Int lda,
             double* w, const Workspace& workspace, int* info, Int batch, bool valid_arguments) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    if (!valid_arguments || !workspace.enough_for(n * batch)) return CUSOLVER_STATUS_INVALID_VALUE;
    const auto work = [=] {
      workspace.scribble();
      for (Int i = 0; i < batch; ++i) {
        info[i] = lapack_syevd(jobz == CUSOLVER_EIG_MODE_VECTOR ? 'V' : 'N', letter(uplo), static_cast<int>(n),
                               a + i * lda * n, static_cast<int>(lda), w + i * n);
        if (machine().next_eigensolve_fails()) info[i] = static_cast<int>(n);
      }
    };
    return status_of(submit(
        h, "syevd",
        {matrix_use(a, n, n * batch, lda), vector_use(w, n * batch, 1), vector_use(info, batch, 1), workspace.use()},
        work));
  });
}

}  // namespace
}  // namespace simt

using simt::all_double;
using simt::enough;
using simt::fits_int;
using simt::matrix_use;
using simt::status_of;
using simt::submit;
using simt::valid;
using simt::vector_use;
using simt::with_handle;
using simt::Workspace;

extern "C" {

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  const std::lock_guard lock(simt::machine().mutex);
  if (handle == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  if (simt::machine().sticky() != cudaSuccess) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (!simt::machine().may_allocate()) return CUSOLVER_STATUS_ALLOC_FAILED;
  simt::live_handles().insert(*handle = new cusolverDnContext);
  ++simt::machine().handles;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  const std::lock_guard lock(simt::machine().mutex);
  if (simt::live_handles().erase(handle) == 0) return CUSOLVER_STATUS_NOT_INITIALIZED;
  delete handle;
  --simt::machine().handles;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    if (simt::machine().resolve(stream, h.device) == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
    h.stream = stream;
    return CUSOLVER_STATUS_SUCCESS;
  });
}
cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t* stream) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    *stream = h.stream;
    return CUSOLVER_STATUS_SUCCESS;
  });
}
cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle, cusolverDeterministicMode_t mode) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    h.deterministic = mode;
    return CUSOLVER_STATUS_SUCCESS;
  });
}
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  const std::lock_guard lock(simt::machine().mutex);
  if (!simt::machine().may_allocate()) return CUSOLVER_STATUS_ALLOC_FAILED;
  *params = new cusolverDnParams;
  ++simt::machine().handles;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
  const std::lock_guard lock(simt::machine().mutex);
  delete params;
  --simt::machine().handles;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetAdvOptions(cusolverDnParams_t params, cusolverDnFunction_t function,
                                         cusolverAlgMode_t algorithm) {
  const bool good = params != nullptr && CUSOLVERDN_GETRF <= function && function <= CUSOLVERDN_SYEVBATCHED &&
                    CUSOLVER_ALG_0 <= algorithm && algorithm <= CUSOLVER_ALG_2;
  return good ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_INVALID_VALUE;
}

// A = L Lᵀ or Uᵀ U

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t, cublasFillMode_t uplo,
                                             int64_t n, cudaDataType type_a, const void*, int64_t lda,
                                             cudaDataType compute, size_t* device_bytes, size_t* host_bytes) {
  return with_handle(handle, [&](cusolverDnContext&) {
    const bool good = valid(uplo) && n >= 0 && enough(lda, n) && all_double({type_a, compute});
    return simt::tell_need(device_bytes, host_bytes, n, good);
  });
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t, cublasFillMode_t uplo, int64_t n,
                                  cudaDataType type_a, void* a, int64_t lda, cudaDataType compute, void* device,
                                  size_t device_bytes, void* host, size_t host_bytes, int* info) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    const Workspace workspace{device, device_bytes, host, host_bytes};
    if (!valid(uplo) || n < 0 || !enough(lda, n) || !all_double({type_a, compute}) || !fits_int({n, lda}) ||
        !workspace.enough_for(n) || !info) {
      return CUSOLVER_STATUS_INVALID_VALUE;
    }
    auto* const matrix = static_cast<double*>(a);
    const auto work = [=] {
      workspace.scribble();
      const char u = simt::letter(uplo);
      const int order = static_cast<int>(n), ld = static_cast<int>(lda);
      simt::dpotrf_(&u, &order, matrix, &ld, info);
    };
    return status_of(
        submit(h, "potrf", {matrix_use(matrix, n, n, lda), vector_use(info, 1, 1), workspace.use()}, work));
  });
}

/// A X = B from potrf's factor, X in B's place.
cusolverStatus_t cusolverDnXpotrs(cusolverDnHandle_t handle, cusolverDnParams_t, cublasFillMode_t uplo, int64_t n,
                                  int64_t columns, cudaDataType type_a, const void* a, int64_t lda, cudaDataType type_b,
                                  void* b, int64_t ldb, int* info) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    if (!valid(uplo) || n < 0 || columns < 0 || !enough(lda, n) || !enough(ldb, n) || !all_double({type_a, type_b}) ||
        !fits_int({n, columns, lda, ldb}) || !info) {
      return CUSOLVER_STATUS_INVALID_VALUE;
    }
    const auto* const factor = static_cast<const double*>(a);
    auto* const right = static_cast<double*>(b);
    const auto work = [=] {
      const char u = simt::letter(uplo);
      const int order = static_cast<int>(n), count = static_cast<int>(columns), la = static_cast<int>(lda);
      const int lb = static_cast<int>(ldb);
      simt::dpotrs_(&u, &order, &count, factor, &la, right, &lb, info);
    };
    return status_of(submit(
        h, "potrs", {matrix_use(factor, n, n, lda), matrix_use(right, n, columns, ldb), vector_use(info, 1, 1)}, work));
  });
}

// A = Q R

cusolverStatus_t cusolverDnXgeqrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t, int64_t m, int64_t n,
                                             cudaDataType type_a, const void*, int64_t lda, cudaDataType type_tau,
                                             const void*, cudaDataType compute, size_t* device_bytes,
                                             size_t* host_bytes) {
  return with_handle(handle, [&](cusolverDnContext&) {
    const bool good = m >= 0 && n >= 0 && enough(lda, m) && all_double({type_a, type_tau, compute});
    return simt::tell_need(device_bytes, host_bytes, n, good);
  });
}

cusolverStatus_t cusolverDnXgeqrf(cusolverDnHandle_t handle, cusolverDnParams_t, int64_t m, int64_t n,
                                  cudaDataType type_a, void* a, int64_t lda, cudaDataType type_tau, void* tau,
                                  cudaDataType compute, void* device, size_t device_bytes, void* host,
                                  size_t host_bytes, int* info) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    const Workspace workspace{device, device_bytes, host, host_bytes};
    if (m < 0 || n < 0 || !enough(lda, m) || !all_double({type_a, type_tau, compute}) || !fits_int({m, n, lda}) ||
        !workspace.enough_for(n) || !info) {
      return CUSOLVER_STATUS_INVALID_VALUE;
    }
    auto* const matrix = static_cast<double*>(a);
    auto* const scales = static_cast<double*>(tau);
    const auto work = [=] {
      workspace.scribble();
      const int rows = static_cast<int>(m), columns = static_cast<int>(n), ld = static_cast<int>(lda);
      const int size = 64 * std::max(1, columns);
      std::vector<double> scratch(static_cast<std::size_t>(size));
      simt::dgeqrf_(&rows, &columns, matrix, &ld, scales, scratch.data(), &size, info);
    };
    return status_of(submit(
        h, "geqrf",
        {matrix_use(matrix, m, n, lda), vector_use(scales, std::min(m, n), 1), vector_use(info, 1, 1), workspace.use()},
        work));
  });
}

cusolverStatus_t cusolverDnDormqr_bufferSize(cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t op,
                                             int m, int n, int k, const double*, int lda, const double*, const double*,
                                             int ldc, int* size) {
  return with_handle(handle, [&](cusolverDnContext&) {
    const int order = side == CUBLAS_SIDE_LEFT ? m : n;
    if (m < 0 || n < 0 || k < 0 || k > order || !enough(lda, order) || !enough(ldc, m) || op == CUBLAS_OP_C || !size) {
      return CUSOLVER_STATUS_INVALID_VALUE;
    }
    *size = 64 * std::max(1, std::max(m, n));
    return CUSOLVER_STATUS_SUCCESS;
  });
}

/// C = op(Q) C or C op(Q).
cusolverStatus_t cusolverDnDormqr(cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t op, int m, int n,
                                  int k, const double* a, int lda, const double* tau, double* c, int ldc,
                                  double* scratch, int size, int* info) {
  return with_handle(handle, [&](cusolverDnContext& h) {
    const int order = side == CUBLAS_SIDE_LEFT ? m : n;
    if (m < 0 || n < 0 || k < 0 || k > order || !enough(lda, order) || !enough(ldc, m) || op == CUBLAS_OP_C ||
        size < 64 * std::max(1, std::max(m, n)) || !scratch || !info) {
      return CUSOLVER_STATUS_INVALID_VALUE;
    }
    const auto work = [=] {
      const char s = side == CUBLAS_SIDE_LEFT ? 'L' : 'R', t = op == CUBLAS_OP_N ? 'N' : 'T';
      simt::dormqr_(&s, &t, &m, &n, &k, a, &lda, tau, c, &ldc, scratch, &size, info);
    };
    return status_of(submit(h, "ormqr",
                            {matrix_use(a, order, k, lda), vector_use(tau, k, 1), matrix_use(c, m, n, ldc),
                             vector_use(scratch, size, 1), vector_use(info, 1, 1)},
                            work));
  });
}

// A = V diag(w) Vᵀ

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t jobz,
                                             cublasFillMode_t uplo, int64_t n, cudaDataType type_a, const void*,
                                             int64_t lda, cudaDataType type_w, const void*, cudaDataType compute,
                                             size_t* device_bytes, size_t* host_bytes) {
  return with_handle(handle, [&](cusolverDnContext&) {
    const bool good = simt::valid_syevd(jobz, uplo, n, lda, type_a, type_w, compute);
    return simt::tell_need(device_bytes, host_bytes, n, good);
  });
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t jobz,
                                  cublasFillMode_t uplo, int64_t n, cudaDataType type_a, void* a, int64_t lda,
                                  cudaDataType type_w, void* w, cudaDataType compute, void* device, size_t device_bytes,
                                  void* host, size_t host_bytes, int* info) {
  return simt::syevd(handle, jobz, uplo, n, static_cast<double*>(a), lda, static_cast<double*>(w),
                     {device, device_bytes, host, host_bytes}, info, 1,
                     simt::valid_syevd(jobz, uplo, n, lda, type_a, type_w, compute) && info);
}

cusolverStatus_t cusolverDnXsyevBatched_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t,
                                                   cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                                   cudaDataType type_a, const void*, int64_t lda, cudaDataType type_w,
                                                   const void*, cudaDataType compute, size_t* device_bytes,
                                                   size_t* host_bytes, int64_t batch) {
  return with_handle(handle, [&](cusolverDnContext&) {
    const bool good =
        simt::valid_syevd(jobz, uplo, n, lda, type_a, type_w, compute) && simt::valid_batch(n, lda, batch);
    return simt::tell_need(device_bytes, host_bytes, n * batch, good);
  });
}

cusolverStatus_t cusolverDnXsyevBatched(cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t jobz,
                                        cublasFillMode_t uplo, int64_t n, cudaDataType type_a, void* a, int64_t lda,
                                        cudaDataType type_w, void* w, cudaDataType compute, void* device,
                                        size_t device_bytes, void* host, size_t host_bytes, int* info, int64_t batch) {
  return simt::syevd(
      handle, jobz, uplo, n, static_cast<double*>(a), lda, static_cast<double*>(w),
      {device, device_bytes, host, host_bytes}, info, batch,
      simt::valid_syevd(jobz, uplo, n, lda, type_a, type_w, compute) && simt::valid_batch(n, lda, batch) && info);
}

}  // extern "C"
