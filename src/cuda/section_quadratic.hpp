// Quadratic plans: the outputs are affine in α, and the loss is the mean squared error. The residual of a head is E β
// with E = [E_0 − y, E_1, .., E_z] (N·C, z+1) and β = (1, α). With E = Q F, R(α) = ‖F β‖²/N, free of cancellation.
#pragma once

#include <memory>

#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "cuda/problem.hpp"
#include "cuda/workspace.hpp"
#include "section/plan.hpp"

namespace lossatlas::cuda {

std::unique_ptr<DeviceSection> quadratic_section(Workspace& workspace, const Problem& problem, const SectionPlan& plan,
                                                 const Control& control);

}  // namespace lossatlas::cuda
