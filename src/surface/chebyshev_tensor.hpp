// Tensors of Chebyshev nodes and coefficients: products along one axis, and the factors of these products.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lossatlas/chebyshev.hpp>
#include <lossatlas/progress.hpp>

namespace lossatlas {

/// A tensor seen from one of its axes: (left, axis, right), row-major.
struct AxisShape {
  std::int64_t left = 1;
  std::int64_t axis = 1;
  std::int64_t right = 1;
};

/// (left, K, right) × factor (K, n) → (left, n, right): out[l, j, r] = Σ_k factor[k, j] in[l, k, r], each sum taken in
/// order from k = 0. Reports progress as `stage`.
std::vector<double> contract(std::span<const double> in, AxisShape shape, std::span<const double> factor, int threads,
                             const Control& control, const char* stage);

/// α of node j of an axis: the same bits as node 2j of the axis with 2K − 1 nodes, exactly lo and hi at the ends.
double chebyshev_node(const ChebyshevAxis& axis, std::int64_t j);

/// Derivative `order` (0, 1, 2) in α of T_k, k = 0..K−1, at one α; that of T_k goes to out[k · stride].
void chebyshev_column(const ChebyshevAxis& axis, double alpha, int order, double* out, std::size_t stride = 1);
/// (K, n): T_k at n points of an axis.
std::vector<double> chebyshev_table(const ChebyshevAxis& axis, std::span<const double> alpha);

/// Coefficients (H, K_1, ..., K_z) of the interpolant through values (K_1, ..., K_z, H): a cosine sum along each axis.
std::vector<double> chebyshev_coefficients(std::span<const ChebyshevAxis> axes, std::int64_t heads,
                                           std::span<const double> values, int threads, const Control& control);
/// FLOP of chebyshev_coefficients().
double chebyshev_coefficients_flop(std::span<const ChebyshevAxis> axes, std::int64_t heads);

/// Π K_i.
std::int64_t node_count(std::span<const ChebyshevAxis> axes);

}  // namespace lossatlas
