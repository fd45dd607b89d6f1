// Section plans on a CUDA device. Bits depend on the plan, the data and the device, never on tiles or free memory.
#pragma once

#include <span>

#include <lossatlas/device.hpp>
#include <lossatlas/progress.hpp>

#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "plan.hpp"

namespace lossatlas::cuda {

/// losses (G, H) of a plan at points (G, z); returns the precision that ran: a quadratic plan is f64, fast is f32 where
/// no kernel in half precision takes the plan.
Precision section_losses(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                         std::span<const double> points, Precision precision, const Control& control,
                         std::span<double> losses);

/// outputs (G, H·C) of a sample-free plan at points (G, z), f64.
void section_outputs(Workspace& workspace, const SectionPlan& plan, std::span<const double> points,
                     const Control& control, std::span<double> outputs);

}  // namespace lossatlas::cuda
