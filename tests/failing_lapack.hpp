// LAPACK's eigensolver as tests spoil it. The program's dsyevd_ comes before the library's, also for the emulated
// device.
#pragma once

#include <atomic>
#include <cstddef>
#include <limits>

#include <dlfcn.h>

namespace lossatlas::testing {

/// The next call that solves (1), or the one after that (2), ..., goes wrong; 0: none.
inline std::atomic<int> solve_fails{0};
/// The same, for a solution whose first vector is NaN without a word.
inline std::atomic<int> solve_forgets{0};

}  // namespace lossatlas::testing

extern "C" [[gnu::visibility("default")]] void dsyevd_(const char* job, const char* uplo, const int* n, double* a,
                                                       const int* stride, double* values, double* work,
                                                       const int* work_size, int* integers, const int* integer_size,
                                                       int* info, std::size_t job_length, std::size_t uplo_length) {
  static const auto solve = reinterpret_cast<decltype(&dsyevd_)>(dlsym(RTLD_NEXT, "dsyevd_"));
  solve(job, uplo, n, a, stride, values, work, work_size, integers, integer_size, info, job_length, uplo_length);
  if (*work_size == -1) return;
  if (lossatlas::testing::solve_fails-- == 1) *info = 1;
  if (lossatlas::testing::solve_forgets-- == 1) {
    for (int i = 0; i < *n; ++i) a[i] = std::numeric_limits<double>::quiet_NaN();
  }
}
