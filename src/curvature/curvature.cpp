#include "curvature/curvature.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "backend/backend.hpp"
#include "base/check.hpp"
#include "curvature/hessian_matrix.hpp"
#include "curvature/spectrum.hpp"
#include "linalg/blas.hpp"
#include "linalg/cholesky.hpp"

namespace lossatlas {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

/// The shift ε and its rounding bound r, for a matrix of size n.
struct Shift {
  double below;
  double rounding;

  Shift(std::int64_t size, const MatrixSize& matrix, std::optional<double> asked) {
    const auto n = static_cast<double>(size);
    const double share = (n + 2) * kEpsilon;
    // By default ε = threshold + r(ε), which is linear in ε.
    below = asked.value_or((zero_threshold(size, matrix.frobenius) + share * matrix.diagonal) / (1 - share * n));
    rounding = share * (matrix.diagonal + n * below);
  }

  CurvatureTest result(const ShiftedFactor& factor) const {
    const Curvature without = below > rounding ? Curvature::negative : Curvature::undecided;
    return {factor.exists ? Curvature::not_negative : without, below, rounding, factor.device};
  }
};

/// Sizes of the matrix whose upper triangle is given, computed without overflow.
MatrixSize size_of(const std::vector<double>& matrix, std::size_t n) {
  MatrixSize size;
  double largest = 0, squares = 0;
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = r; c < n; ++c) largest = std::max(largest, std::abs(matrix[r * n + c]));
    size.diagonal += std::abs(matrix[r * n + r]);
  }
  if (largest == 0) return size;
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = r; c < n; ++c) {
      const double entry = matrix[r * n + c] / largest;
      squares += (c == r ? 1 : 2) * entry * entry;
    }
  }
  size.frobenius = largest * std::sqrt(squares);
  return size;
}

}  // namespace

CurvatureTest test_matrix_curvature(std::vector<double> matrix, std::int64_t n, std::optional<double> below,
                                    int threads, const Control& control) {
  const auto side = static_cast<std::size_t>(n);
  const Shift shift(n, size_of(matrix, side), below);
  for (std::size_t i = 0; i < side; ++i) matrix[i * side + i] += shift.below;
  const cpu::SingleThreadedBlas guard;
  return shift.result({cpu::cholesky(n, {matrix.data(), n}, threads, control), "cpu, " + cpu::blas_name()});
}

CurvatureTest test_curvature(const Landscape& landscape, std::span<const double> theta,
                             const CurvatureOptions& options) {
  const std::int64_t n = landscape.network().parameter_count();
  require(static_cast<std::int64_t>(theta.size()) == n, "test_curvature", "received ", theta.size(),
          " parameters, expected ", n);
  require(!options.below || (std::isfinite(*options.below) && *options.below >= 0), "test_curvature",
          "received below = ", options.below.value_or(0), ", expected a finite number that is not negative");
  std::optional<Shift> shift;
  const auto rule = [&](const MatrixSize& size) { return shift.emplace(n, size, options.below).below; };
  if (const auto factor = on_device(landscape).hessian_factor(theta, options.part, rule, options.control)) {
    return shift->result(*factor);
  }
  std::vector<double> matrix =
      finite_hessian(landscape, theta, {.part = options.part, .control = options.control}, {"test_curvature"});
  return test_matrix_curvature(std::move(matrix), n, options.below, landscape.device().threads(), options.control);
}

}  // namespace lossatlas
