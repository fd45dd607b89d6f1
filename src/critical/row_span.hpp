// The span of vectors added one after another, by Gram–Schmidt.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/vectors.hpp"

namespace lossatlas {

/// An orthonormal basis of the rows added so far. For many rows, add random combinations until one adds no dimension:
/// almost surely such a combination lies in a subspace only if all the rows do.
class RowSpan {
 public:
  std::size_t rank() const { return basis_.size(); }

  /// Adds a row; returns whether it adds a dimension.
  bool add(std::vector<double> row) {
    const double size = norm_l2(row);
    row = rest(std::move(row));
    const double left = norm_l2(row);
    if (!(left > kIndependent * size)) return false;
    for (double& value : row) value /= left;
    basis_.push_back(std::move(row));
    return true;
  }

  /// The part of the row outside the span.
  std::vector<double> rest(std::vector<double> row) const {
    for (int pass = 0; pass < 2; ++pass) {  // twice: one pass loses orthogonality if the row is nearly in the span
      for (const std::vector<double>& e : basis_) {
        const double part = dot(e, row);
        for (std::size_t c = 0; c < row.size(); ++c) row[c] -= part * e[c];
      }
    }
    return row;
  }

  /// The span as it was at this rank.
  RowSpan first(std::size_t rank) const {
    RowSpan span;
    span.basis_.assign(basis_.begin(), basis_.begin() + static_cast<std::ptrdiff_t>(rank));
    return span;
  }

 private:
  static constexpr double kIndependent = 1e-10;  // part of a row outside the span, relative to it

  std::vector<std::vector<double>> basis_;
};

}  // namespace lossatlas
