// Quadratic plans: the outputs are affine in α, and the loss is the mean squared error. The residual of a head is
//   r(α) = E β,  E = [E_0 − y, E_1, .., E_z] (N·C, z+1),  β = (1, α),
// and with E = Q F, F upper triangular, R(α) = ‖r‖²/N = ‖F β‖²/N. This avoids the cancellation of EᵀE.
#pragma once

#include <memory>

#include <lossatlas/dataset.hpp>
#include <lossatlas/progress.hpp>

#include "backend/backend.hpp"
#include "section/plan.hpp"

namespace lossatlas::cpu {

std::unique_ptr<DeviceSection> quadratic_section(const SectionPlan& plan, const Dataset& data, int threads,
                                                 const Control& control);

}  // namespace lossatlas::cpu
