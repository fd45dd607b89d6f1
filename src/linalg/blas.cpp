#include "linalg/blas.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/check.hpp"

// The Fortran interface; character arguments carry a hidden length at the end.
extern "C" {
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*, std::size_t, std::size_t);
void dsyrk_(const char*, const char*, const int*, const int*, const double*, const double*, const int*, const double*,
            double*, const int*, std::size_t, std::size_t);
void dtrsm_(const char*, const char*, const char*, const char*, const int*, const int*, const double*, const double*,
            const int*, double*, const int*, std::size_t, std::size_t, std::size_t, std::size_t);
void dpotrf_(const char*, const int*, double*, const int*, int*, std::size_t);
void dpocon_(const char*, const int*, const double*, const int*, const double*, double*, double*, int*, int*,
             std::size_t);
void dgeqrf_(const int*, const int*, double*, const int*, double*, double*, const int*, int*);
void dormqr_(const char*, const char*, const int*, const int*, const int*, const double*, const int*, const double*,
             double*, const int*, double*, const int*, int*, std::size_t, std::size_t);
void dtrtrs_(const char*, const char*, const char*, const int*, const int*, const double*, const int*, double*,
             const int*, int*, std::size_t, std::size_t, std::size_t);
void openblas_set_num_threads(int);
int openblas_get_num_threads();
char* openblas_get_config();
char* openblas_get_corename();
}

namespace lossatlas::cpu {
namespace {

int narrow(std::int64_t value) {
  require(value >= 0 && value <= std::numeric_limits<int>::max(), "blas", "received a matrix dimension ", value,
          ", expected one below 2^31; use a smaller network or data set");
  return static_cast<int>(value);
}

/// The leading dimension, which must be positive for BLAS even if the matrix is empty.
template <class T>
int stride(Block<T> block) {
  return std::max(1, narrow(block.stride));
}

constexpr std::size_t kBuffer = (std::size_t{32} << 22) + 4096;  // buffer size of OpenBLAS on x86-64

std::atomic<int> calls{0};    // in progress
std::atomic<int> buffers{0};  // that OpenBLAS has, or had room for
std::mutex buffers_mutex;

std::mutex guards_mutex;
int guards = 0;
int callers_threads = 1;

}  // namespace

SingleThreadedBlas::SingleThreadedBlas() {
  const std::lock_guard lock(guards_mutex);
  if (guards++ > 0) return;
  callers_threads = openblas_get_num_threads();
  openblas_set_num_threads(1);
}

SingleThreadedBlas::~SingleThreadedBlas() {
  const std::lock_guard lock(guards_mutex);
  if (--guards == 0) openblas_set_num_threads(callers_threads);
}

BlasCall::BlasCall() {
  const int here = ++calls;
  if (here <= buffers) return;
  const std::lock_guard lock(buffers_mutex);
  if (here <= buffers) return;
  void* const room = ::mmap(nullptr, kBuffer, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) {
    --calls;
    throw OutOfMemory(message("blas", "received a limit on memory that leaves no room for a buffer of ", kBuffer,
                              " bytes, which OpenBLAS takes for each thread, expected a higher one; use fewer threads"),
                      static_cast<std::int64_t>(kBuffer));
  }
  ::munmap(room, kBuffer);
  buffers = here;
}

BlasCall::~BlasCall() { --calls; }

std::string blas_name() {
  const std::string_view config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  const std::size_t end = config.find(' ', std::min(config.size(), config.find(' ') + 1));
  return std::string(config.substr(0, end)) + " " + openblas_get_corename();
}

// A row-major matrix is the transpose of the column-major one in the same memory, so its upper triangle is the lower
// one.

void gemm(Op op_a, Op op_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, ConstMatrix a, ConstMatrix b,
          double beta, Matrix c) {
  const char ta = static_cast<char>(op_a), tb = static_cast<char>(op_b);
  const int im = narrow(m), in = narrow(n), ik = narrow(k), lda = stride(a), ldb = stride(b), ldc = stride(c);
  const BlasCall call;
  dgemm_(&tb, &ta, &in, &im, &ik, &alpha, b.data, &ldb, a.data, &lda, &beta, c.data, &ldc, 1, 1);
}

void syrk_upper(std::int64_t n, std::int64_t k, double alpha, ConstMatrix a, double beta, Matrix c) {
  const int in = narrow(n), ik = narrow(k), lda = stride(a), ldc = stride(c);
  const BlasCall call;
  dsyrk_("L", "N", &in, &ik, &alpha, a.data, &lda, &beta, c.data, &ldc, 1, 1);
}

void solve_upper(Op op_u, std::int64_t m, std::int64_t n, ConstMatrix u, Matrix b) {
  const char op = static_cast<char>(op_u);
  const int im = narrow(m), in = narrow(n), ldu = stride(u), ldb = stride(b);
  const double one = 1;
  const BlasCall call;
  dtrsm_("R", "L", &op, "N", &in, &im, &one, u.data, &ldu, b.data, &ldb, 1, 1, 1, 1);
}

bool potrf_upper(std::int64_t n, Matrix a) {
  const int in = narrow(n), lda = stride(a);
  int info = 0;
  const BlasCall call;
  dpotrf_("L", &in, a.data, &lda, &info, 1);
  return info == 0;
}

double reciprocal_condition(std::int64_t n, ConstMatrix u, double norm) {
  const int in = narrow(n), ldu = stride(u);
  std::vector<double> work(static_cast<std::size_t>(3 * n));
  std::vector<int> integers(static_cast<std::size_t>(n));
  double result = 0;
  int info = 0;
  const BlasCall call;
  dpocon_("L", &in, u.data, &ldu, &norm, &result, work.data(), integers.data(), &info, 1);
  return info == 0 ? result : 0;
}

bool least_squares_by_qr(std::int64_t m, std::int64_t n, std::int64_t k, Matrix at, Matrix bt) {
  const int im = narrow(m), in = narrow(n), ik = narrow(k), lda = stride(at), ldb = stride(bt);
  const int size = 64 * std::max({in, ik, 1});
  std::vector<double> tau(static_cast<std::size_t>(n)), work(static_cast<std::size_t>(size));
  int info = 0;
  const BlasCall call;
  dgeqrf_(&im, &in, at.data, &lda, tau.data(), work.data(), &size, &info);
  if (info == 0) {
    dormqr_("L", "T", &im, &ik, &in, at.data, &lda, tau.data(), bt.data, &ldb, work.data(), &size, &info, 1, 1);
  }
  if (info == 0) dtrtrs_("U", "N", "N", &in, &ik, at.data, &lda, bt.data, &ldb, &info, 1, 1, 1);
  return info == 0;
}

}  // namespace lossatlas::cpu
