#include "linalg/eigen.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/check.hpp"

// The Fortran interface; character arguments carry a hidden length at the end.
extern "C" void dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*, const int*, int*,
                        const int*, int*, std::size_t, std::size_t);

namespace lossatlas::cpu {
namespace {

bool divide_and_conquer(const char* job, std::int64_t n, Matrix a, std::span<double> values) {
  require(n > 0 && std::max(n, a.stride) <= std::numeric_limits<int>::max(), "eigenvalues", "received size ", n,
          ", expected 1 to 2^31 - 1");
  require(*job == 'N' || n <= kMaxVectors, "eigenvectors", "received size ", n, ", expected at most ", kMaxVectors,
          "; compute the eigenvalues alone");
  const int size = static_cast<int>(n), stride = static_cast<int>(a.stride), query = -1;
  double work_size = 0;
  int integer_size = 0, info = 0;
  const BlasCall call;
  // A row-major upper triangle is a column-major lower one, and columns of the result are our rows.
  dsyevd_(job, "L", &size, a.data, &stride, values.data(), &work_size, &query, &integer_size, &query, &info, 1, 1);
  const int work_count = static_cast<int>(work_size);
  std::vector<double> work(static_cast<std::size_t>(work_count));
  std::vector<int> integers(static_cast<std::size_t>(integer_size));
  dsyevd_(job, "L", &size, a.data, &stride, values.data(), work.data(), &work_count, integers.data(), &integer_size,
          &info, 1, 1);
  return info == 0;
}

}  // namespace

bool eigenvalues(std::int64_t n, Matrix a, std::span<double> values) { return divide_and_conquer("N", n, a, values); }

bool eigenvectors(std::int64_t n, Matrix a, std::span<double> values) { return divide_and_conquer("V", n, a, values); }

}  // namespace lossatlas::cpu
