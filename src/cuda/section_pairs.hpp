// Joint and direct plans on a CUDA device: by a fused kernel where one takes the shape, else layer by layer.
#pragma once

#include <span>

#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "plan.hpp"

namespace lossatlas::cuda {

/// losses (G, H) at points (G, z) in the arithmetic of T = float or double, or in half precision where T = float,
/// precision is `fast` and the kernel takes the plan; returns the precision that ran.
template <class T>
Precision pair_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                      std::span<const double> points, Precision precision, const Control& control,
                      std::span<double> losses);

}  // namespace lossatlas::cuda
