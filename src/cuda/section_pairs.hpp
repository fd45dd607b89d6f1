// Joint and direct plans on a CUDA device: by a fused kernel that takes the shape, else layer by layer.
#pragma once

#include <cstdint>
#include <memory>

#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// Whether a plan runs in half precision if `fast` is asked for: a kernel takes it. Depends only on the plan, the
/// number of samples and the device.
bool pairs_run_in_half(const SectionPlan& plan, std::int64_t samples, std::int64_t shared_bytes);

/// Prepares a plan in the arithmetic of T = float or double; in half precision if T = float, precision is `fast` and
/// the kernel takes the plan.
template <class T>
std::unique_ptr<DeviceSection> pair_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                            Precision precision, const Control& control);

}  // namespace lossatlas::cuda
