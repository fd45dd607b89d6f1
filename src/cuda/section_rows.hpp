// Sample-free plans on the tensor cores.
#pragma once

#include <memory>

#include <lossatlas/dataset.hpp>
#include <lossatlas/device.hpp>

#include "backend/backend.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// Whether the kernel takes a plan: only the first layer moves, as in Theorem 1 of [C19], weights are finite, and a
/// tile of the layers above fits in shared_limit bytes. Depends only on the plan, the precision and the device.
bool point_rows_take(const SectionPlan& plan, Precision precision, std::int64_t shared_limit);

/// Prepares such a plan in f64, or in f32, also for `fast`.
std::unique_ptr<DeviceSection> point_rows_section(Workspace& workspace, const LabelStatistics& statistics,
                                                  const SectionPlan& plan, Precision precision, const Control& control);

}  // namespace lossatlas::cuda
