// Section plans on a CUDA device. Bits depend on the plan, the data and the device, never on batches or free memory.
#pragma once

#include <memory>
#include <span>

#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

/// The precision in which a plan runs: a quadratic one always in f64, fast in f32 unless a half-precision kernel takes
/// it.
Precision section_precision(const DeviceLimits& limits, const Problem& problem, const SectionPlan& plan,
                            Precision asked);

/// Prepares a plan in the memory and on the stream of a workspace. All arguments but `control` outlive the section.
std::unique_ptr<DeviceSection> make_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                            Precision precision, const Control& control);

/// outputs (G, H·C) of a sample-free plan at points (G, z), f64.
void section_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                     const Control& control, std::span<double> outputs);

}  // namespace lossatlas::cuda
