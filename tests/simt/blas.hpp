// BLAS and LAPACK (Fortran), whether a library call runs, and the operands that it declares.
#pragma once

#include <climits>
#include <cstdint>
#include <set>
#include <vector>

#include "machine.hpp"

namespace simt {

template <class T>
using Gemm = void(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                  const T*, const int*, const T*, T*, const int*);
template <class T>
using Gemv = void(const char*, const int*, const int*, const T*, const T*, const int*, const T*, const int*, const T*,
                  T*, const int*);
template <class T>
using Syrk = void(const char*, const char*, const int*, const int*, const T*, const T*, const int*, const T*, T*,
                  const int*);
template <class T>
using Trsm = void(const char*, const char*, const char*, const char*, const int*, const int*, const T*, const T*,
                  const int*, T*, const int*);
template <class T>
using Dot = T(const int*, const T*, const int*, const T*, const int*);
template <class T>
using Nrm2 = T(const int*, const T*, const int*);
template <class T>
using Scal = void(const int*, const T*, T*, const int*);
template <class T>
using Axpy = void(const int*, const T*, const T*, const int*, T*, const int*);

extern "C" {
Gemm<double> dgemm_;
Gemm<float> sgemm_;
Gemv<double> dgemv_;
Gemv<float> sgemv_;
Syrk<double> dsyrk_;
Syrk<float> ssyrk_;
Trsm<double> dtrsm_;
Trsm<float> strsm_;
Dot<double> ddot_;
Dot<float> sdot_;
Nrm2<double> dnrm2_;
Nrm2<float> snrm2_;
Scal<double> dscal_;
Scal<float> sscal_;
Axpy<double> daxpy_;
Axpy<float> saxpy_;
void dpotrf_(const char*, const int*, double*, const int*, int*);
void dpotrs_(const char*, const int*, const int*, const double*, const int*, double*, const int*, int*);
void dgeqrf_(const int*, const int*, double*, const int*, double*, double*, const int*, int*);
void dormqr_(const char*, const char*, const int*, const int*, const int*, const double*, const int*, const double*,
             double*, const int*, double*, const int*, int*);
void dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*, const int*, int*, const int*,
             int*);
void openblas_set_num_threads(int);
int openblas_get_num_threads();
}

template <class T>
struct Blas;
template <>
struct Blas<double> {
  static constexpr auto gemm = dgemm_;
  static constexpr auto gemv = dgemv_;
  static constexpr auto syrk = dsyrk_;
  static constexpr auto trsm = dtrsm_;
  static constexpr auto dot = ddot_;
  static constexpr auto nrm2 = dnrm2_;
  static constexpr auto scal = dscal_;
  static constexpr auto axpy = daxpy_;
};
template <>
struct Blas<float> {
  static constexpr auto gemm = sgemm_;
  static constexpr auto gemv = sgemv_;
  static constexpr auto syrk = ssyrk_;
  static constexpr auto trsm = strsm_;
  static constexpr auto dot = sdot_;
  static constexpr auto nrm2 = snrm2_;
  static constexpr auto scal = sscal_;
  static constexpr auto axpy = saxpy_;
};

/// Keeps OpenBLAS on one thread while it lives, so that the bits are always the same.
class OneThread {
 public:
  OneThread() : before_(openblas_get_num_threads()) { openblas_set_num_threads(1); }
  ~OneThread() { openblas_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

/// What a handle of either library holds.
struct LibraryHandle {
  int device = current_device();
  cudaStream_t stream = nullptr;
};

/// A column-major matrix (rows, columns) that a library call touches.
template <class T>
Use matrix_use(const T* pointer, std::int64_t rows, std::int64_t columns, std::int64_t ld) {
  if (rows <= 0 || columns <= 0) return {};
  return machine().use(pointer, static_cast<std::size_t>((columns - 1) * ld + rows) * sizeof(T));
}
template <class T>
Use vector_use(const T* pointer, std::int64_t count, std::int64_t increment) {
  return matrix_use(pointer, 1, count, increment < 0 ? -increment : increment);
}

inline bool fits_int(std::initializer_list<std::int64_t> values) {
  for (const std::int64_t value : values) {
    if (value > INT_MAX || value < INT_MIN) return false;
  }
  return true;
}

/// Queues a library routine on the handle's stream; returns false if the launch failed.
inline bool submit(const LibraryHandle& handle, const char* name, std::vector<Use> uses, std::function<void()> work) {
  Machine& m = machine();
  CUstream_st* const queue = m.resolve(handle.stream, handle.device);
  if (queue == nullptr || handle.device != current_device()) return false;
  const Machine::LaunchFate fate = m.next_launch();
  if (fate == Machine::LaunchFate::refused) return false;
  m.push(*queue, [&m, name, fate, uses = std::move(uses), work = std::move(work)] {
    for (const Use& use : uses) m.verify(use, name, Site{});
    throw_if_planted(fate);
    const OneThread one_thread;
    work();
    m.check_guards(Site{});
  });
  return true;
}

}  // namespace simt
