#include "surface/chebyshev_tensor.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/parallel.hpp"

namespace lossatlas {
namespace {

constexpr std::int64_t kChunk = 1024;  // entries of a row that stay in the first-level cache

/// factor (K, K) of the cosine transform: c_k = (2 − δ_k0 − δ_kn)/n Σ_j'' cos(πk(n − j)/n) f_j, with the first and last
/// terms halved and n = K − 1. The angle is reduced in integers.
std::vector<double> transform_factor(std::int64_t nodes) {
  if (nodes == 1) return {1.0};
  const std::int64_t n = nodes - 1;
  std::vector<double> cosine(static_cast<std::size_t>(2 * n));
  for (std::int64_t m = 0; m < 2 * n; ++m) {
    const double half = static_cast<double>(n - 2 * m) / static_cast<double>(2 * n);
    cosine[static_cast<std::size_t>(m)] = std::sin(std::numbers::pi * half);
  }
  const auto end = [n](std::int64_t i) { return i == 0 || i == n ? 0.5 : 1.0; };
  std::vector<double> factor(static_cast<std::size_t>(nodes * nodes));
  for (std::int64_t j = 0; j < nodes; ++j) {
    for (std::int64_t k = 0; k < nodes; ++k) {
      const double weight = 2 * end(j) * end(k) / static_cast<double>(n);
      factor[static_cast<std::size_t>(j * nodes + k)] =
          weight * cosine[static_cast<std::size_t>(k * (n - j) % (2 * n))];
    }
  }
  return factor;
}

/// t(α) in [−1, 1]; 0 where lo = hi.
double to_unit(const ChebyshevAxis& axis, double alpha) {
  if (axis.lo == axis.hi) return 0;
  const double t = (alpha - (axis.lo / 2 + axis.hi / 2)) / (axis.hi / 2 - axis.lo / 2);
  return std::clamp(t, -1.0, 1.0);
}

}  // namespace

std::vector<double> contract(std::span<const double> in, AxisShape shape, std::span<const double> factor, int threads,
                             const Control& control, const char* stage) {
  const std::int64_t count = static_cast<std::int64_t>(factor.size()) / shape.axis;  // n
  const auto row_size = static_cast<std::size_t>(count * shape.right);
  std::vector<double> out(static_cast<std::size_t>(shape.left) * row_size, 0.0);
  const std::int64_t chunks = (static_cast<std::int64_t>(row_size) + kChunk - 1) / kChunk;
  parallel_for(shape.left * chunks, threads, control, stage, [&](std::int64_t item, int) {
    const std::int64_t l = item / chunks, first = item % chunks * kChunk;
    const std::int64_t last = std::min(first + kChunk, static_cast<std::int64_t>(row_size));
    double* const row = out.data() + static_cast<std::size_t>(l) * row_size;
    for (std::int64_t k = 0; k < shape.axis; ++k) {
      const double* const source = in.data() + (l * shape.axis + k) * shape.right;
      const double* const weights = factor.data() + k * count;
      if (shape.right == 1) {
        for (std::int64_t j = first; j < last; ++j) row[j] += weights[j] * source[0];
        continue;
      }
      for (std::int64_t at = first; at < last;) {  // pieces with one j
        const std::int64_t j = at / shape.right, end = std::min((j + 1) * shape.right, last);
        for (std::int64_t r = at - j * shape.right; at < end; ++at, ++r) row[at] += weights[j] * source[r];
      }
    }
  });
  return out;
}

double chebyshev_node(const ChebyshevAxis& axis, std::int64_t j) {
  if (j == 0) return axis.lo;
  if (j == axis.nodes - 1) return axis.hi;
  const std::int64_t n = axis.nodes - 1;
  const double t = std::sin(std::numbers::pi * static_cast<double>(2 * j - n) / static_cast<double>(2 * n));
  return (axis.lo / 2 + axis.hi / 2) + (axis.hi / 2 - axis.lo / 2) * t;
}

void chebyshev_column(const ChebyshevAxis& axis, double alpha, int order, double* out, std::size_t stride) {
  const double t = to_unit(axis, alpha);
  const auto nodes = static_cast<std::size_t>(axis.nodes);
  // T, T', T'' of degree k and k − 1, by T_{k+1} = 2t T_k − T_{k−1} and its derivatives
  double value = 1, value_below = t;
  if (order == 0) {
    for (std::size_t k = 0; k < nodes; ++k, out += stride) {
      *out = value;
      value_below = std::exchange(value, 2 * t * value - value_below);
    }
    return;
  }
  const double slope = axis.lo == axis.hi ? std::nan("") : 1 / (axis.hi / 2 - axis.lo / 2);  // dt/dα
  double first = 0, first_below = 1, second = 0, second_below = 0;
  for (std::size_t k = 0; k < nodes; ++k, out += stride) {
    *out = order == 1 ? slope * first : slope * slope * second;
    second_below = std::exchange(second, 4 * first + 2 * t * second - second_below);
    first_below = std::exchange(first, 2 * value + 2 * t * first - first_below);
    value_below = std::exchange(value, 2 * t * value - value_below);
  }
}

std::vector<double> chebyshev_table(const ChebyshevAxis& axis, std::span<const double> alpha) {
  std::vector<double> table(static_cast<std::size_t>(axis.nodes) * alpha.size());
  for (std::size_t j = 0; j < alpha.size(); ++j) {
    chebyshev_column(axis, alpha[j], 0, table.data() + j, alpha.size());
  }
  return table;
}

std::int64_t node_count(std::span<const ChebyshevAxis> axes) {
  std::int64_t count = 1;
  for (const ChebyshevAxis& axis : axes) count *= axis.nodes;
  return count;
}

std::vector<double> chebyshev_coefficients(std::span<const ChebyshevAxis> axes, std::int64_t heads,
                                           std::span<const double> values, int threads, const Control& control) {
  const std::int64_t nodes = node_count(axes);
  std::vector<double> result(values.size());
  for (std::int64_t j = 0; j < nodes; ++j) {
    for (std::int64_t h = 0; h < heads; ++h) {
      result[static_cast<std::size_t>(h * nodes + j)] = values[static_cast<std::size_t>(j * heads + h)];
    }
  }
  AxisShape shape{heads, 1, nodes};
  for (const ChebyshevAxis& axis : axes) {
    shape = {shape.left, axis.nodes, shape.right / axis.nodes};
    if (axis.nodes > 1) result = contract(result, shape, transform_factor(axis.nodes), threads, control, "transform");
    shape.left *= axis.nodes;
  }
  return result;
}

double chebyshev_coefficients_flop(std::span<const ChebyshevAxis> axes, std::int64_t heads) {
  double flop = 0;
  for (const ChebyshevAxis& axis : axes) {
    if (axis.nodes > 1) flop += 2 * static_cast<double>(heads * axis.nodes) * static_cast<double>(node_count(axes));
  }
  return flop;
}

}  // namespace lossatlas
