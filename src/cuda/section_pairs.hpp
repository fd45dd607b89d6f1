// Joint and direct plans on a CUDA device: by a fused kernel that takes the shape, else layer by layer.
#pragma once

#include <memory>

#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// Prepares a plan in the arithmetic of T = float or double; in half precision if T = float, precision is `fast` and
/// the kernel takes the plan.
template <class T>
std::unique_ptr<DeviceSection> pair_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                            Precision precision, const Control& control);

}  // namespace lossatlas::cuda
