#include "pattern/feature_selection.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "base/parallel.hpp"
#include "linalg/blas.hpp"

namespace lossatlas {
namespace {

using cpu::Op;

constexpr std::int64_t kBlock = 64;  // columns of one product
constexpr std::int64_t kRows = 512;

std::int64_t pieces(std::int64_t size, std::int64_t each) { return (size + each - 1) / each; }

double square_norm(const std::vector<double>& values, std::int64_t first, std::int64_t count) {
  double sum = 0;
  for (std::int64_t o = first; o < first + count; ++o) {
    sum += values[static_cast<std::size_t>(o)] * values[static_cast<std::size_t>(o)];
  }
  return sum;
}

}  // namespace

std::vector<std::int64_t> pick_best(Candidates c, std::int64_t outputs, std::int64_t wanted, double least_norm) {
  const auto count = static_cast<std::size_t>(c.count);
  std::vector<double> diagonal, rows;  // of the pivoted Cholesky factor of `schur`
  for (std::size_t j = 0; j < count; ++j) diagonal.push_back(c.schur[j * count + j]);
  std::vector<char> taken(count, 0);
  std::vector<std::int64_t> picked;
  while (static_cast<std::int64_t>(picked.size()) < wanted) {
    std::size_t best = count;
    double best_gain = 0;
    for (std::size_t j = 0; j < count; ++j) {
      if (taken[j] || diagonal[j] < least_norm) continue;
      const double gain = square_norm(c.gain, static_cast<std::int64_t>(j) * outputs, outputs) / diagonal[j];
      if (gain > best_gain) best_gain = gain, best = j;
    }
    if (best == count) break;
    taken[best] = 1;
    const double root = std::sqrt(diagonal[best]);
    const std::size_t steps = picked.size();
    rows.insert(rows.end(), c.schur.begin() + static_cast<std::ptrdiff_t>(best * count),
                c.schur.begin() + static_cast<std::ptrdiff_t>((best + 1) * count));
    double* row = rows.data() + steps * count;
    for (std::size_t s = 0; s < steps; ++s) {
      const double factor = rows[s * count + best];
      for (std::size_t j = 0; j < count; ++j) row[j] -= factor * rows[s * count + j];
    }
    for (std::size_t j = 0; j < count; ++j) {
      row[j] /= root;
      diagonal[j] -= row[j] * row[j];
    }
    const auto k = static_cast<std::size_t>(outputs);
    for (std::size_t o = 0; o < k; ++o) {
      const double amount = c.gain[best * k + o] / root;
      for (std::size_t j = 0; j < count; ++j) c.gain[j * k + o] -= amount * row[j];
    }
    picked.push_back(static_cast<std::int64_t>(best));
  }
  return picked;
}

FeatureSelection::FeatureSelection(const Pixels& pixels, std::int64_t outputs, std::int64_t capacity, double ridge,
                                   int threads, const Control& control)
    : pixels_(pixels),
      rows_(pixels.count),
      outputs_(outputs),
      stride_(capacity + 1),
      ridge_(ridge),
      threads_(threads),
      control_(control),
      features_(static_cast<std::size_t>(rows_ * stride_)),
      factor_(static_cast<std::size_t>(stride_ * stride_), 0.0),
      projected_(static_cast<std::size_t>(stride_ * outputs), 0.0),
      residual_(pixels.targets) {
  const std::vector<double> ones(static_cast<std::size_t>(rows_), 1.0);
  append(candidates(ones, 1), std::vector<std::int64_t>{0});
}

/// Calls work(first, count) for blocks of 0..size−1, which depend only on the size.
template <class Work>
void FeatureSelection::blocks(std::int64_t size, Work&& work) const {
  parallel_for(pieces(size, kBlock), threads_, Control{{}, control_.stop}, "",
               [&](std::int64_t block, int) { work(block * kBlock, std::min(kBlock, size - block * kBlock)); });
}

Candidates FeatureSelection::candidates(std::span<const double> columns, std::int64_t count) const {
  Candidates c{count, columns, std::vector<double>(static_cast<std::size_t>(size_ * count)),
               std::vector<double>(static_cast<std::size_t>(count * count)),
               std::vector<double>(static_cast<std::size_t>(count * outputs_), 0.0)};
  const cpu::ConstMatrix b{columns.data(), count};
  blocks(size_, [&](std::int64_t first, std::int64_t rows) {
    cpu::gemm(Op::transpose, Op::none, rows, count, rows_, 1, {features_.data() + first, stride_}, b, 0,
              {c.against.data() + first * count, count});
  });
  blocks(count, [&](std::int64_t first, std::int64_t cols) {
    const cpu::Matrix schur{c.schur.data() + first * count, count}, gain{c.gain.data() + first * outputs_, outputs_};
    cpu::gemm(Op::transpose, Op::none, cols, count, rows_, 1, {columns.data() + first, count}, b, 0, schur);
    cpu::gemm(Op::transpose, Op::none, cols, outputs_, rows_, 1, {columns.data() + first, count},
              {pixels_.targets.data(), outputs_}, 0, gain);
    if (size_ == 0) return;
    cpu::solve_upper(Op::transpose, size_, cols, {factor_.data(), stride_}, {c.against.data() + first, count});
    cpu::gemm(Op::transpose, Op::none, cols, outputs_, size_, -1, {c.against.data() + first, count},
              {projected_.data(), outputs_}, 1, gain);
  });
  if (size_ > 0) {  // only now is all of `against` computed
    blocks(count, [&](std::int64_t first, std::int64_t cols) {
      cpu::gemm(Op::transpose, Op::none, cols, count, size_, -1, {c.against.data() + first, count},
                {c.against.data(), count}, 1, {c.schur.data() + first * count, count});
    });
  }
  for (std::int64_t i = 0; i < count; ++i) {
    c.schur[static_cast<std::size_t>(i * count + i)] += ridge_ * static_cast<double>(rows_);
  }
  return c;
}

void FeatureSelection::append(const Candidates& c, std::span<const std::int64_t> picked) {
  const auto count = static_cast<std::int64_t>(picked.size());
  copy_products(c, picked);
  const cpu::Matrix corner{&entry(size_, size_), stride_};
  require<Error>(cpu::potrf_upper(count, corner), "FeatureSelection",
                 "received features without a Cholesky factor, expected independent ones; choose another seed");
  cpu::solve_upper(Op::transpose, count, outputs_, corner, {projected_.data() + size_ * outputs_, outputs_});
  size_ += count;
  solve_residual();
}

void FeatureSelection::copy_products(const Candidates& c, std::span<const std::int64_t> picked) {
  const auto count = static_cast<std::int64_t>(picked.size());
  for (std::int64_t n = 0; n < rows_; ++n) {
    for (std::int64_t k = 0; k < count; ++k) {
      features_[static_cast<std::size_t>(n * stride_ + size_ + k)] =
          c.columns[static_cast<std::size_t>(n * c.count + picked[static_cast<std::size_t>(k)])];
    }
  }
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t j = picked[static_cast<std::size_t>(k)];
    for (std::int64_t i = 0; i < size_; ++i) entry(i, size_ + k) = c.against[static_cast<std::size_t>(i * c.count + j)];
    for (std::int64_t i = 0; i <= k; ++i) {
      const std::int64_t row = picked[static_cast<std::size_t>(i)];
      entry(size_ + i, size_ + k) = c.schur[static_cast<std::size_t>(row * c.count + j)];
    }
    for (std::int64_t o = 0; o < outputs_; ++o) {
      projected_[static_cast<std::size_t>((size_ + k) * outputs_ + o)] =
          c.gain[static_cast<std::size_t>(j * outputs_ + o)];
    }
  }
}

void FeatureSelection::solve_residual() {
  std::vector<double> weights(projected_.begin(), projected_.begin() + size_ * outputs_);
  cpu::solve_upper(Op::none, size_, outputs_, {factor_.data(), stride_}, {weights.data(), outputs_});
  residual_ = pixels_.targets;
  parallel_for(pieces(rows_, kRows), threads_, [&](std::int64_t item, int) {
    const std::int64_t first = item * kRows, rows = std::min(kRows, rows_ - first);
    cpu::gemm(Op::none, Op::none, rows, outputs_, size_, -1, {features_.data() + first * stride_, stride_},
              {weights.data(), outputs_}, 1, {residual_.data() + first * outputs_, outputs_});
  });
}

}  // namespace lossatlas
