// The least squares problem of the last layer on a CUDA device.
#pragma once

#include <span>

#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"

namespace lossatlas::cuda {

/// The same problem, method and exceptions as in cpu/last_layer.hpp.
LastLayer solve_last_layer(Workspace& workspace, const Problem& problem, std::span<const double> theta, double ridge,
                           const Control& control);

}  // namespace lossatlas::cuda
