// Joint and direct plans on a CUDA device: by the fused kernel where it takes the shape, else layer by layer.
#pragma once

#include <span>

#include <lossatlas/progress.hpp>

#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "plan.hpp"

namespace lossatlas::cuda {

/// losses (G, H) at points (G, z) in the arithmetic of T = float or double.
template <class T>
void pair_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan, std::span<const double> points,
                 const Control& control, std::span<double> losses);

}  // namespace lossatlas::cuda
