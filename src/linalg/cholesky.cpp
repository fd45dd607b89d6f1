#include "linalg/cholesky.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/parallel.hpp"

namespace lossatlas::cpu {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kSliver = 64;  // a narrower last block joins its neighbour: one bias column is no block

/// Blocks of 0..n−1: begin(i)..begin(i + 1)−1.
struct Blocking {
  std::int64_t n;
  std::int64_t count;

  explicit Blocking(std::int64_t size)
      : n(size), count(std::max<std::int64_t>(1, (size + kBlock - kSliver) / kBlock)) {}
  std::int64_t begin(std::int64_t block) const { return block == count ? n : block * kBlock; }
  std::int64_t size(std::int64_t block) const { return begin(block + 1) - begin(block); }
};

/// The pairs first ≤ i ≤ j < count.
std::vector<std::pair<std::int64_t, std::int64_t>> upper_blocks(std::int64_t first, std::int64_t count) {
  std::vector<std::pair<std::int64_t, std::int64_t>> blocks;
  for (std::int64_t i = first; i < count; ++i) {
    for (std::int64_t j = i; j < count; ++j) blocks.emplace_back(i, j);
  }
  return blocks;
}

/// Block (i, j) of c += alpha·aᵀa, with a (k, n).
void update_block(const Blocking& blocking, std::int64_t i, std::int64_t j, std::int64_t k, double alpha, ConstMatrix a,
                  Matrix c) {
  const std::int64_t row = blocking.begin(i), col = blocking.begin(j);
  if (i == j) return syrk_upper(blocking.size(i), k, alpha, a.at(0, row), 1, c.at(row, row));
  gemm(Op::transpose, Op::none, blocking.size(i), blocking.size(j), k, alpha, a.at(0, row), a.at(0, col), 1,
       c.at(row, col));
}

}  // namespace

void add_gram(std::int64_t n, std::int64_t rows, ConstMatrix a, Matrix gram, int threads, const Control& control) {
  const Blocking blocking(n);
  const auto blocks = upper_blocks(0, blocking.count);
  parallel_for(static_cast<std::int64_t>(blocks.size()), threads, [&](std::int64_t t, int) {
    check_stop(control);
    const auto [i, j] = blocks[static_cast<std::size_t>(t)];
    update_block(blocking, i, j, rows, 1, a, gram);
  });
}

bool cholesky(std::int64_t n, Matrix a, int threads, const Control& control) {
  const Blocking blocking(n);
  for (std::int64_t k = 0; k < blocking.count; ++k) {
    const std::int64_t begin = blocking.begin(k), size = blocking.size(k);
    const Matrix diagonal = a.at(begin, begin);
    if (!potrf_upper(size, diagonal)) return false;
    parallel_for(blocking.count - k - 1, threads, [&](std::int64_t t, int) {
      const std::int64_t j = k + 1 + t;
      solve_upper(Op::transpose, size, blocking.size(j), diagonal, a.at(begin, blocking.begin(j)));
    });
    const auto blocks = upper_blocks(k + 1, blocking.count);
    parallel_for(static_cast<std::int64_t>(blocks.size()), threads, [&](std::int64_t t, int) {
      check_stop(control);
      const auto [i, j] = blocks[static_cast<std::size_t>(t)];
      update_block(blocking, i, j, size, -1, a.at(begin, 0), a);
    });
  }
  return true;
}

void solve_cholesky(std::int64_t n, std::int64_t k, ConstMatrix u, Matrix x) {
  solve_upper(Op::transpose, n, k, u, x);
  solve_upper(Op::none, n, k, u, x);
}

double symmetric_norm(std::int64_t n, ConstMatrix a) {
  std::vector<double> sums(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const double* row = a.at(i, 0).data;
    for (std::int64_t j = i; j < n; ++j) {
      sums[static_cast<std::size_t>(j)] += std::abs(row[j]);
      if (j > i) sums[static_cast<std::size_t>(i)] += std::abs(row[j]);
    }
  }
  return *std::max_element(sums.begin(), sums.end());
}

}  // namespace lossatlas::cpu
