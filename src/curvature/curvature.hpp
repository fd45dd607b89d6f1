// The Cholesky test of a matrix in host memory.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <lossatlas/curvature.hpp>

namespace lossatlas {

/// Tests a symmetric matrix (n, n) with finite entries; reads only its upper triangle.
CurvatureTest test_matrix_curvature(std::vector<double> matrix, std::int64_t n, std::optional<double> below,
                                    int threads, const Control& control);

}  // namespace lossatlas
